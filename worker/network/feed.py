"""Reads the log of changes in cursor order, updates the directory, and passes the changes on to the rest of the worker.

A signal wakes it up. It also polls every few seconds in case a signal was lost.
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
        position: The cursor up to which everything has been applied.
        on_changes: Called with each batch, in order, once the directory has it. Must not wait.
        on_reset: Called if the log is behind the position, because a backup was restored. Must not wait.
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
        """Read the state, and follow the log from there. Errors of the database are raised."""
        self.load()
        self.follow()

    def load(self) -> None:
        """Read the state. Errors of the database are raised."""
        self._read_state()

    def resume_at(self, position: int) -> None:
        """Continue where another process has stopped. Call this between load() and follow().

        Args:
            position: The cursor up to which the other process has passed everything on.
        """
        while self.position < position:
            after = self.position
            changes, last = self._database.read(lambda session, after=after: _read_changes(session, after))  # type: ignore[misc]
            if not changes or last < after:
                return  # a backup was restored, which following the log reveals
            for change in changes:
                self._records.apply(change)
            self.position = changes[-1].cursor
        # The state may be newer. To apply its last changes once more does no harm, and passes them on.
        self.position = position

    def follow(self) -> None:
        """Follow the log."""
        self._woken.set()
        gevent.spawn(self._run)

    def wake(self) -> None:
        """Read the log now."""
        self._woken.set()

    def wait_for(self, position: int, timeout: float = 5.0) -> bool:
        """Wait until everything up to `position` has been passed on. Return False after `timeout` seconds."""
        with gevent.Timeout(timeout, False):  # type: ignore[arg-type]
            while self.position < position:
                self._moved.clear()
                self.wake()
                self._moved.wait()
        return self.position >= position

    def _read_state(self) -> None:
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
        """Pass on the next batch. Return whether there may be more."""
        position = self.position
        changes, last = self._database.read(lambda session: _read_changes(session, position))
        if last < position:
            _log.warning("the log is behind this worker: starting over", position=position, last=last)
            self._read_state()
            self.on_reset()
            return False
        if not changes:
            return False
        for change in changes:
            self._records.apply(change)
        # Nothing waits from here to the end, so others never see a new position before its batch was passed on.
        self.position = changes[-1].cursor
        self.on_changes(changes)
        self._moved.set()
        return len(changes) == BATCH


def _read_changes(session: Session, position: int) -> tuple[list[Change], int]:
    """Return the next changes after a position, and the last cursor."""
    changes = versions.since(session, position, limit=BATCH)
    return changes, changes[-1].cursor if changes else versions.last_cursor(session)
