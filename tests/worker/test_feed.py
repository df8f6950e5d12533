"""The feed passes on every change once and in order, also after lost signals and after a restored backup."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from shared import db
from shared.services import versions
from shared.services.versions import Change
from tests.support.in_process import PlainDatabase, ending_greenlets, wait_for
from worker.network import feed as feed_module
from worker.network.directory import Directory
from worker.network.feed import Feed


class Reader:
    """A feed with a directory, and the batches that it has passed on."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.feed = Feed(PlainDatabase(), self.directory)  # type: ignore[arg-type]
        self.batches: list[list[Change]] = []
        self.resets = 0
        self.feed.on_changes = self.batches.append
        self.feed.on_reset = self._count_reset

    def _count_reset(self) -> None:
        self.resets += 1

    @property
    def cursors(self) -> list[int]:
        return [change.cursor for batch in self.batches for change in batch]


@pytest.fixture
def reader(engine, monkeypatch) -> Iterator[Reader]:
    monkeypatch.setattr(feed_module, "POLL_SECONDS", 60.0)
    with ending_greenlets(monkeypatch):
        yield Reader()


def test_it_starts_at_the_end_of_the_log(stored, reader):
    channel = stored.channel()
    reader.feed.start()
    assert reader.feed.position == PlainDatabase().read(versions.last_cursor) > 0
    assert reader.directory.find_channel(channel.name) is not None
    assert reader.batches == []


def test_changes_are_passed_on_once_the_directory_has_them(stored, reader):
    reader.feed.start()
    known: list[bool] = []
    reader.feed.on_changes = lambda changes: known.append(changes[0].record_id in reader.directory.channels)

    stored.channel()
    reader.feed.wake()

    wait_for(lambda: known)
    assert known == [True]


def test_several_batches_leave_no_gap_and_keep_the_order(stored, reader, monkeypatch):
    monkeypatch.setattr(feed_module, "BATCH", 2)
    reader.feed.start()
    start = reader.feed.position
    for _ in range(5):
        stored.channel()

    reader.feed.wake()

    wait_for(lambda: len(reader.cursors) == 5)
    assert reader.cursors == list(range(start + 1, start + 6))
    assert [len(batch) for batch in reader.batches] == [2, 2, 1]
    assert reader.feed.position == start + 5


def test_a_change_without_a_signal_is_found_by_polling(stored, reader, monkeypatch):
    monkeypatch.setattr(feed_module, "POLL_SECONDS", 0.02)
    reader.feed.start()
    stored.channel()
    wait_for(lambda: reader.cursors)


def test_a_signal_without_a_change_passes_nothing_on(reader):
    reader.feed.start()
    reader.feed.wake()
    gevent.sleep(0.02)
    assert reader.batches == [] and reader.resets == 0


def test_it_starts_over_when_the_log_is_behind(stored, engine, reader):
    """After a backup was restored, the state is read again, and nothing is passed on as a change."""
    kept = stored.channel()
    with db.reading() as session:
        backup = versions.last_cursor(session)
    lost = stored.channel()
    reader.feed.start()
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM versions WHERE id > {backup}")
        connection.exec_driver_sql(f"UPDATE counters SET value = {backup} WHERE name = 'versions'")

    reader.feed.wake()

    wait_for(lambda: reader.resets)
    assert reader.feed.position == backup
    assert reader.directory.find_channel(kept.name) is not None
    assert reader.directory.find_channel(lost.name) is None
    assert reader.batches == []


def test_waiting_for_a_position_reads_the_log(stored, reader):
    reader.feed.start()
    stored.channel()
    assert reader.feed.wait_for(reader.feed.position + 1)
    assert len(reader.cursors) == 1


def test_waiting_for_a_position_times_out(reader):
    reader.feed.start()
    assert not reader.feed.wait_for(reader.feed.position + 1, timeout=0.02)
