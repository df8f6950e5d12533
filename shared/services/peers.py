"""Peers: the games and applications that may connect to the socket."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared import grapevine, peer_keys
from shared.models.application import Application
from shared.models.game import Game
from shared.peer_keys import PeerKey

_MODELS: tuple[type[Game] | type[Application], ...] = (Game, Application)


@dataclass(frozen=True, slots=True)
class Peer:
    """A game or an application as the worker knows it.

    Attributes:
        key: Unique among both: `game:7`, `application:3`.
        is_displayed: False for applications, which are not listed and send no notices.
        name: The name that pages show.
    """

    key: PeerKey
    id: int
    short_name: str
    is_application: bool
    is_displayed: bool
    credentials_serial: int
    user_agent: str | None = None
    protocol_version: str | None = None
    name: str = ""

    def renamed(self, short_name: str, *, is_displayed: bool) -> Peer:
        """Return the peer with another short name and visibility, after an edit."""
        return replace(self, short_name=short_name, is_displayed=is_displayed)


GRAPEVINE = Peer(
    key=grapevine.KEY,
    id=0,
    short_name=grapevine.SHORT_NAME,
    is_application=False,
    is_displayed=True,
    credentials_serial=0,
    name=grapevine.NAME,
)
"""The built-in peer. The connections of browsers are sockets of it."""


def find_peer(session: Session, short_name: str) -> Peer | None:
    """Return the game or application with this short name in any case, or None. short_name: any text."""
    if not (short_name.isascii() and short_name.isalnum()):
        return None
    key = short_name.lower()
    record: Game | Application | None = session.scalar(
        select(Game).where(func.lower(Game.short_name) == key)
    ) or session.scalar(select(Application).where(func.lower(Application.short_name) == key))
    return None if record is None else _peer(record)


def list_peers(session: Session, keys: Iterable[PeerKey]) -> dict[PeerKey, Peer]:
    """Return the peers with these keys that still exist, by key."""
    game_ids, application_ids = _split_ids(keys)
    records = [
        *session.scalars(select(Game).where(Game.id.in_(game_ids))),
        *session.scalars(select(Application).where(Application.id.in_(application_ids))),
    ]
    return {peer.key: peer for peer in map(_peer, records)}


def list_serials(session: Session, keys: Iterable[PeerKey]) -> dict[PeerKey, int]:
    """Return the credentials' serial numbers of these peers, by key, without deleted ones."""
    serials: dict[PeerKey, int] = {}
    for model, ids in zip(_MODELS, _split_ids(keys), strict=True):
        rows = session.execute(select(model.id, model.credentials_serial).where(model.id.in_(ids)))
        serials.update((_key(model, row.id), row.credentials_serial) for row in rows)
    return serials


def _split_ids(keys: Iterable[PeerKey]) -> tuple[list[int], list[int]]:
    """Return the ids of the games and those of the applications."""
    keys = list(keys)
    game_ids = map(peer_keys.find_game_id, keys)
    application_ids = map(peer_keys.find_application_id, keys)
    return [id for id in game_ids if id is not None], [id for id in application_ids if id is not None]


def _key(model: type[Game] | type[Application], record_id: int) -> PeerKey:
    return peer_keys.of_game(record_id) if model is Game else peer_keys.of_application(record_id)


def _peer(record: Game | Application) -> Peer:
    if isinstance(record, Application):
        return Peer(
            key=peer_keys.of_application(record.id),
            id=record.id,
            short_name=record.short_name,
            is_application=True,
            is_displayed=False,
            credentials_serial=record.credentials_serial,
            name=record.name,
        )
    return Peer(
        key=peer_keys.of_game(record.id),
        id=record.id,
        short_name=record.short_name,
        is_application=False,
        is_displayed=record.is_displayed,
        credentials_serial=record.credentials_serial,
        user_agent=record.user_agent.name if record.user_agent else None,
        protocol_version=record.protocol_version,
        name=record.name,
    )
