"""Closes the sockets of peers whose credentials were renewed or that no longer exist."""

from __future__ import annotations

from collections.abc import Sequence

import gevent
import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.peer_keys import PeerKey
from shared.services import peers
from worker.database import Database
from worker.sockets.registry import Sockets

CHECK_SECONDS = 30.0
BATCH = 500
CLOSE_REVOKED = 4003

_log = structlog.get_logger(__name__)


class CredentialsWatch:
    """Checks the credentials of connected peers every CHECK_SECONDS, and at once when a signal names a peer."""

    def __init__(self, database: Database, sockets: Sockets) -> None:
        self._database = database
        self._sockets = sockets

    def start(self) -> None:
        """Start the regular checks."""
        gevent.spawn(self._run)

    def peer_revoked(self, key: PeerKey) -> None:
        """Check one peer soon. Does not wait."""
        gevent.spawn(self.check, [key])

    def check(self, keys: Sequence[PeerKey] | None = None) -> None:
        """Close the sockets of the revoked among these peers; of all connected peers if `keys` is None."""
        by_peer = self._sockets.by_peer
        keys = [key for key in (by_peer if keys is None else keys) if key in by_peer]
        for start in range(0, len(keys), BATCH):
            try:
                self._check_batch(keys[start : start + BATCH])
            except SQLAlchemyError as error:
                _log.error("credentials could not be checked", error=str(error))

    def _check_batch(self, keys: Sequence[PeerKey]) -> None:
        serials = self._database.read(lambda session: peers.list_serials(session, keys))
        for key in keys:
            serial = serials.get(key)
            for connection in self._sockets.by_peer.get(key, ()):
                if connection.peer is None or serial is None:
                    connection.close(CLOSE_REVOKED, "the credentials were revoked")
                elif connection.peer.credentials_serial < serial:
                    connection.close(CLOSE_REVOKED, "the credentials were replaced")

    def _run(self) -> None:
        while True:
            gevent.sleep(CHECK_SECONDS)
            try:
                self.check()
            except Exception:
                _log.exception("credentials could not be checked")
