"""Games: registering, editing, credentials, ways to connect; and whose they are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import peer_keys
from shared.bus import announce
from shared.errors import Conflict, NameTaken, NotFound
from shared.models.credentials import Credentials
from shared.models.game import Game, GameConnection
from shared.models.user import User
from shared.models.user_agent import UserAgent
from shared.services import connection_checks, rules, short_names, users
from shared.signals import CredentialsRevoked

GAMES_AN_OWNER = 50
CONNECTIONS_A_GAME = 20


def create_game(
    session: Session,
    *,
    owner_id: int,
    name: str,
    short_name: str,
    description: str | None = "",
    homepage_url: str | None = "",
    is_displayed: bool = True,
    allows_character_registration: bool = True,
    show_players: bool = True,
    actor_id: int | None = None,
) -> tuple[Game, Credentials]:
    """Register a game. The credentials are in clear here and nowhere else, ever. Who is no admin may have so many.

    Raises Invalid and NameTaken with the field at fault, Conflict if the owner has too many games.
    """
    owner = session.get(User, owner_id)
    if owner is None:
        raise NotFound("there is no such owner", field="owner")
    if not users.is_admin(session, actor_id):
        owned = session.scalar(select(func.count()).select_from(Game).where(Game.owner_id == owner_id)) or 0
        if owned >= GAMES_AN_OWNER:
            raise Conflict(f"an owner may have {GAMES_AN_OWNER} games at most", field="name")
    game = Game(
        owner_id=owner_id,
        name=name_of(name),
        short_name=rules.short_name(short_name),
        description=description_of(description),
        homepage_url=homepage_of(homepage_url),
        is_displayed=bool(is_displayed),
        allows_character_registration=bool(allows_character_registration),
        show_players=bool(show_players),
        redirect_uris=[],
        connections=[],
    )
    fold_words(game)
    credentials = game.make_credentials()
    if short_names.is_reserved(session, game.short_name):
        raise short_names.taken()
    _require_free_name(session, game.name_key, but=None)
    session.add(game)
    _flush_names(session)
    short_names.reserve(session, game.short_name, game_id=game.id)
    return game, credentials


def update_game(
    session: Session,
    *,
    actor_id: int | None,
    short_name: str,
    new_short_name: str | None = None,
    name: str | None = None,
    description: str | None = None,
    homepage_url: str | None = None,
    is_displayed: bool | None = None,
    allows_character_registration: bool | None = None,
    show_players: bool | None = None,
) -> Game:
    """Change what is given; None leaves a field as it is, an empty text clears it.

    Raises NotFound (also if the actor is not the owner), Invalid, NameTaken.
    """
    game = get_own_game(session, actor_id=actor_id, short_name=short_name)
    if new_short_name is not None:
        new_short_name = rules.short_name(new_short_name)
        if new_short_name.lower() != game.short_name.lower():
            # First of all, so that what its flush finds taken is the short name and nothing else.
            short_names.reserve(session, new_short_name, game_id=game.id)
        game.short_name = new_short_name
    if name is not None:
        name = name_of(name)
        _require_free_name(session, rules.name_key(name), but=game.id)
        game.name = name
    if description is not None:
        game.description = description_of(description)
    if homepage_url is not None:
        game.homepage_url = homepage_of(homepage_url)
    if is_displayed is not None:
        game.is_displayed = is_displayed
    if allows_character_registration is not None:
        game.allows_character_registration = allows_character_registration
    if show_players is not None:
        game.show_players = show_players
    fold_words(game)
    _flush_names(session)
    return game


def regenerate_credentials(session: Session, *, actor_id: int | None, short_name: str) -> Credentials:
    """Make new credentials; the old ones stop working and their sockets are closed. Raises NotFound."""
    game = get_own_game(session, actor_id=actor_id, short_name=short_name)
    credentials = game.make_credentials()
    announce(session, CredentialsRevoked(peer_keys.of_game(game.id)))
    return credentials


def delete_game(session: Session, *, actor_id: int | None, short_name: str) -> None:
    """Delete a game and its ways to connect; its short name stays reserved. Raises NotFound."""
    game = get_own_game(session, actor_id=actor_id, short_name=short_name)
    announce(session, CredentialsRevoked(peer_keys.of_game(game.id)))
    session.delete(game)
    session.flush()


def add_connection(
    session: Session,
    *,
    actor_id: int | None,
    short_name: str,
    type: str,
    url: str = "",
    host: str = "",
    port: int | str | None = None,
) -> GameConnection:
    """Add a way to connect. Raises NotFound, Invalid with the field at fault, Conflict if there are too many."""
    game = get_own_game(session, actor_id=actor_id, short_name=short_name)
    if len(game.connections) >= CONNECTIONS_A_GAME:
        raise Conflict(f"a game may have {CONNECTIONS_A_GAME} ways to connect at most", field="type")
    way = GameConnection(**rules.way_to_connect(type=type, url=url, host=host, port=port))
    game.connections.append(way)
    try:
        session.flush()
    except IntegrityError:  # the game was deleted at the same moment
        raise NotFound(f"there is no game {short_name}", field="short_name") from None
    return way


def update_connection(
    session: Session,
    *,
    actor_id: int | None,
    connection_id: str,
    type: str,
    url: str = "",
    host: str = "",
    port: int | str | None = None,
) -> GameConnection:
    """Change a way to connect. Raises NotFound, Invalid with the field at fault."""
    way = get_own_connection(session, actor_id=actor_id, connection_id=connection_id)
    for column, value in rules.way_to_connect(type=type, url=url, host=host, port=port).items():
        setattr(way, column, value)
    connection_checks.forget(session, way.id)
    session.flush()
    return way


def delete_connection(session: Session, *, actor_id: int | None, connection_id: str) -> Game:
    """Remove a way to connect and return its game. Raises NotFound."""
    way = get_own_connection(session, actor_id=actor_id, connection_id=connection_id)
    game = way.game
    game.connections.remove(way)
    session.flush()
    return game


def find_game(session: Session, short_name: str) -> Game | None:
    """The game of this short name in any case, or None."""
    if not rules.may_be_kept(short_name):
        return None
    return session.scalar(select(Game).where(func.lower(Game.short_name) == short_name.lower()))


def get_game(session: Session, short_name: str) -> Game:
    """The game of this short name in any case, hidden or not. Raises NotFound."""
    game = find_game(session, short_name)
    if game is None:
        raise NotFound(f"there is no game {short_name}", field="short_name")
    return game


def get_own_game(session: Session, *, actor_id: int | None, short_name: str) -> Game:
    """A game that the actor may change: their own, any for an admin. Raises NotFound, so that nothing is given away."""
    game = get_game(session, short_name)
    if actor_id is not None and game.owner_id != actor_id and not users.is_admin(session, actor_id):
        raise NotFound(f"there is no game {short_name}", field="short_name")
    return game


def get_own_connection(session: Session, *, actor_id: int | None, connection_id: str) -> GameConnection:
    """A way to connect of a game that the actor may change. Raises NotFound."""
    way = session.get(GameConnection, connection_id)
    if way is None:
        raise NotFound("there is no such way to connect")
    get_own_game(session, actor_id=actor_id, short_name=way.game.short_name)
    return way


def get_public_game(session: Session, *, short_name: str, viewer_id: int | None = None) -> Game:
    """A game as a visitor may see it: a hidden one only for its owner, moderators and admins. Raises NotFound."""
    game = get_game(session, short_name)
    if not game.is_displayed and game.owner_id != viewer_id:
        viewer = session.get(User, viewer_id) if viewer_id is not None else None
        if viewer is None or viewer.role == "player":
            raise NotFound(f"there is no game {short_name}", field="short_name")
    return game


def list_games_of(session: Session, owner_id: int) -> list[Game]:
    """An owner's games by name, hidden ones too."""
    return list(session.scalars(select(Game).where(Game.owner_id == owner_id).order_by(Game.name_key)))


