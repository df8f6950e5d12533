"""Two transactions that meet: each runs in a thread of its own, on a connection of its own, and commits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, text

from shared.db import reading
from tests.support.waiting import wait_until


class Racer:
    """A function that runs in a thread. What it returned or raised is in `result` and `error` once it has ended."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._function = function
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:
            self.error = error

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def join(self, *, seconds: float = 15.0) -> Any:
        """Wait for its end; returns what it returned, raises what it raised."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"a transaction did not end within {seconds:g} s"
        if self.error is not None:
            raise self.error
        return self.result


def wait_until_blocked(engine: Engine, racer: Racer) -> None:
    """Wait until the racer's transaction waits for a lock that another one holds (PostgreSQL), or until it has ended.

    On SQLite nothing tells that a writer waits, and it cannot begin before the other one has ended: there is nothing
    to wait for.
    """
    if engine.dialect.name == "sqlite":
        return

    def is_blocked() -> bool:
        with reading() as session:
            waiting = session.scalar(
                text(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
            )
        return bool(waiting) or not racer.is_running

    wait_until(is_blocked, what="the second transaction waits for the first")
