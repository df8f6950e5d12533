"""Authentication of games and applications by their client ids and secrets, many at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from sys import intern
from typing import Any, NamedTuple

from sqlalchemy import Row, null, select
from sqlalchemy.orm import Session

from shared import peer_keys
from shared.errors import InvalidCredentials
from shared.models.application import Application
from shared.models.credentials import Credentials, secret_digest, secret_matches
from shared.models.game import Game
from shared.models.user_agent import UserAgent
from shared.peer_keys import PeerKey
from shared.services.peers import Peer

_NO_DIGEST = secret_digest("")
# Plain columns: to load a game with its relations costs ten times as much.
_GAMES: Any = select(
    Game.client_id,
    Game.client_secret_digest,
    Game.id,
    Game.short_name,
    Game.name,
    Game.is_displayed,
    Game.credentials_serial,
    Game.protocol_version,
    UserAgent.name.label("user_agent"),
).outerjoin(UserAgent, UserAgent.id == Game.user_agent_id)
_APPLICATIONS: Any = select(
    Application.client_id,
    Application.client_secret_digest,
    Application.id,
    Application.short_name,
    Application.name,
    Application.credentials_serial,
    null().label("user_agent"),
)


class WrongSecret(InvalidCredentials):
    """The client id belongs to a peer, but the secret is wrong.

    The client gets the same answer as for an unknown id. The owner of the peer may be shown the difference.
    """

    def __init__(self, peer: PeerKey) -> None:
        super().__init__("invalid credentials")
        self.peer = peer


class _KindOfPeer(NamedTuple):
    statement: Any
    client_id: Any
    is_application: bool


_KINDS = (
    _KindOfPeer(_GAMES, Game.client_id, is_application=False),
    _KindOfPeer(_APPLICATIONS, Application.client_id, is_application=True),
)


def authenticate_peers(session: Session, attempts: Sequence[Credentials]) -> list[Peer | InvalidCredentials]:
    """Look up the peers of many credentials with two queries, whatever their number.

    Case and surrounding spaces do not matter. Every attempt costs the same, whether the id is unknown, the secret is
    wrong or both are right: two rows looked for, two digests compared.

    Returns:
        For each attempt, in order: the peer, or the error to raise (WrongSecret if the id is a peer's).
    """
    client_ids = [_cleaned(attempt.client_id) for attempt in attempts]
    rows_by_kind = [(kind, _rows_by_client_id(session, kind, set(client_ids))) for kind in _KINDS]
    results: list[Peer | InvalidCredentials] = []
    for client_id, attempt in zip(client_ids, attempts, strict=True):
        result: Peer | InvalidCredentials = InvalidCredentials("invalid credentials")
        for kind, rows in rows_by_kind:
            row = rows.get(client_id)
            is_match = secret_matches(attempt.client_secret, _NO_DIGEST if row is None else row.client_secret_digest)
            if row is not None:
                result = _peer(kind, row) if is_match else WrongSecret(_key(kind, row))
        results.append(result)
    return results


def _cleaned(client_id: str) -> str:
    """Return the id as it is stored, or "" for a text that no database takes."""
    client_id = client_id.strip().lower()
    return client_id if client_id.isascii() and "\0" not in client_id else ""


def _rows_by_client_id(session: Session, kind: _KindOfPeer, client_ids: Collection[str]) -> dict[str, Row[Any]]:
    return {row.client_id: row for row in session.execute(kind.statement.where(kind.client_id.in_(client_ids)))}


def _key(kind: _KindOfPeer, row: Row[Any]) -> PeerKey:
    return peer_keys.of_application(row.id) if kind.is_application else peer_keys.of_game(row.id)


def _shared(text: str | None) -> str | None:
    """Return one object for equal texts, which thousands of games have in common."""
    return text and intern(text)


def _peer(kind: _KindOfPeer, row: Row[Any]) -> Peer:
    return Peer(
        key=_key(kind, row),
        id=row.id,
        short_name=row.short_name,
        is_application=kind.is_application,
        is_displayed=not kind.is_application and row.is_displayed,
        credentials_serial=row.credentials_serial,
        user_agent=_shared(row.user_agent),
        protocol_version=None if kind.is_application else _shared(row.protocol_version),
        name=row.name,
    )
