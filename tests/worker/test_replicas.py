"""A syncing application receives the state in pages, the changes after its cursor, and each later change once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import msgspec
import pytest
from sqlalchemy.exc import OperationalError

from shared import db
from shared.services import channels, versions
from shared.services.authority.actors import OPERATOR
from shared.services.versions import Change
from tests.support.in_process import PlainDatabase, wait_for
from worker.network import replicas
from worker.network.replicas import SYNC, Replicas, change_frames


class FakeFeed:
    """A feed whose position the test sets. `wait_for` moves it to the requested position."""

    def __init__(self) -> None:
        self.position = 0
        self.waited_for: list[int] = []

    def wait_for(self, position: int) -> bool:
        self.waited_for.append(position)
        self.position = position
        return True

    def move_to_end(self, database: PlainDatabase) -> None:
        self.position = database.read(versions.last_cursor)


class FakeFanout:
    """Records the position of the feed at which each socket joins."""

    def __init__(self, feed: FakeFeed) -> None:
        self._feed = feed
        self.joined: dict[Any, int] = {}
        self.broadcasts: list[bytes] = []

    def join(self, connection: Any, topics: list[str]) -> None:
        assert topics == [SYNC]
        self.joined[connection] = self._feed.position

    def leave(self, connection: Any, topics: list[str]) -> None:
        self.joined.pop(connection, None)

    def broadcast(self, topic: str, frames: Any) -> None:
        assert topic == SYNC
        self.broadcasts.append(frames.framed(0))


class FakeConnection:
    """A socket that reads everything at once, unless `is_reading` is False."""

    peer_key = "application:1"

    def __init__(self) -> None:
        self.transport = SimpleNamespace(queued_bytes=0, pace_bytes=10_000)
        self.events: list[dict[str, Any]] = []
        self.closed_with: int | None = None
        self.is_reading = True
        self.on_event: Callable[[dict[str, Any]], None] = lambda event: None

    def wait_for_room(self, seconds: float) -> bool:
        gevent.sleep(0)  # as after each frame of a real socket, others may run
        return self.is_reading

    def send(self, frame: bytes) -> None:
        event = json.loads(frame)
        self.events.append(event)
        self.on_event(event)

    def close(self, code: int, reason: str) -> None:
        self.closed_with = code

    @property
    def completes(self) -> list[dict[str, Any]]:
        return [event["payload"] for event in self.events if event["event"] == "sync/complete"]

    def names(self) -> list[str]:
        """The names of the channels that were sent, in order."""
        payloads = [event["payload"] for event in self.events if event["event"] == "sync/channels"]
        return [record["name"] for payload in payloads for record in payload["channels"]]


class Syncing:
    """One application and what its replicas need."""

    def __init__(self) -> None:
        self.database = PlainDatabase()
        self.feed = FakeFeed()
        self.feed.move_to_end(self.database)
        self.fanout = FakeFanout(self.feed)
        self.replicas = Replicas(self.database, self.feed, self.fanout)  # type: ignore[arg-type]
        self.connection = FakeConnection()

    def request(self, since: int | None = None, ref: Any = None) -> None:
        self.replicas.request(self.connection, since, ref)  # type: ignore[arg-type]

    def sync(self, since: int | None = None, ref: Any = None) -> None:
        """Request a sync, and wait until the application is up to date."""
        self.request(since, ref)
        wait_for(lambda: self.connection in self.fanout.joined)


@pytest.fixture
def syncing(engine) -> Iterator[Syncing]:
    syncing = Syncing()
    yield syncing
    syncing.replicas.forget(syncing.connection)  # type: ignore[arg-type]


def last_cursor() -> int:
    with db.reading() as session:
        return versions.last_cursor(session)


def change(number: int, *, kind: str = "channels", record: str | None = '{"id":1}', record_id: int = 0) -> Change:
    return Change(number, kind, record_id or number, record)


def payloads(changes: list[Change]) -> list[dict[str, Any]]:
    return [json.loads(frame)["payload"] for frame in change_frames(changes)]


def test_the_state_is_sent_in_pages_of_ten(stored, syncing):
    names = [stored.channel().name for _ in range(23)]
    syncing.feed.move_to_end(syncing.database)

    syncing.sync()

    sizes = [len(event["payload"].get("channels", ())) for event in syncing.connection.events[:-1]]
    assert all(size == 10 for size in sizes[:2]) and all(size <= 10 for size in sizes)
    assert sorted(syncing.connection.names()) == sorted({*syncing.connection.names(), *names})
    (complete,) = syncing.connection.completes
    assert complete["cursor"] == last_cursor()
    assert complete["counts"]["channels"] == len(syncing.connection.names()) >= 23
    assert "reset" not in complete
    assert syncing.connection.events[-1]["event"] == "sync/complete"


def test_every_answer_repeats_the_ref(stored, syncing):
    stored.channel()
    syncing.feed.move_to_end(syncing.database)
    syncing.sync(ref=msgspec.Raw(b'"r1"'))
    assert {event["ref"] for event in syncing.connection.events} == {"r1"}


def test_only_changes_after_the_cursor_are_sent(stored, syncing):
    stored.channel("before")
    cursor = last_cursor()
    stored.channel("after")
    syncing.feed.move_to_end(syncing.database)

    syncing.sync(since=cursor)

    assert syncing.connection.names() == ["after"]
    (complete,) = syncing.connection.completes
    assert complete["cursor"] == last_cursor() and "reset" not in complete
    assert complete["counts"]["channels"] >= 2  # of the whole state


def test_a_cursor_that_the_log_no_longer_reaches_resets_the_replica(stored, syncing, engine):
    stored.channel("early")
    cursor = last_cursor()
    stored.channel("late")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE counters SET floor = {cursor + 1} WHERE name = 'versions'")
    syncing.feed.move_to_end(syncing.database)

    syncing.sync(since=cursor)

    assert {"early", "late"} <= set(syncing.connection.names())
    assert syncing.connection.completes[0]["reset"] is True


def test_a_cursor_ahead_of_the_log_resets_the_replica(stored, syncing):
    stored.channel("only")
    syncing.feed.move_to_end(syncing.database)
    syncing.sync(since=last_cursor() + 5)
    assert "only" in syncing.connection.names()
    assert syncing.connection.completes[0]["reset"] is True


def test_a_replica_joins_the_broadcast_at_the_exact_position_of_the_feed(stored, syncing):
    stored.channel()
    end = last_cursor()
    syncing.feed.position = end - 1
    syncing.sync()
    assert syncing.feed.waited_for == [end]
    assert syncing.fanout.joined[syncing.connection] == end


def test_changes_during_a_sync_are_sent_before_it_joins_the_broadcast(stored, syncing):
    stored.channel("first")
    syncing.feed.move_to_end(syncing.database)

    def add_channel(event: dict[str, Any]) -> None:
        if event["event"] == "sync/complete":
            stored.channel("meanwhile")
            syncing.feed.move_to_end(syncing.database)

    syncing.connection.on_event = add_channel
    syncing.sync()

    assert syncing.connection.names().count("meanwhile") == 1
    assert syncing.connection.events[-1]["payload"]["cursor"] == last_cursor()
    assert syncing.fanout.joined[syncing.connection] == last_cursor()


def test_changes_are_broadcast_once_for_all(syncing):
    syncing.sync()
    syncing.replicas.broadcast([change(1), change(2)])
    assert len(syncing.fanout.broadcasts) == 1
    assert syncing.connection in syncing.fanout.joined


def test_nothing_is_encoded_without_replicas(syncing):
    syncing.replicas.broadcast([change(1)])
    assert syncing.fanout.broadcasts == []


def test_a_slow_application_leaves_the_broadcast_and_reads_the_log(stored, syncing):
    syncing.sync()
    syncing.connection.events.clear()
    position = last_cursor()
    stored.channel("next")
    syncing.feed.move_to_end(syncing.database)
    with db.reading() as session:
        changes = versions.since(session, position)
    syncing.connection.transport.queued_bytes = syncing.connection.transport.pace_bytes

    syncing.replicas.broadcast(changes)
    assert syncing.connection not in syncing.fanout.joined

    wait_for(lambda: syncing.connection in syncing.fanout.joined)
    assert syncing.connection.names() == ["next"]
    assert syncing.connection.completes == []


def test_an_application_that_does_not_read_is_closed(stored, syncing):
    stored.channel()
    syncing.connection.is_reading = False
    syncing.request()
    wait_for(lambda: syncing.connection.closed_with)
    assert syncing.connection.closed_with == 4002
    assert syncing.connection not in syncing.fanout.joined


def test_requests_are_served_one_after_the_other(stored, syncing):
    stored.channel("only")
    syncing.feed.move_to_end(syncing.database)
    syncing.request(ref=msgspec.Raw(b"1"))
    syncing.request(ref=msgspec.Raw(b"2"))
    wait_for(lambda: len(syncing.connection.completes) == 2)
    refs = [event["ref"] for event in syncing.connection.events]
    assert refs == sorted(refs)


def test_nothing_is_sent_after_the_socket_has_closed(stored, syncing):
    for _ in range(30):
        stored.channel()
    syncing.feed.move_to_end(syncing.database)
    syncing.connection.on_event = lambda event: syncing.replicas.forget(syncing.connection)
    syncing.request()
    wait_for(lambda: syncing.connection.events)
    gevent.sleep(0.02)
    assert len(syncing.connection.events) == 1
    assert syncing.fanout.joined == {}


@pytest.mark.parametrize("since", [None, 0], ids=["state", "changes"])
def test_a_database_that_fails_meanwhile_repeats_nothing(stored, syncing, monkeypatch, since):
    """The sync goes on where it stopped. Records that were deleted in between would otherwise stay in the replica."""
    monkeypatch.setattr(replicas, "PAGE", 10)
    monkeypatch.setattr(replicas, "RETRY_SECONDS", 0.01)
    for _ in range(30):
        stored.channel()
    syncing.feed.move_to_end(syncing.database)
    read = syncing.database.read

    def fail_once(function):
        syncing.database.read = read
        raise OperationalError("SELECT", {}, Exception("the database is away"))

    def fail_after_two(event):
        if len(syncing.connection.events) == 2:
            syncing.database.read = fail_once

    syncing.connection.on_event = fail_after_two
    syncing.sync(since)
    names = syncing.connection.names()
    assert len(names) == len(set(names)) == 30


def test_after_a_restored_backup_every_replica_is_reset(stored, syncing):
    stored.channel("kept")
    syncing.feed.move_to_end(syncing.database)
    syncing.sync()
    syncing.connection.events.clear()

    syncing.replicas.start_over()

    wait_for(lambda: syncing.connection.completes)
    assert syncing.connection.completes[0]["reset"] is True
    assert "kept" in syncing.connection.names()


def test_the_summary_of_one_cursor_is_read_once(stored, syncing):
    stored.channel()
    cursor = last_cursor()
    first = syncing.replicas.summary(cursor)
    reads = syncing.database.reads
    assert syncing.replicas.summary(cursor) is first
    assert syncing.database.reads == reads


def test_the_summary_of_sent_changes_matches_the_state(stored, syncing):
    """A replica that applied the changes compares its own digests with it."""
    stored.channel("gone")
    start = last_cursor()
    stored.channel("kept")
    with db.transaction() as session:
        channels.delete_channel(session, OPERATOR, name="gone")
    syncing.feed.move_to_end(syncing.database)
    syncing.sync(since=start)
    syncing.replicas.start_over()
    wait_for(lambda: len(syncing.connection.completes) == 2)
    by_changes, by_state = syncing.connection.completes
    assert by_changes["digests"] == by_state["digests"]
    assert by_changes["counts"] == by_state["counts"]


def test_an_event_has_at_most_ten_records_and_the_last_ones_cursor():
    events = payloads([change(number) for number in range(1, 13)])
    assert [len(event["channels"]) for event in events] == [10, 2]
    assert [event["cursor"] for event in events] == [10, 12]


def test_a_record_occurs_only_once_in_an_event():
    events = payloads([change(1, record_id=7), change(2, record_id=8), change(3, record_id=7)])
    assert [len(event["channels"]) for event in events] == [2, 1]


def test_deletions_and_kinds_are_in_events_of_their_own_and_in_order():
    events = payloads([change(1), change(2, record=None), change(3, kind="games"), change(4)])
    assert [event["cursor"] for event in events] == [1, 2, 3, 4]
    assert events[1] == {"channels": [], "deleted": [2], "cursor": 2}
    assert "games" in events[2]


def test_the_size_of_an_event_in_bytes_is_limited():
    long = json.dumps({"text": "x" * 20_000})
    assert [len(event["channels"]) for event in payloads([change(1, record=long), change(2, record=long)])] == [1, 1]
