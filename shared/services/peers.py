"""Who may connect to the socket: games and applications by their credentials."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.errors import InvalidCredentials
from shared.models.application import Application
from shared.models.credentials import secret_digest, secret_matches
from shared.models.game import Game

_UNKNOWN = secret_digest("")


@dataclass(frozen=True, slots=True)
class Peer:
    """A game or an application as the worker knows it. `key` is unique over both: `game:7`, `application:3`.

    name: what it shows. is_displayed is False for applications: they are in no list and send no notices.
    """

    key: str
    id: int
    short_name: str
    is_application: bool
    is_displayed: bool
    credentials_serial: int
    user_agent: str | None = None
    protocol_version: str | None = None
    name: str = ""

    def renamed(self, short_name: str, *, is_displayed: bool) -> Peer:
        """The same peer after an edit."""
        return replace(self, short_name=short_name, is_displayed=is_displayed)


def authenticate_peer(session: Session, *, client_id: str, client_secret: str) -> Peer:
    """The peer of these credentials, without regard to case. Raises InvalidCredentials, as slowly for either half."""
    client_id = client_id.strip().lower()
    try:
        client_id.encode("utf-8")
    except UnicodeEncodeError:
        client_id = ""
    if "\0" in client_id:
        client_id = ""
    # A game's wrong secret, too, is looked for among the applications: all failures take the same way.
    game = session.scalar(select(Game).where(Game.client_id == client_id))
    if secret_matches(client_secret, game.client_secret_digest if game else _UNKNOWN) and game:
        return _peer(game)
    application = session.scalar(select(Application).where(Application.client_id == client_id))
    if secret_matches(client_secret, application.client_secret_digest if application else _UNKNOWN) and application:
        return _peer(application)
    raise InvalidCredentials("invalid credentials")


def find_peer(session: Session, short_name: str) -> Peer | None:
    """The game or application of this short name in any case, or None. short_name: anything at all."""
    if not (short_name.isascii() and short_name.isalnum()):
        return None
    key = short_name.lower()
    record: Game | Application | None = session.scalar(
        select(Game).where(func.lower(Game.short_name) == key)
    ) or session.scalar(select(Application).where(func.lower(Application.short_name) == key))
    return None if record is None else _peer(record)


def list_peers(session: Session, keys: Iterable[str]) -> dict[str, Peer]:
    """The peers of these keys that still exist. A worker compares their serials with those its sockets came with."""
    ids: dict[str, list[int]] = {"game": [], "application": []}
    for key in keys:
        kind, _, number = key.partition(":")
        if kind in ids:
            ids[kind].append(int(number))
    found = [
        *session.scalars(select(Game).where(Game.id.in_(ids["game"]))),
        *session.scalars(select(Application).where(Application.id.in_(ids["application"]))),
    ]
    return {peer.key: peer for peer in map(_peer, found)}


def _peer(record: Game | Application) -> Peer:
    if isinstance(record, Application):
        return Peer(
            key=f"application:{record.id}",
            id=record.id,
            short_name=record.short_name,
            is_application=True,
            is_displayed=False,
            credentials_serial=record.credentials_serial,
            name=record.name,
        )
    return Peer(
        key=f"game:{record.id}",
        id=record.id,
        short_name=record.short_name,
        is_application=False,
        is_displayed=record.is_displayed,
        credentials_serial=record.credentials_serial,
        user_agent=record.user_agent.name if record.user_agent else None,
        protocol_version=record.protocol_version,
        name=record.name,
    )
