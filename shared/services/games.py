"""Games: registering, editing, credentials and ways to connect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from shared import peer_keys, validation
from shared.bus import announce
from shared.errors import Conflict, Forbidden, NameTaken, NotFound
from shared.models.credentials import Credentials
from shared.models.game import Game, GameConnection
from shared.models.game_details import GameDetails
from shared.models.user import User
from shared.services import connection_checks, raids, short_names
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, may
from shared.services.oauth import revocation
from shared.signals import CredentialsRevoked

GAMES_PER_OWNER = 50
CONNECTIONS_PER_GAME = 20


def create_game(session: Session, actor: Actor, *, owner_id: int, details: GameDetails) -> tuple[Game, Credentials]:
    """Register a game, for the actor or, as an admin or the operator, for somebody else.

    Non-admins may own at most GAMES_PER_OWNER games, and may register none during a raid.

    Returns:
        The game and its credentials. The credentials are in clear here and nowhere else.

    Raises:
        Forbidden: A non-admin registers a game for somebody else.
        NotFound: The owner does not exist.
        Invalid: With the field at fault.
        NameTaken: With the field `name` or `short_name`.
        Conflict: The owner has too many games, or raid protection is on.
    """
    is_manager = may(actor, Act.MANAGE_GAMES)
    if not is_manager and not actor.is_user(owner_id):
        raise Forbidden("only admins may register a game for somebody else")
    if session.get(User, owner_id) is None:
        raise NotFound("there is no such owner", field="owner")
    if not is_manager:
        raids.require_no_raid(session)
        require_room_for_game(session, owner_id, field="name")
    details = clean_details(details)
    game = Game(owner_id=owner_id, redirect_uris=[], connections=[])
    set_details(game, details)
    credentials = game.make_credentials()
    if short_names.is_reserved(session, game.short_name):
        raise short_names.taken()
    _require_free_name(session, game.name_key, except_id=None)
    session.add(game)
    _flush_names(session)
    short_names.reserve(session, game.short_name, game_id=game.id)
    return game, credentials


def update_game(session: Session, actor: Actor, *, short_name: str, details: GameDetails) -> Game:
    """Give a game new details. Use `dataclasses.replace(game.details, …)` to change some fields only.

    Raises:
        NotFound: There is no such game, or the actor may not change it.
        Invalid: With the field at fault.
        NameTaken: With the field `name` or `short_name`.
    """
    game = get_own_game(session, actor, short_name=short_name)
    details = clean_details(details, current=game.details)
    if details.short_name.lower() != game.short_name.lower():
        # Before anything else is set: what its flush finds taken can then only be the short name.
        short_names.reserve(session, details.short_name, game_id=game.id)
    _require_free_name(session, validation.name_key(details.name), except_id=game.id)
    set_details(game, details)
    _flush_names(session)
    return game


def regenerate_credentials(session: Session, actor: Actor, *, short_name: str) -> Credentials:
    """Replace the credentials. The old ones stop working and their sockets are closed. Raises NotFound."""
    game = get_own_game(session, actor, short_name=short_name)
    credentials = game.make_credentials()
    revocation.revoke_of_game(session, game.id)
    announce(session, CredentialsRevoked(peer_keys.of_game(game.id)))
    return credentials


def delete_game(session: Session, actor: Actor, *, short_name: str) -> None:
    """Delete a game and its ways to connect. Its short name stays reserved. Raises NotFound."""
    game = get_own_game(session, actor, short_name=short_name)
    announce(session, CredentialsRevoked(peer_keys.of_game(game.id)))
    session.delete(game)
    session.flush()


def add_connection(
    session: Session,
    actor: Actor,
    *,
    short_name: str,
    type: str,
    url: str = "",
    host: str = "",
    port: int | str | None = None,
) -> GameConnection:
    """Add a way to connect. See `validation.way_to_connect` for the fields.

    Raises NotFound, Invalid with the field at fault, Conflict (too many).
    """
    game = get_own_game(session, actor, short_name=short_name)
    if len(game.connections) >= CONNECTIONS_PER_GAME:
        raise Conflict(f"a game may have at most {CONNECTIONS_PER_GAME} ways to connect", field="type")
    way = GameConnection(**validation.way_to_connect(type=type, url=url, host=host, port=port))
    game.connections.append(way)
    try:
        session.flush()
    except IntegrityError:  # the game was deleted at the same moment
        raise NotFound(f"there is no game {short_name}", field="short_name") from None
    return way


def update_connection(
    session: Session,
    actor: Actor,
    *,
    connection_id: str,
    type: str,
    url: str = "",
    host: str = "",
    port: int | str | None = None,
) -> GameConnection:
    """Replace a way to connect. Raises NotFound, Invalid with the field at fault."""
    way = get_own_connection(session, actor, connection_id=connection_id)
    for column, value in validation.way_to_connect(type=type, url=url, host=host, port=port).items():
        setattr(way, column, value)
    connection_checks.forget(session, way.id)
    session.flush()
    return way


def delete_connection(session: Session, actor: Actor, *, connection_id: str) -> Game:
    """Delete a way to connect and return its game. Raises NotFound."""
    way = get_own_connection(session, actor, connection_id=connection_id)
    game = way.game
    if way not in game.connections:  # somebody else has deleted it at this moment
        raise NotFound("there is no such way to connect")
    game.connections.remove(way)
    session.flush()
    return game


def check_connections(session: Session, actor: Actor, *, short_name: str) -> int:
    """Ask workers to try the game's ways to connect now. Return how many there are. Raises NotFound."""
    return connection_checks.request(session, get_own_game(session, actor, short_name=short_name))


