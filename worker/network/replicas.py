"""Sync: sends network applications the whole state or what they missed, then every change (docs/protocol.md, §8).

What is sent is the log itself: its versions hold each record's canonical JSON, so a state is paged out of it as it was
at one cursor, with no transaction held open and nothing encoded again, however slowly the application reads.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gevent
import msgspec
import structlog
from gevent.lock import Semaphore
from sqlalchemy.exc import SQLAlchemyError

from shared.models.synced import KINDS
from shared.protocol import encode_event
from shared.protocol.sync import Digest, SyncComplete
from shared.services import versions
from shared.services.versions import Change
from worker.database import Database
from worker.network.feed import Feed
from worker.sockets.connection import Connection
from worker.wire.fanout import Fanout, Frames
from worker.wire.frames import frame_text

SYNC = "sync"  # the fan-out topic of applications that are up to date
RECORDS_AN_EVENT = 10
PAGE = 500
EVENT_BYTES = 32 * 1024  # of records in one event, unless a single one is longer
STALLED_SECONDS = 60.0
RETRY_SECONDS = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Request:
    """since: None for the whole state. ref: as JSON, echoed in every answer; None for the sync of an authenticate."""

    since: int | None
    ref: msgspec.Raw | None
    is_catching_up: bool = False
    """The application has everything up to `since` and was up to date: it is sent the rest, without a completion."""


@dataclass(frozen=True, slots=True)
class _Summary:
    counts: dict[str, int]
    digests: dict[str, str]


class _Gone(Exception):
    """The application's socket closed, or stopped reading."""


class Replicas:
    """All applications of this worker that sync."""

    def __init__(self, database: Database, feed: Feed, fanout: Fanout) -> None:
        self.database = database
        self.feed = feed
        self.fanout = fanout
        self._replicas: dict[Connection, Replica] = {}
        self._summaries: OrderedDict[int, _Summary] = OrderedDict()
        self._summing = Semaphore(1)

    def request(self, connection: Connection, since: int | None, ref: msgspec.Raw | None) -> None:
        """Send an application the state, or what came after `since`; and from then on every change."""
        replica = self._replicas.get(connection)
        if replica is None:
            replica = self._replicas[connection] = Replica(self, connection)
        replica.request(_Request(since, None if ref is None else msgspec.Raw(bytes(ref))))

    def forget(self, connection: Connection) -> None:
        """The socket is gone."""
        replica = self._replicas.pop(connection, None)
        if replica is not None:
            replica.stop()

    def tell(self, changes: Sequence[Change]) -> None:
        """Send changes to all that are up to date. Who would get too much at once reads the log instead."""
        if not self._replicas:
            return
        frames = [frame_text(frame) for frame in change_frames(changes)]
        size = sum(map(len, frames))
        for replica in self._replicas.values():
            replica.make_way(size, position=changes[0].cursor - 1)
        for frame in frames:
            self.fanout.broadcast(SYNC, Frames.same(frame))

    def start_over(self) -> None:
        """The log went back: whatever replicas have may be of a future that never was."""
        self._summaries.clear()  # its cursors will mean other states
        for replica in self._replicas.values():
            replica.stop()  # whatever it is sending is of that future too
            replica.request(_Request(-1, None))

    def summary(self, cursor: int) -> _Summary:
        """Counts and digests of the whole state at a cursor; read once for all who ask."""
        with self._summing:
            known = self._summaries.get(cursor)
            if known is None:
                digests = {kind: Digest() for kind in KINDS}
                for kind, digest in digests.items():
                    for page in self.pages(kind, cursor):
                        for _, record in page:
                            digest.add_canonical(record)
                known = self.keep_summary(cursor, digests)
            return known

    def keep_summary(self, cursor: int, digests: dict[str, Digest]) -> _Summary:
        """Note what was summed up while a state was sent."""
        summary = _Summary(
            {kind: digest.count for kind, digest in digests.items()},
            {kind: digest.hexdigest() for kind, digest in digests.items()},
        )
        self._summaries[cursor] = summary
        while len(self._summaries) > 4:
            self._summaries.popitem(last=False)
        return summary

    def pages(self, kind: str, cursor: int) -> Iterator[list[tuple[int, str]]]:
        """The records of a kind at a cursor, by ascending id, a page at a time."""
        after_id = 0
        while True:
            page = self.database.read(
                lambda session, after_id=after_id: versions.state_page(  # type: ignore[misc]
                    session, kind, cursor=cursor, after_id=after_id, limit=PAGE
                )
            )
            if not page:
                return
            yield page
            after_id = page[-1][0]


