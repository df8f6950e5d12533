"""Lists of the games that everyone may see. Callers pass the ids of games online, which come from presence."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, case, func, or_, select
from sqlalchemy.orm import Session

from shared.models.game import CONNECTION_TYPES, Game, GameConnection
from shared.models.user_agent import UserAgent
from shared.pagination import Page, paginate
from shared.services import validation

SOFTWARE_LISTED = 100


@dataclass(frozen=True, slots=True)
class Criteria:
    """Criteria for a list of games. A game must match all of them; empty ones match every game.

    Attributes:
        search: Part of the name, short name or description, in any case.
        connection: One of CONNECTION_TYPES.
        software: The name of a user agent.
    """

    search: str = ""
    is_online: bool = False
    connection: str = ""
    software: str = ""

    def __bool__(self) -> bool:
        return bool(self.search.strip() or self.is_online or self.connection or self.software)


def list_public_games(
    session: Session,
    *,
    criteria: Criteria = Criteria(),
    online: Collection[int] = (),
    page: int = 1,
    per_page: int = 25,
) -> Page[Game]:
    """Return displayed games that match: those online first, then the others, each by name."""
    statement = select(Game).where(Game.is_displayed)
    if words := criteria.search.strip():
        key = validation.name_key(words)
        statement = statement.where(
            or_(
                Game.name_key.contains(key, autoescape=True),
                Game.short_name.icontains(words, autoescape=True),
                Game.description_key.contains(key, autoescape=True),
            )
        )
    if criteria.is_online:
        statement = statement.where(_is_among(online))
    if criteria.connection:
        statement = statement.where(Game.connections.any(GameConnection.type == criteria.connection))
    if criteria.software:
        statement = statement.where(Game.user_agent.has(UserAgent.name == criteria.software))
    if online and not criteria.is_online:
        statement = statement.order_by(case((_is_among(online), 0), else_=1))
    return paginate(session, statement.order_by(Game.name_key, Game.id), page=page, per_page=per_page)


def count_public_games(session: Session) -> int:
    """Count the displayed games."""
    return session.scalar(select(func.count()).select_from(Game).where(Game.is_displayed)) or 0


def find_public_ids(session: Session, online: Collection[int]) -> list[int]:
    """Return the ids of the displayed games among those online."""
    if not online:
        return []
    return list(session.scalars(select(Game.id).where(Game.is_displayed, _is_among(online))))


def list_newest_games(session: Session, *, limit: int) -> list[Game]:
    """Return the displayed games that were registered last, newest first."""
    newest = select(Game).where(Game.is_displayed).order_by(Game.created_at.desc(), Game.id.desc())
    return list(session.scalars(newest.limit(limit)))


def pick_game(session: Session, online: Collection[int]) -> Game | None:
    """Return a random displayed game that is online, preferably one with a way to connect, or None."""
    if not online:
        return None
    statement = select(Game.id).where(Game.is_displayed, _is_among(online))
    ids = list(session.scalars(statement.where(Game.connections.any()))) or list(session.scalars(statement))
    return session.get(Game, random.choice(ids)) if ids else None


def list_software(session: Session) -> list[str]:
    """Return the software that displayed games run, by name; the most common SOFTWARE_LISTED of it."""
    used: Select[Any] = (
        select(UserAgent.name)
        .join(Game, Game.user_agent_id == UserAgent.id)
        .where(Game.is_displayed)
        .group_by(UserAgent.id, UserAgent.name)
        .order_by(func.count().desc(), UserAgent.id)
        .limit(SOFTWARE_LISTED)
    )
    return sorted(session.scalars(used), key=str.casefold)


def is_connection_type(value: str) -> bool:
    """Return True if there is such a kind of way to connect."""
    return value in CONNECTION_TYPES


def _is_among(ids: Collection[int]) -> ColumnElement[bool]:
    """Return the condition with the ids written into the statement, since databases limit the number of parameters."""
    return Game.id.in_(bindparam("online", sorted(ids), expanding=True, literal_execute=True, unique=True))