def find_game(session: Session, short_name: str) -> Game | None:
    """Return the game with this short name in any case, or None."""
    if not validation.is_storable(short_name):
        return None
    query = select(Game).where(func.lower(Game.short_name) == short_name.lower())
    return session.scalar(query.options(joinedload(Game.user_agent)))


def get_game(session: Session, short_name: str) -> Game:
    """Return the game with this short name in any case, displayed or not. Raises NotFound."""
    game = find_game(session, short_name)
    if game is None:
        raise _unknown(short_name)
    return game


def get_own_game(session: Session, actor: Actor, *, short_name: str) -> Game:
    """Return a game that the actor may change: their own, or any for admins and the operator.

    Raises NotFound, also for somebody else's game: the answer must not reveal hidden games.
    """
    game = get_game(session, short_name)
    if not actor.is_user(game.owner_id) and not may(actor, Act.MANAGE_GAMES):
        raise _unknown(short_name)
    return game


def get_own_connection(session: Session, actor: Actor, *, connection_id: str) -> GameConnection:
    """Return a way to connect of a game that the actor may change. Raises NotFound."""
    way = session.get(GameConnection, connection_id)
    if way is None:
        raise NotFound("there is no such way to connect")
    get_own_game(session, actor, short_name=way.game.short_name)
    return way


def get_public_game(session: Session, actor: Actor, *, short_name: str) -> Game:
    """Return a game that the actor may see: hidden ones only for the owner, moderators and admins. Raises NotFound."""
    game = get_game(session, short_name)
    if not game.is_displayed and not actor.is_user(game.owner_id) and not may(actor, Act.SEE):
        raise _unknown(short_name)
    return game


def list_games_of(session: Session, owner_id: int) -> list[Game]:
    """Return an owner's games by name, hidden ones too."""
    return list(session.scalars(select(Game).where(Game.owner_id == owner_id).order_by(Game.name_key)))


def require_room_for_game(session: Session, owner_id: int, *, field: str | None = None) -> None:
    """Raise Conflict if this owner has as many games as a non-admin may have."""
    count = session.scalar(select(func.count()).select_from(Game).where(Game.owner_id == owner_id)) or 0
    if count >= GAMES_PER_OWNER:
        raise Conflict(f"an owner may have at most {GAMES_PER_OWNER} games", field=field)


def clean_details(details: GameDetails, *, current: GameDetails | None = None) -> GameDetails:
    """Return the details as they are stored. Raises Invalid with the field at fault.

    Fields equal to those of `current` are not checked: an old name stays valid when the rules get stricter.
    """
    cleaned = {
        name: clean(getattr(details, name))
        for name, clean in _CLEANERS.items()
        if current is None or getattr(details, name) != getattr(current, name)
    }
    return replace(details, **cleaned)


def set_details(game: Game, details: GameDetails) -> None:
    """Set cleaned details on a game, and the keys by which its texts are compared and searched."""
    for field in fields(details):
        setattr(game, field.name, getattr(details, field.name))
    game.name_key = validation.name_key(game.name)
    game.description_key = validation.name_key(game.description or "")


def clean_name(value: Any) -> str:
    """Return a game's name: one line of 1 to 80 characters. Raises Invalid."""
    return validation.line(value, field="name", longest=80, what="the name")


def clean_description(value: Any) -> str | None:
    """Return a game's description: up to 5,000 characters, None if empty. Raises Invalid."""
    return validation.text(value or "", field="description", longest=5_000, what="the description") or None


def clean_homepage(value: Any) -> str | None:
    """Return a game's homepage: a full address, None if empty. Raises Invalid."""
    if value is None or not str(value).strip():
        return None
    return validation.web_address(value, field="homepage_url", what="the homepage")


_CLEANERS: dict[str, Callable[[Any], Any]] = {
    "name": clean_name,
    "short_name": validation.short_name,
    "description": clean_description,
    "homepage_url": clean_homepage,
}


def name_taken() -> NameTaken:
    """Return the error for a name that another game has."""
    return NameTaken("another game has this name, choose another", field="name")


def _unknown(short_name: str) -> NotFound:
    return NotFound(f"there is no game {short_name}", field="short_name")


def _require_free_name(session: Session, name_key: str, *, except_id: int | None) -> None:
    holder_id = session.scalar(select(Game.id).where(Game.name_key == name_key))
    if holder_id is not None and holder_id != except_id:
        raise name_taken()


def _flush_names(session: Session) -> None:
    """Flush. A lost race for a name raises the same error as a name that was seen to be taken."""
    try:
        session.flush()
    except IntegrityError as error:
        raise short_names.taken() if "short_name" in str(error.orig) else name_taken() from None
