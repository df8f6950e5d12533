"""Lists of the games that everyone may see. Callers pass the ids of games online, which come from presence.

Lists are of ids; `list_cards` reads what a page shows of the few on it.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session, lazyload

from shared import validation
from shared.models.game import CONNECTION_TYPES, Game, GameConnection
from shared.models.user_agent import UserAgent
from shared.services import software

SOFTWARE_LISTED = 100
NEWEST = 6
PICKED = 20


@dataclass(frozen=True, slots=True)
class Criteria:
    """Criteria for a list of games. A game must match all of them; empty ones match every game.

    Attributes:
        search: Part of the name, short name or description, in any case.
        connection: One of CONNECTION_TYPES.
        software: The name of the software that games run, or a user agent of it with a version.
    """

    search: str = ""
    is_online: bool = False
    connection: str = ""
    software: str = ""

    def __bool__(self) -> bool:
        return bool(self.search.strip() or self.is_online or self.connection or self.software)


@dataclass(frozen=True, slots=True)
class GameCard:
    """What a list shows of a game. connection_types: the types of its ways to connect."""

    id: int
    short_name: str
    name: str
    description: str | None
    connection_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PublicGames:
    """All displayed games, as lists need them. It only depends on synced records, so it may be kept until one changes.

    Attributes:
        ids: By name. `displayed` has the same ids.
        connectable: The ids of games that list a way to connect.
        software: What the games run, by name and without versions; the most common SOFTWARE_LISTED.
        newest: The games registered last, newest first.
    """

    ids: tuple[int, ...]
    displayed: frozenset[int]
    connectable: frozenset[int]
    software: tuple[str, ...]
    newest: tuple[GameCard, ...]

    def online_first(self, online: Container[int]) -> list[int]:
        """Return all ids: games online, then the others, each by name."""
        return _online_first(self.ids, online)


def read_public_games(session: Session) -> PublicGames:
    """Read the displayed games, in six statements however many there are."""
    newest = select(Game.id).where(Game.is_displayed).order_by(Game.created_at.desc(), Game.id.desc())
    ids = tuple(session.scalars(_by_name(select(Game.id).where(Game.is_displayed))))
    return PublicGames(
        ids=ids,
        displayed=frozenset(ids),
        connectable=frozenset(session.scalars(select(GameConnection.game_id).distinct())),
        software=tuple(_list_software(session)),
        newest=tuple(list_cards(session, session.scalars(newest.limit(NEWEST)).all())),
    )


def find_public_games(session: Session, criteria: Criteria, *, online: Container[int] = ()) -> list[int]:
    """Return the ids of displayed games that match: those online first, then the others, each by name."""
    statement = select(Game.id).where(Game.is_displayed)
    if words := criteria.search.strip():
        key = validation.name_key(words)
        statement = statement.where(
            or_(
                Game.name_key.contains(key, autoescape=True),
                Game.short_name.icontains(words, autoescape=True),
                Game.description_key.contains(key, autoescape=True),
            )
        )
    if criteria.connection:
        statement = statement.where(Game.connections.any(GameConnection.type == criteria.connection))
    if criteria.software:
        statement = statement.where(Game.user_agent_id.in_(_find_user_agents(session, criteria.software)))
    ids = session.scalars(_by_name(statement)).all()
    return [game_id for game_id in ids if game_id in online] if criteria.is_online else _online_first(ids, online)


def list_cards(session: Session, ids: Sequence[int]) -> list[GameCard]:
    """Return what a list shows of these games, in this order, in two statements."""
    types: dict[int, list[str]] = defaultdict(list)
    ways = select(GameConnection.game_id, GameConnection.type).where(GameConnection.game_id.in_(ids))
    for game_id, type_ in session.execute(ways.order_by(GameConnection.id)):
        types[game_id].append(type_)
    games = select(Game.id, Game.short_name, Game.name, Game.description).where(Game.id.in_(ids))
    cards = {row.id: GameCard(*row, tuple(types[row.id])) for row in session.execute(games)}
    return [cards[game_id] for game_id in ids if game_id in cards]


def list_newest_games(session: Session, *, limit: int) -> list[Game]:
    """Return the displayed games that were registered last, newest first."""
    newest = select(Game).where(Game.is_displayed).order_by(Game.created_at.desc(), Game.id.desc())
    return list(session.scalars(newest.limit(limit)))


def pick_games(session: Session, public: PublicGames, online: Iterable[int]) -> list[Game]:
    """Return some random displayed games that are online; if possible, only ones with a way to connect."""
    ids = [game_id for game_id in online if game_id in public.displayed]
    ids = [game_id for game_id in ids if game_id in public.connectable] or ids
    picked = random.sample(ids, min(PICKED, len(ids)))
    games = select(Game).where(Game.id.in_(picked)).options(lazyload(Game.user_agent))
    return list(session.scalars(games)) if picked else []


def _list_software(session: Session) -> list[str]:
    """Return the names of the most common software, each in its most common spelling."""
    used = (
        select(UserAgent.name, func.count())
        .join(Game, Game.user_agent_id == UserAgent.id)
        .where(Game.is_displayed)
        .group_by(UserAgent.id, UserAgent.name)
        .order_by(UserAgent.id)
    )
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for user_agent, games in session.execute(used):
        if not software.is_tool(user_agent):
            name = software.name_of(user_agent)
            spellings[name.casefold()][name] += games
    listed = sorted(spellings.values(), key=lambda counter: counter.total(), reverse=True)[:SOFTWARE_LISTED]
    return sorted((counter.most_common(1)[0][0] for counter in listed), key=str.casefold)


def _find_user_agents(session: Session, text: str) -> list[int]:
    """Return the ids of all versions of a software."""
    name = software.name_of(text)
    agents = select(UserAgent.id, UserAgent.name).where(UserAgent.name.istartswith(name, autoescape=True))
    return [
        agent_id for agent_id, agent in session.execute(agents) if software.name_of(agent).casefold() == name.casefold()
    ]


def is_connection_type(value: str) -> bool:
    """Return whether this is a kind of way to connect."""
    return value in CONNECTION_TYPES


def _by_name(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(Game.name_key, Game.id)


def _online_first(ids: Iterable[int], online: Container[int]) -> list[int]:
    return sorted(ids, key=lambda game_id: game_id not in online)
