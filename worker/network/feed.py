"""Reads the log of changes, in cursor order, and tells the rest of the worker: the directory, the peers, the replicas.

A signal only wakes it up; it also looks by itself every few seconds, so that a lost signal costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import gevent
import structlog
from gevent.event import Event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared.services import versions
from shared.services.versions import Change
from worker.database import Database
from worker.network import directory
from worker.network.directory import Directory

POLL_SECONDS = 3.0
BATCH = 500

_log = structlog.get_logger(__name__)


class Feed:
    """Follows the log of changes and keeps the directory up to date with it.

    Attributes:
        position: the cursor up to which everything has been applied.
        on_changes: called with each batch, in order, once the directory has it. Must not wait.
        on_reset: called when the log has turned out to be behind the position (a backup was restored). Must not wait.
    """

    def __init__(self, database: Database, records: Directory) -> None:
        self.position = 0
        self._database = database
        self._records = records
        self.on_changes: Callable[[list[Change]], None] = lambda changes: None
        self.on_reset: Callable[[], None] = lambda: None
        self._woken = Event()
        self._moved = Event()

    def start(self) -> None:
        """Read the state, and follow the log from there. Raises what the database raises."""
        self._fill()
        gevent.spawn(self._run)

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    def wait_for(self, position: int, timeout: float = 5.0) -> bool:
        """Wait until everything up to `position` has been told. False if that takes too long."""
        with gevent.Timeout(timeout, False):
            while self.position < position:
                self._moved.clear()
                self.wake()
                self._moved.wait()
        return self.position >= position

    def _fill(self) -> None:
        state = self._database.read(directory.load)
        self._records.fill(state)
        self.position = state.cursor

    def _run(self) -> None:
        while True:
            self._woken.wait(POLL_SECONDS)
            self._woken.clear()
            try:
                while self._advance():
                    pass
            except SQLAlchemyError as error:
                _log.error("the log of changes cannot be read, trying again", error=str(error))
                gevent.sleep(1)
            except Exception:
                _log.exception("the log of changes could not be followed")
                gevent.sleep(1)

    def _advance(self) -> bool:
        """Tell the next batch. True if there may be more."""
        position = self.position
        changes, last = self._database.read(lambda session: _read_on(session, position))
        if last < position:
            _log.warning("the log is behind this worker: starting over", position=position, last=last)
            self._fill()
            self.on_reset()
            return False
        if not changes:
            return False
        for change in changes:
            self._records.apply(change)
        # From here to the end nothing waits: whoever compares positions sees all of a batch told, or nothing of it.
        self.position = changes[-1].cursor
        self.on_changes(changes)
        self._moved.set()
        return len(changes) == BATCH


def _read_on(session: Session, position: int) -> tuple[list[Change], int]:
    """The changes after a position, and the last cursor."""
    changes = versions.since(session, position, limit=BATCH)
    return changes, changes[-1].cursor if changes else versions.last_cursor(session)
