"""Authenticate one game or application."""

from __future__ import annotations

from sqlalchemy.orm import Session

from shared.errors import InvalidCredentials
from shared.models.credentials import Credentials
from shared.services import peer_credentials
from shared.services.peers import Peer


def authenticate_peer(session: Session, *, client_id: str, client_secret: str) -> Peer:
    """Return the peer of these credentials. Raises InvalidCredentials."""
    (result,) = peer_credentials.authenticate_peers(session, [Credentials(client_id, client_secret)])
    if isinstance(result, InvalidCredentials):
        raise result
    return result
