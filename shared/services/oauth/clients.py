"""Clients of the OpenID Connect provider: games, and applications with the scope `identity`.

Their credentials are those of the socket. The owner of a game, or an admin for an application, registers to which
addresses people may return.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.errors import Invalid
from shared.models.application import Application
from shared.models.credentials import secret_matches
from shared.models.game import Game
from shared.models.sign_in import ID_TOKEN_ALGORITHMS
from shared.services import applications, games
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require

Client: TypeAlias = Game | Application

IDENTITY = "identity"
LOOPBACK_HOSTS = frozenset(["127.0.0.1", "::1", "localhost"])
MAX_URIS = 10
MAX_URI_LENGTH = 500


@dataclass(frozen=True)
class SignInSettings:
    """What a client can set. See `shared.models.sign_in.HasSignIn`."""

    redirect_uris: Sequence[str] = ()
    logout_uris: Sequence[str] = ()
    requires_secret: bool = False
    has_private_ids: bool = False
    id_token_algorithm: str = "RS256"


def find_client(session: Session, client_id: str) -> Client | None:
    """Return the game or application with this client id. None also for an application without the scope."""
    client_id = client_id.strip().lower()
    if not client_id.isascii() or not client_id.isprintable():
        return None
    game = session.scalar(select(Game).where(Game.client_id == client_id))
    if game is not None:
        return game
    application = session.scalar(select(Application).where(Application.client_id == client_id))
    return application if application is not None and IDENTITY in application.scopes else None


def has_secret(client: Client, secret: str) -> bool:
    """Return whether this is the client's secret, in constant time."""
    return secret_matches(secret, client.client_secret_digest)


def may_omit_secret(client: Client) -> bool:
    """Return whether the client may redeem codes without its secret, as games of the first Grapevine do."""
    return isinstance(client, Game) and not client.requires_secret


def require_secret_from_now_on(client: Client) -> None:
    """Note that the client knows how to send its secret: nobody needs to redeem its codes without one."""
    client.requires_secret = True


def has_redirect_uri(client: Client, uri: str) -> bool:
    """Return whether people may return to this address after signing in.

    It must equal a registered one. Of addresses on the person's own computer, the port does not matter (RFC 8252,
    section 7.3), since programs listen on whichever is free.
    """
    try:
        requested = _checked(uri, "")
    except Invalid:
        return False
    return any(uri == registered or _differ_in_port_only(requested, registered) for registered in client.redirect_uris)


def is_loopback(uri: str) -> bool:
    """Return whether an address is on the person's own computer."""
    parts = urlsplit(uri)
    return parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS


def settings_of(client: Client) -> SignInSettings:
    """Return what the client has registered."""
    return SignInSettings(
        redirect_uris=tuple(client.redirect_uris),
        logout_uris=tuple(client.logout_uris),
        requires_secret=client.requires_secret,
        has_private_ids=client.has_private_ids,
        id_token_algorithm=client.id_token_algorithm,
    )


def update_game(session: Session, actor: Actor, *, short_name: str, settings: SignInSettings) -> Game:
    """Set how people sign in to a game. Raises NotFound, Invalid with the field at fault."""
    game = games.get_own_game(session, actor, short_name=short_name)
    _update(game, settings)
    return game


def update_application(session: Session, actor: Actor, *, short_name: str, settings: SignInSettings) -> Application:
    """Set how people sign in to an application. For admins. Raises Forbidden, NotFound, Invalid."""
    require(actor, Act.MANAGE_APPLICATIONS)
    application = applications.get_application(session, short_name)
    _update(application, settings)
    return application


def clean_redirect_uris(value: object) -> list[str]:
    """Return addresses, one per line, to which people may return after signing in. Raises Invalid."""
    return _clean_uris(value, "redirect_uris")


def clean_logout_uris(value: object) -> list[str]:
    """Return addresses, one per line, to which people may return after signing out. Raises Invalid."""
    return _clean_uris(value, "logout_uris")


def _update(client: Client, settings: SignInSettings) -> None:
    if settings.id_token_algorithm not in ID_TOKEN_ALGORITHMS:
        raise Invalid(f"choose {' or '.join(ID_TOKEN_ALGORITHMS)}", field="id_token_algorithm")
    client.redirect_uris = clean_redirect_uris("\n".join(settings.redirect_uris))
    client.logout_uris = clean_logout_uris("\n".join(settings.logout_uris))
    client.requires_secret = settings.requires_secret
    client.has_private_ids = settings.has_private_ids
    client.id_token_algorithm = settings.id_token_algorithm
    if client.has_private_ids and client.subject_key is None:
        client.subject_key = secrets.token_hex(32)


def _clean_uris(value: object, field: str) -> list[str]:
    uris = list(dict.fromkeys(str(value or "").split()))
    if len(uris) > MAX_URIS:
        raise Invalid(f"at most {MAX_URIS} addresses can be registered", field=field)
    for uri in uris:
        _checked(uri, field)
    return uris


def _checked(uri: str, field: str) -> SplitResult:
    """Return the parts of an address to which a browser may be sent. Raises Invalid."""
    try:
        parts = urlsplit(uri)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise Invalid(f"{uri} is not an address", field=field) from None
    if len(uri) > MAX_URI_LENGTH:
        raise Invalid(f"an address may have {MAX_URI_LENGTH} characters", field=field)
    if not uri.isascii() or not uri.isprintable() or set(uri) & set(" \"'<>\\^`{|}*,;"):
        raise Invalid(f"{uri} contains a character that must be encoded", field=field)
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_HOSTS)):
        raise Invalid(
            f"{uri} must begin with https://, or with http://127.0.0.1/ for programs on the player’s own computer",
            field=field,
        )
    if not parts.path:
        raise Invalid(f"{uri} needs a path, if only a / at its end", field=field)
    if parts.query or parts.fragment or uri.endswith(("?", "#")) or "@" in parts.netloc:
        raise Invalid(f"{uri} must not have a user, a ? or a #", field=field)
    return parts


def _differ_in_port_only(requested: SplitResult, registered_uri: str) -> bool:
    registered = urlsplit(registered_uri)
    return (
        requested.scheme == registered.scheme == "http"
        and requested.hostname == registered.hostname
        and requested.hostname in LOOPBACK_HOSTS
        and requested.path == registered.path
    )
