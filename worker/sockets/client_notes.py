"""Stores in the background which software games run, many games in one transaction.

A game that declares a new user agent changes its synced record. Written one by one while thousands of games come back,
these changes would hold up every authentication; together they are one commit a second.
"""

from __future__ import annotations

import gevent
import structlog

from shared.services import game_clients
from shared.services.game_clients import ClientSoftware
from shared.services.peers import Peer
from worker.database import Database, write_or_keep

WRITE_SECONDS = 1.0
BATCH = 100  # a transaction of more holds up chat lines for longer than people would notice

_log = structlog.get_logger(__name__)


class ClientNotes:
    """What games have declared and the database does not hold yet."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[int, ClientSoftware] = {}

    def export_state(self) -> dict[int, ClientSoftware]:
        """Return what is not written yet, for another process."""
        return dict(self._pending)

    def restore(self, pending: dict[int, ClientSoftware]) -> None:
        """Note what another process has not written."""
        self._pending.update(pending)

    def start(self) -> None:
        """Start to write what is noted, every WRITE_SECONDS."""
        gevent.spawn(self._run)

    def note(self, peer: Peer, user_agent: str | None, protocol_version: str) -> None:
        """Note what a game has declared, if that is news. Ignores applications."""
        if peer.is_application:
            return
        stored = ClientSoftware(peer.user_agent, peer.protocol_version or "")
        last = self._pending.get(peer.id, stored)
        declared = ClientSoftware(user_agent or last.user_agent, protocol_version)
        if declared != last:
            self._pending[peer.id] = declared

    def write(self) -> None:
        """Write everything that is noted. While the database is unavailable, keep it for the next time."""
        while self._pending:
            batch = dict(list(self._pending.items())[:BATCH])
            if self._write(batch):
                return
            for game_id, client in batch.items():
                if self._pending.get(game_id) == client:
                    del self._pending[game_id]

    def _write(self, batch: dict[int, ClientSoftware]) -> bool:
        """Write a batch. Return whether to keep it."""
        return write_or_keep(
            self._database,
            lambda session: game_clients.remember_clients(session, batch),
            what="which software games run",
        )

    def _run(self) -> None:
        while True:
            gevent.sleep(WRITE_SECONDS)
            try:
                self.write()
            except Exception:
                _log.exception("which software games run could not be stored")
