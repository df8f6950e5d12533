"""Many games at once, from JSON lines: all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.errors import DomainError, Invalid, NameTaken
from shared.models.credentials import Credentials
from shared.models.game import CONNECTION_TYPES, Game, GameConnection
from shared.models.reserved_name import ReservedShortName
from shared.models.user import User
from shared.services import rules, short_names
from shared.services.games import CONNECTIONS_A_GAME, description_of, fold_words, homepage_of, name_of, name_taken

_BATCH = 500
_FIELDS = frozenset(
    [
        "name",
        "short_name",
        "owner",
        "description",
        "homepage_url",
        "display",
        "allow_character_registration",
        "show_players",
        "connections",
        "redirect_uris",
    ]
)


@dataclass(frozen=True)
class ImportedGame:
    """A game that was imported, with its credentials in clear."""

    game: Game
    credentials: Credentials


class BadLine(Invalid):
    """A line that cannot be imported. The message names the line, counted from 1, and its fault."""

    def __init__(self, number: int, fault: DomainError) -> None:
        where = f" ({fault.field})" if fault.field else ""
        super().__init__(f"line {number}: {fault.message}{where}; nothing was imported", line=number)


def import_games(
    session: Session, lines: Iterable[str], *, progress: Callable[[int], None] = lambda count: None
) -> list[ImportedGame]:
    """Make a game of each line that is not blank: a JSON object with `name`, `short_name`, `owner` (a username) and any
    other field of a game by its name in forms. Credentials are made anew.

    progress is called with the number of games so far. Raises BadLine.
    """
    owners: dict[str, int] = {}
    seen: dict[str, int] = {}
    imported: list[ImportedGame] = []
    numbered: list[tuple[int, ImportedGame]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            made = _parse(session, line, owners)
            for key in ("name " + made.game.name_key, "short_name " + made.game.short_name.lower()):
                if key in seen:
                    raise NameTaken(f"line {seen[key]} has the same name already", field=key.split()[0])
                seen[key] = number
        except DomainError as fault:
            raise BadLine(number, fault) from None
        numbered.append((number, made))
        if len(numbered) == _BATCH:
            imported += _add(session, numbered)
            numbered = []
            progress(len(imported))
    imported += _add(session, numbered)
    progress(len(imported))
    return imported


def _add(session: Session, numbered: Sequence[tuple[int, ImportedGame]]) -> list[ImportedGame]:
    """Check a batch against the database and insert it."""
    games = [made.game for _, made in numbered]
    names = set(session.scalars(select(Game.name_key).where(Game.name_key.in_([game.name_key for game in games]))))
    keys = [game.short_name.lower() for game in games]
    reserved = set(session.scalars(select(ReservedShortName.key).where(ReservedShortName.key.in_(keys))))
    for number, made in numbered:
        if made.game.name_key in names:
            raise BadLine(number, name_taken())
        if made.game.short_name.lower() in reserved:
            raise BadLine(number, short_names.taken())
    try:
        session.add_all(games)
        session.flush()
        session.add_all(ReservedShortName(key=game.short_name.lower(), game_id=game.id) for game in games)
        session.flush()
    except IntegrityError:
        first = numbered[0][0]
        raise BadLine(first, NameTaken("a name in or after this line was taken at this moment, try again")) from None
    return [made for _, made in numbered]


def _parse(session: Session, line: str, owners: dict[str, int]) -> ImportedGame:
    try:
        fields = msgspec.json.decode(line.encode("utf-8"))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise Invalid(f"this is not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise Invalid("this is not a JSON object")
    unknown = sorted(set(fields) - _FIELDS)
    if unknown:
        raise Invalid(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(_FIELDS))}")
    game = Game(
        owner_id=_owner(session, fields.get("owner"), owners),
        name=name_of(fields.get("name")),
        short_name=rules.short_name(fields.get("short_name")),
        description=description_of(fields.get("description")),
        homepage_url=homepage_of(fields.get("homepage_url")),
        is_displayed=_flag(fields, "display"),
        allows_character_registration=_flag(fields, "allow_character_registration"),
        show_players=_flag(fields, "show_players"),
        redirect_uris=[
            rules.web_address(uri, field="redirect_uris", what="a redirect address")
            for uri in _list(fields, "redirect_uris")
        ],
        connections=[_way(way) for way in _list(fields, "connections")],
    )
    fold_words(game)
    if len(game.connections) > CONNECTIONS_A_GAME:
        raise Invalid(f"a game may have {CONNECTIONS_A_GAME} ways to connect at most", field="connections")
    return ImportedGame(game, game.make_credentials())


def _owner(session: Session, username: Any, owners: dict[str, int]) -> int:
    if not isinstance(username, str) or not username or not rules.may_be_kept(username):
        raise Invalid("the owner's username is missing", field="owner")
    key = username.lower()
    if key not in owners:
        found = session.scalar(select(User.id).where(func.lower(User.username) == key))
        if found is None:
            raise Invalid(f"there is no user {username}", field="owner")
        owners[key] = found
    return owners[key]


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name, True)
    if not isinstance(value, bool):
        raise Invalid("must be true or false", field=name)
    return value


def _list(fields: dict[str, Any], name: str) -> list[Any]:
    value = fields.get(name) or []
    if not isinstance(value, list):
        raise Invalid("must be a list", field=name)
    return value


def _way(fields: Any) -> GameConnection:
    if not isinstance(fields, dict) or fields.get("type") not in CONNECTION_TYPES:
        raise Invalid("each must be an object with a type of web, telnet or secure telnet", field="connections")
    return GameConnection(
        **rules.way_to_connect(
            type=fields["type"], url=fields.get("url"), host=fields.get("host"), port=fields.get("port")
        )
    )