def check_connections(session: Session, *, actor_id: int | None, short_name: str) -> int:
    """Let the game's ways to connect be tried now. Returns how many there are. Raises NotFound."""
    return connection_checks.request(session, get_own_game(session, actor_id=actor_id, short_name=short_name))


def remember_client(session: Session, *, game_id: int, user_agent: str | None, protocol_version: str) -> None:
    """Note which server software a game runs and which protocol it speaks; a new user agent is registered."""
    game = session.get(Game, game_id)
    if game is None:
        return
    agent = None
    if user_agent:
        agent = session.scalar(select(UserAgent).where(UserAgent.name == user_agent))
        if agent is None:
            agent = UserAgent(name=user_agent)
            try:
                with session.begin_nested():
                    session.add(agent)
            except IntegrityError:  # another worker registered it at the same moment
                agent = session.scalar(select(UserAgent).where(UserAgent.name == user_agent))
        game.user_agent = agent
    game.protocol_version = protocol_version


def fold_words(game: Game) -> None:
    """Note the forms of a game's words in which they are compared and searched; after each change of them."""
    game.name_key = rules.name_key(game.name)
    game.description_key = rules.name_key(game.description or "")


def _require_free_name(session: Session, name_key: str, *, but: int | None) -> None:
    holder = session.scalar(select(Game.id).where(Game.name_key == name_key))
    if holder is not None and holder != but:
        raise name_taken()


def _flush_names(session: Session) -> None:
    """Flush; a lost race for a name becomes the same error as a name that was seen to be taken."""
    try:
        session.flush()
    except IntegrityError as error:
        raise short_names.taken() if "short_name" in str(error.orig) else name_taken() from None


def name_taken() -> NameTaken:
    """The error for a name that another game has."""
    return NameTaken("another game has this name, choose another", field="name")


def name_of(value: Any) -> str:
    """A game's name: one line of 1 to 80 characters. Raises Invalid."""
    return rules.line(value, field="name", longest=80, what="the name")


def description_of(value: Any) -> str | None:
    """A game's description: up to 5,000 characters, None if empty. Raises Invalid."""
    return rules.text(value or "", field="description", longest=5_000, what="the description") or None


def homepage_of(value: Any) -> str | None:
    """A game's homepage: a full address, None if empty. Raises Invalid."""
    if value is None or not str(value).strip():
        return None
    return rules.web_address(value, field="homepage_url", what="the homepage")
