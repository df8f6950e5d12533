"""Concurrent transactions: each runs and commits in its own thread, on its own connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, text

from shared.db import reading
from tests.support.waiting import wait_until


class Racer:
    """Runs a function in a thread. When it has ended, `result` or `error` holds what it returned or raised."""

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
        """Wait until the function ends. Return what it returned, or raise what it raised."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"a transaction did not end within {seconds:g} s"
        if self.error is not None:
            raise self.error
        return self.result


def wait_until_blocked(engine: Engine, racer: Racer) -> None:
    """Wait until the racer's transaction waits for a lock of another one, or has ended.

    Returns at once on SQLite, which does not show waiting writers: there, a transaction that writes cannot even begin
    before the other one has ended.
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
