"""Counts the tells that this worker delivers, and adds the counts to the database once a minute."""

from __future__ import annotations

from collections import Counter

import gevent

from shared.db import utc_now
from shared.peer_keys import PeerKey
from shared.services.moderation import tell_counts
from worker.database import Database, write_or_keep

ADD_SECONDS = 60.0


class TellCounts:
    """The counts that are not in the database yet. If the worker is killed, up to a minute of them is lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tells: Counter[str] = Counter()

    def export_state(self) -> dict[str, int]:
        """Return what is not written yet, for another process."""
        return dict(self._tells)

    def restore(self, tells: dict[str, int]) -> None:
        """Count what another process has not written."""
        self._tells.update(tells)

    def start(self) -> None:
        """Start writing once a minute."""
        gevent.spawn(self._run)

    def note(self, peer: PeerKey) -> None:
        """Count a tell that a player of this peer has sent."""
        self._tells[peer] += 1

    def write(self) -> None:
        """Add the counts to the database. If it is unavailable, keep them for the next time."""
        tells, self._tells = self._tells, Counter()
        if not tells:
            return
        if write_or_keep(
            self._database,
            lambda session: tell_counts.add(session, tells, at=utc_now()),
            what="the counts of tells",
        ):
            self._tells.update(tells)

    def _run(self) -> None:
        while True:
            gevent.sleep(ADD_SECONDS)
            self.write()
