"""For tests that run parts of the worker in their own process: a database, a clock, and greenlets that end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest

from shared import db


class PlainDatabase:
    """Stands in for `worker.database.Database`, without threads.

    Attributes:
        reads: How many reads have started.
        writes: How many writes have started.
    """

    def __init__(self) -> None:
        self.reads = 0
        self.writes = 0

    def read(self, function: Callable[[Any], Any]) -> Any:
        self.reads += 1
        with db.reading() as session:
            return function(session)

    def write(self, function: Callable[[Any], Any]) -> Any:
        self.writes += 1
        with db.transaction() as session:
            return function(session)


class Clock:
    """A clock that stands still until a test sets `now`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def ending_greenlets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kill the greenlets that the block starts with `gevent.spawn` when it ends."""
    started: list[gevent.Greenlet] = []
    spawn = gevent.spawn

    def spawn_and_note(*call: Any) -> gevent.Greenlet:
        greenlet = spawn(*call)
        started.append(greenlet)
        return greenlet

    monkeypatch.setattr(gevent, "spawn", spawn_and_note)
    try:
        yield
    finally:
        gevent.killall(started)


def wait_for(condition: Callable[[], object]) -> None:
    """Run other greenlets until the condition holds, for 10 seconds at most."""
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.005)
