"""Counts the tells that this worker lets through, and adds them up in the database once a minute."""

from __future__ import annotations

from collections import Counter

import gevent
import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db import utc_now
from shared.peer_keys import PeerKey
from shared.services.moderation import tell_counts
from worker.database import Database

ADD_SECONDS = 60.0

_log = structlog.get_logger(__name__)


class TellCounts:
    """What was counted and is not written yet. A worker that is killed loses a minute of it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tells: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to write."""
        gevent.spawn(self._run)

    def note(self, peer: PeerKey) -> None:
        """A player of this peer (its key) sent a tell."""
        self._tells[peer] += 1

    def write(self) -> None:
        """Add to the database what was counted; kept for the next time if it is away."""
        tells, self._tells = self._tells, Counter()
        if not tells:
            return
        try:
            self._database.write(lambda session: tell_counts.add(session, tells, at=utc_now()))
        except SQLAlchemyError as error:
            self._tells.update(tells)
            _log.warning("the tells could not be counted yet", error=str(error))

    def _run(self) -> None:
        while True:
            gevent.sleep(ADD_SECONDS)
            self.write()