class Replica:
    """One application that syncs. Its requests are served one after the other, in a greenlet that ends when it is
    up to date; from then on the fan-out serves it."""

    def __init__(self, replicas: Replicas, connection: Connection) -> None:
        self._all = replicas
        self._connection = connection
        self._requests: deque[_Request] = deque()
        self._greenlet: gevent.Greenlet | None = None
        self._is_live = False

    def request(self, request: _Request) -> None:
        """Serve this after what is being served."""
        self._requests.append(request)
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Serve nothing any more."""
        self._requests.clear()
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
            self._greenlet = None

    def _run(self) -> None:
        try:
            while self._requests:
                try:
                    self._serve(self._requests[0])
                    if self._requests:  # else the socket went away meanwhile, and `stop` has cleared them
                        self._requests.popleft()
                except SQLAlchemyError as error:
                    _log.error("a sync waits for the database", error=str(error))
                    gevent.sleep(RETRY_SECONDS)
        except _Gone:
            self._connection.close(4002, "too slow: the sync was not read")
        except Exception:
            _log.exception("a sync failed", peer=self._connection.peer_key)
            self._connection.close(1011, "internal error")
        finally:
            if self._greenlet is gevent.getcurrent():
                self._greenlet = None

    def make_way(self, size: int, *, position: int) -> None:
        """So many bytes are about to be broadcast, and it has everything up to `position`.

        If that is too much for the socket now, it leaves those who are up to date and catches up at its own pace.
        """
        transport = self._connection.transport
        if self._is_live and transport.queued_bytes + size > transport.pace_bytes:
            self._is_live = False
            self._all.fanout.leave(self._connection, [SYNC])
            self.request(_Request(position, None, is_catching_up=True))

    def _serve(self, request: _Request) -> None:
        self._is_live = False
        self._all.fanout.leave(self._connection, [SYNC])
        since = request.since
        if request.is_catching_up and since is not None:
            self._go_live(since)
            return
        cursor, is_in_log = self._all.database.read(
            lambda session: (
                versions.last_cursor(session),
                since is not None and versions.reaches_back_to(session, since),
            )
        )
        if is_in_log and since is not None:
            self._send_changes(since, cursor, request.ref)
            summary = self._all.summary(cursor)
        else:
            summary = self._send_state(cursor, request.ref)
        complete = SyncComplete(
            cursor=cursor,
            counts=summary.counts,
            digests=summary.digests,
            reset=True if since is not None and not is_in_log else msgspec.UNSET,
        )
        self._send(encode_event(complete.event, complete, request.ref))
        self._go_live(cursor)

    def _send_state(self, cursor: int, ref: msgspec.Raw | None) -> _Summary:
        digests = {kind: Digest() for kind in KINDS}
        for kind, digest in digests.items():
            for page in self._all.pages(kind, cursor):
                for _, record in page:
                    digest.add_canonical(record)
                for records in _batches([record for _, record in page]):
                    self._send(_encode(kind, records, ref=ref))
        return self._all.keep_summary(cursor, digests)

    def _send_changes(self, position: int, up_to: int | None, ref: msgspec.Raw | None) -> int:
        """Send what came after `position`; returns the new position."""
        while True:
            changes = self._all.database.read(
                lambda session, position=position: versions.since(  # type: ignore[misc]
                    session, position, up_to=up_to, limit=PAGE
                )
            )
            if not changes:
                return position
            for frame in change_frames(changes, ref=ref):
                self._send(frame)
            position = changes[-1].cursor

    def _go_live(self, position: int) -> None:
        """Catch up with the feed, and join those that are up to date in the very moment of being so."""
        while self._all.feed.position != position:
            if self._all.feed.position < position:
                self._all.feed.wait_for(position)
            else:
                position = self._send_changes(position, self._all.feed.position, None)
        self._all.fanout.join(self._connection, [SYNC])
        self._is_live = True

    def _send(self, frame: bytes) -> None:
        if not self._connection.wait_for_room(STALLED_SECONDS):
            raise _Gone
        self._connection.send(frame)


def _batches(records: Sequence[str]) -> Iterator[list[str]]:
    """Records in lists that fit into one event."""
    batch: list[str] = []
    size = 0
    for record in records:
        if batch and (len(batch) == RECORDS_AN_EVENT or size + len(record) > EVENT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record)
    if batch:
        yield batch


def change_frames(changes: Sequence[Change], *, ref: msgspec.Raw | None = None) -> Iterator[bytes]:
    """Changes as `sync/<kind>` events, in order: ten records an event at most, none twice in one, deletes apart."""
    batch: list[Change] = []
    size = 0
    for change in changes:
        size += len(change.record or "")
        if batch and (
            len(batch) == RECORDS_AN_EVENT
            or size > EVENT_BYTES
            or change.kind != batch[0].kind
            or (change.record is None) != (batch[0].record is None)
            or any(change.record_id == earlier.record_id for earlier in batch)
        ):
            yield _encode_changes(batch, ref)
            batch, size = [], len(change.record or "")
        batch.append(change)
    if batch:
        yield _encode_changes(batch, ref)


def _encode_changes(batch: list[Change], ref: msgspec.Raw | None) -> bytes:
    kind, cursor = batch[0].kind, batch[-1].cursor
    if batch[0].record is None:
        return _encode(kind, [], ref=ref, deleted=[change.record_id for change in batch], cursor=cursor)
    return _encode(kind, [change.record or "" for change in batch], ref=ref, cursor=cursor)


def _encode(kind: str, records: list[str], *, ref: msgspec.Raw | None, **more: Any) -> bytes:
    payload = f'{{"{kind}":[{",".join(records)}]'
    for name, value in more.items():
        payload += f',"{name}":{msgspec.json.encode(value).decode()}'
    return encode_event(f"sync/{kind}", msgspec.Raw((payload + "}").encode()), ref)
