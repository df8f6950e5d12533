"""Lines of other workers that were missed are delivered before newer ones, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from shared import db
from shared.db import utc_now
from shared.services import history
from shared.signals import Line, LinesStored, StoredLine
from tests.support.in_process import PlainDatabase, ending_greenlets, wait_for
from worker.chat import catch_up
from worker.chat.catch_up import RemoteLines

OTHER = "another worker"


class Catching:
    """A worker's `RemoteLines`, with what it delivers in `delivered`, and another worker that stores lines."""

    def __init__(self, channel_id: int) -> None:
        self.database = PlainDatabase()
        self.delivered: list[str] = []
        self.on_connected: list[Callable[[], None]] = []
        note = lambda stored: self.delivered.append(stored.line.text)  # noqa: E731
        nothing = lambda *arguments: None  # noqa: E731
        parts: Any = (
            self.database,
            SimpleNamespace(on=nothing, on_connected=self.on_connected.append, publish_first=nothing),
            SimpleNamespace(history_position=0, listeners=lambda channel_id: []),
            SimpleNamespace(debit_message=nothing),
            SimpleNamespace(note_line=nothing),
            SimpleNamespace(deliver=note, deliver_late=note),
        )
        self.lines = RemoteLines("this worker", *parts)
        self.lines.start()
        self._channel_id = channel_id

    def store(self, text: str, *, clock: timedelta = timedelta()) -> LinesStored:
        """Store a line at the other worker, whose clock is off. Return the signal that it publishes."""
        line = Line(self._channel_id, "game:1", "Alpha", "Ann", text, utc_now() + clock)
        with db.transaction() as session:
            [number] = history.store_lines(session, [line], worker=OTHER)
        return LinesStored(OTHER, [StoredLine(number, line)])


@pytest.fixture
def catching(stored, monkeypatch) -> Iterator[Catching]:
    channel = stored.channel("gossip")
    with ending_greenlets(monkeypatch):
        yield Catching(channel.id)


def test_a_line_that_arrives_with_the_news_of_a_gap_does_not_overtake_the_missed_line(catching):
    """Both signals may be read from Redis at once, so that nothing else runs between them."""
    catching.store("missed")
    catching.lines.follow(LinesStored(OTHER, has_missed=True))
    catching.lines.follow(catching.store("newer"))
    wait_for(lambda: len(catching.delivered) >= 2)
    assert catching.delivered == ["missed", "newer"]


def test_the_news_of_another_gap_is_not_forgotten_while_catching_up(catching):
    """It comes in the moment in which the last read of the history ends."""
    read = catching.database.read

    def read_and_hear_of_a_gap(function):
        result = read(function)
        catching.database.read = read
        catching.store("missed")
        catching.lines.follow(LinesStored(OTHER, has_missed=True))
        catching.lines.follow(catching.store("newer"))
        return result

    catching.database.read = read_and_hear_of_a_gap
    catching.lines.follow(LinesStored(OTHER, has_missed=True))
    wait_for(lambda: len(catching.delivered) >= 2)
    assert catching.delivered == ["missed", "newer"]


@pytest.mark.parametrize("seconds", [-3600, -90, 90, 3600])
def test_missed_lines_are_found_however_far_the_clocks_are_apart(catching, seconds):
    """Workers compare ids. The times of two machines cannot be compared."""
    catching.lines.follow(catching.store("before"))
    catching.store("missed", clock=timedelta(seconds=seconds))
    catching.lines.worker_lost()
    wait_for(lambda: len(catching.delivered) >= 2)
    assert catching.delivered == ["before", "missed"]


def fail(function: object) -> object:
    raise OperationalError("SELECT", {}, Exception("the database is down"))


def test_lines_are_held_back_until_the_history_can_be_read_again(catching, monkeypatch):
    monkeypatch.setattr(catch_up, "RETRY_SECONDS", 0.01)
    catching.store("missed")
    read, catching.database.read = catching.database.read, fail
    catching.lines.worker_lost()
    catching.lines.follow(catching.store("newer"))
    assert catching.delivered == []
    catching.database.read = read
    wait_for(lambda: len(catching.delivered) >= 2)
    assert catching.delivered == ["missed", "newer"]


def test_lines_are_not_held_back_for_long(catching, monkeypatch):
    """If only this worker has lost the database, its sockets receive what the others store."""
    monkeypatch.setattr(catch_up, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(catch_up, "HOLD_SECONDS", 0.05)
    catching.store("missed")
    catching.database.read = fail
    catching.lines.worker_lost()
    catching.lines.follow(catching.store("newer"))
    wait_for(lambda: catching.delivered)
    assert catching.delivered == ["newer"]
