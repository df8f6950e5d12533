"""Importing many games at once from JSON lines: all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

import msgspec
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import validation
from shared.errors import DomainError, Invalid, NameTaken
from shared.models.credentials import Credentials
from shared.models.game import CONNECTION_TYPES, Game, GameConnection
from shared.models.game_details import WIRE_NAMES, GameDetails
from shared.models.reserved_name import ReservedShortName
from shared.models.user import User
from shared.services import short_names
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require
from shared.services.games import CONNECTIONS_PER_GAME, clean_details, name_taken, set_details

_BATCH = 500
_DETAILS = {WIRE_NAMES.get(field.name, field.name): field for field in fields(GameDetails)}
_FIELDS = frozenset([*_DETAILS, "owner", "connections", "redirect_uris"])


@dataclass(frozen=True)
class ImportedGame:
    """A game that was imported, with its credentials in clear."""

    game: Game
    credentials: Credentials


class BadLine(Invalid):
    """A line that cannot be imported. The message has the line's number, counted from 1, and what is wrong."""

    def __init__(self, number: int, fault: DomainError) -> None:
        where = f" ({fault.field})" if fault.field else ""
        super().__init__(f"line {number}: {fault.message}{where}; nothing was imported", line=number)


def import_games(
    session: Session, actor: Actor, lines: Iterable[str], *, progress: Callable[[int], None] = lambda count: None
) -> list[ImportedGame]:
    """Create a game, with new credentials, from each line that is not blank. For the operator.

    A line is a JSON object with `name`, `short_name`, `owner` (a username) and any other form field of a game.

    Args:
        progress: Called with the number of games so far, once per batch.

    Raises Forbidden, BadLine.
    """
    require(actor, Act.IMPORT_GAMES)
    owner_ids: dict[str, int] = {}
    seen: dict[str, int] = {}
    imported: list[ImportedGame] = []
    batch: list[tuple[int, ImportedGame]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            parsed = _parse(session, line, owner_ids)
            for key in ("name " + parsed.game.name_key, "short_name " + parsed.game.short_name.lower()):
                if key in seen:
                    raise NameTaken(f"line {seen[key]} already has this name", field=key.split()[0])
                seen[key] = number
        except DomainError as fault:
            raise BadLine(number, fault) from None
        batch.append((number, parsed))
        if len(batch) == _BATCH:
            imported += _insert(session, batch)
            batch = []
            progress(len(imported))
    imported += _insert(session, batch)
    progress(len(imported))
    return imported


def _insert(session: Session, batch: Sequence[tuple[int, ImportedGame]]) -> list[ImportedGame]:
    """Check a batch of numbered games against the database and insert it."""
    games = [imported.game for _, imported in batch]
    names = set(session.scalars(select(Game.name_key).where(Game.name_key.in_([game.name_key for game in games]))))
    keys = [game.short_name.lower() for game in games]
    reserved = set(session.scalars(select(ReservedShortName.key).where(ReservedShortName.key.in_(keys))))
    for number, imported in batch:
        if imported.game.name_key in names:
            raise BadLine(number, name_taken())
        if imported.game.short_name.lower() in reserved:
            raise BadLine(number, short_names.taken())
    try:
        session.add_all(games)
        session.flush()
        session.add_all(ReservedShortName(key=game.short_name.lower(), game_id=game.id) for game in games)
        session.flush()
    except IntegrityError:
        first = batch[0][0]
        raise BadLine(first, NameTaken("a name in or after this line was taken at this moment, try again")) from None
    return [imported for _, imported in batch]


def _parse(session: Session, line: str, owner_ids: dict[str, int]) -> ImportedGame:
    try:
        values = msgspec.json.decode(line.encode("utf-8"))
    except UnicodeEncodeError:
        raise Invalid("this is not UTF-8: save the file in that encoding") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(f"this is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise Invalid("this is not a JSON object")
    unknown = sorted(set(values) - _FIELDS)
    if unknown:
        raise Invalid(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(_FIELDS))}")
    game = Game(
        owner_id=_owner_id(session, values.get("owner"), owner_ids),
        redirect_uris=[
            validation.web_address(uri, field="redirect_uris", what="a redirect address")
            for uri in _list(values, "redirect_uris")
        ],
        connections=[_way(way) for way in _list(values, "connections")],
    )
    set_details(game, clean_details(_details(values)))
    if len(game.connections) > CONNECTIONS_PER_GAME:
        raise Invalid(f"a game may have at most {CONNECTIONS_PER_GAME} ways to connect", field="connections")
    return ImportedGame(game, game.make_credentials())


def _details(values: dict[str, Any]) -> GameDetails:
    details: dict[str, Any] = {}
    for key, field in _DETAILS.items():
        details[field.name] = values.get(key, None if field.default is MISSING else field.default)
        if field.default is True and not isinstance(details[field.name], bool):
            raise Invalid("must be true or false", field=key)
    return GameDetails(**details)


def _owner_id(session: Session, username: Any, owner_ids: dict[str, int]) -> int:
    if not isinstance(username, str) or not username or not validation.is_storable(username):
        raise Invalid("the owner's username is missing", field="owner")
    key = username.lower()
    if key not in owner_ids:
        user_id = session.scalar(select(User.id).where(func.lower(User.username) == key))
        if user_id is None:
            raise Invalid(f"there is no user {username}", field="owner")
        owner_ids[key] = user_id
    return owner_ids[key]


def _list(values: dict[str, Any], name: str) -> list[Any]:
    value = values.get(name) or []
    if not isinstance(value, list):
        raise Invalid("must be a list", field=name)
    return value


def _way(values: Any) -> GameConnection:
    if not isinstance(values, dict) or values.get("type") not in CONNECTION_TYPES:
        raise Invalid("each must be an object with a type of web, telnet or secure telnet", field="connections")
    return GameConnection(
        **validation.way_to_connect(
            type=values["type"], url=values.get("url"), host=values.get("host"), port=values.get("port")
        )
    )
