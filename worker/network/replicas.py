"""Sync: sends applications the whole state or the changes that they missed, then each change (docs/protocol.md, §8).

It sends versions from the log, which contain the canonical JSON of each record. So it can read the state at a cursor in
pages, however slowly the application reads, without an open transaction and without encoding anything again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import gevent
import msgspec
import structlog
from gevent.lock import Semaphore
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared.db import describe_error
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
RECORDS_PER_EVENT = 10
PAGE = 500
EVENT_BYTES = 32 * 1024  # of records in one event; a longer record is an event by itself
STALLED_SECONDS = 60.0
RETRY_SECONDS = 1.0

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Request:
    """A request of an application, or of this module.

    Attributes:
        since: The cursor after which changes are sent. None for the whole state.
        ref: Repeated in each answer, as JSON. None if the sync belongs to an `authenticate`.
        is_catching_up: Whether the application was up to date at `since`, so that no `sync/complete` is sent.
    """

    since: int | None
    ref: msgspec.Raw | None
    is_catching_up: bool = False


@dataclass(frozen=True, slots=True)
class _Summary:
    counts: dict[str, int]
    digests: dict[str, str]


class _SocketLost(Exception):
    """The application's socket closed, or stopped reading."""


class Replicas:
    """The replicas of applications that sync at this worker."""

    def __init__(self, database: Database, feed: Feed, fanout: Fanout) -> None:
        self.database = database
        self.feed = feed
        self.fanout = fanout
        self._replicas: dict[Connection, Replica] = {}
        self._summaries: OrderedDict[int, _Summary] = OrderedDict()
        self._summing = Semaphore(1)

    def request(self, connection: Connection, since: int | None, ref: msgspec.Raw | None) -> None:
        """Send an application the whole state, or the changes after `since`. Send each later change as it happens.

        Args:
            since: A cursor, or None for the whole state.
            ref: The ref of the request, as JSON, which each answer repeats.
        """
        replica = self._replicas.get(connection)
        if replica is None:
            replica = self._replicas[connection] = Replica(self, connection)
        replica.request(_Request(since, None if ref is None else msgspec.Raw(bytes(ref))))

    def forget(self, connection: Connection) -> None:
        """Stop syncing with a closed socket."""
        replica = self._replicas.pop(connection, None)
        if replica is not None:
            replica.stop()

    def broadcast(self, changes: Sequence[Change]) -> None:
        """Send changes to the replicas that are up to date. Those with too much queued read them from the log later."""
        if not self._replicas:
            return
        frames = [frame_text(frame) for frame in change_frames(changes)]
        size = sum(map(len, frames))
        for replica in self._replicas.values():
            replica.leave_if_slow(size, position=changes[0].cursor - 1)
        for frame in frames:
            self.fanout.broadcast(SYNC, Frames.same(frame))

    def start_over(self) -> None:
        """Send all replicas the whole state. Called after a backup was restored, since they may be ahead of it."""
        self._summaries.clear()  # the same cursors will mean other states
        for replica in self._replicas.values():
            replica.stop()  # it may be sending changes that no longer exist
            replica.request(_Request(-1, None))

    def summary(self, cursor: int) -> _Summary:
        """Return counts and digests of the whole state at a cursor. It is read once for all requests."""
        with self._summing:
            summary = self._summaries.get(cursor)
            if summary is None:
                digests = {kind: Digest() for kind in KINDS}
                for kind, digest in digests.items():
                    for page in self.pages(kind, cursor):
                        for _, record in page:
                            digest.add_canonical(record)
                summary = self.keep_summary(cursor, digests)
            return summary

    def keep_summary(self, cursor: int, digests: dict[str, Digest]) -> _Summary:
        """Keep the summary of a state that was sent, and return it."""
        summary = _Summary(
            {kind: digest.count for kind, digest in digests.items()},
            {kind: digest.hexdigest() for kind, digest in digests.items()},
        )
        self._summaries[cursor] = summary
        while len(self._summaries) > 4:
            self._summaries.popitem(last=False)
        return summary

    def read(self, function: Callable[[Session], T]) -> T:
        """Read from the database, and wait while it is down, so that nothing that was sent has to be sent again."""
        while True:
            try:
                return self.database.read(function)
            except SQLAlchemyError as error:
                _log.error("a sync is waiting for the database", error=describe_error(error))
                gevent.sleep(RETRY_SECONDS)

    def pages(self, kind: str, cursor: int) -> Iterator[list[tuple[int, str]]]:
        """Yield the records of a kind at a cursor in pages of (id, canonical JSON), by ascending id."""
        after_id = 0
        while True:
            page = self.read(
                lambda session, after_id=after_id: versions.state_page(  # type: ignore[misc]
                    session, kind, cursor=cursor, after_id=after_id, limit=PAGE
                )
            )
            if not page:
                return
            yield page
            after_id = page[-1][0]


class Replica:
    """One application that syncs.

    A greenlet serves its requests one after the other, and ends when the application is up to date. Then the fan-out
    sends it each change.
    """

    def __init__(self, replicas: Replicas, connection: Connection) -> None:
        self._replicas = replicas
        self._connection = connection
        self._requests: deque[_Request] = deque()
        self._greenlet: gevent.Greenlet[[], None] | None = None
        self._is_live = False

    def request(self, request: _Request) -> None:
        """Serve a request after the current ones."""
        self._requests.append(request)
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Abandon all requests."""
        self._requests.clear()
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
            self._greenlet = None

    def _run(self) -> None:
        try:
            while self._requests:
                self._serve(self._requests[0])
                if self._requests:  # empty if `stop` was called meanwhile
                    self._requests.popleft()
        except _SocketLost:
            self._connection.close(4002, "too slow: the sync was not read")
        except Exception:
            _log.exception("a sync failed", peer=self._connection.peer_key)
            self._connection.close(1011, "internal error")
        finally:
            if self._greenlet is gevent.getcurrent():
                self._greenlet = None

    def leave_if_slow(self, size: int, *, position: int) -> None:
        """Leave the broadcast if too much would be queued for the socket. Then read the log at the socket's pace.

        Args:
            size: The bytes of the next broadcast.
            position: The cursor up to which the application is up to date.
        """
        transport = self._connection.transport
        if self._is_live and transport.queued_bytes + size > transport.pace_bytes:
            self._is_live = False
            self._replicas.fanout.leave(self._connection, [SYNC])
            self.request(_Request(position, None, is_catching_up=True))

    def _serve(self, request: _Request) -> None:
        self._is_live = False
        self._replicas.fanout.leave(self._connection, [SYNC])
        since = request.since
        if request.is_catching_up and since is not None:
            self._go_live(since)
            return
        cursor, is_in_log = self._replicas.read(
            lambda session: (
                versions.last_cursor(session),
                since is not None and versions.reaches_back_to(session, since),
            )
        )
        if is_in_log and since is not None:
            self._send_changes(since, cursor, request.ref)
            summary = self._replicas.summary(cursor)
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
            for page in self._replicas.pages(kind, cursor):
                for _, record in page:
                    digest.add_canonical(record)
                for records in _batches([record for _, record in page]):
                    self._send(_encode(kind, records, ref=ref))
        return self._replicas.keep_summary(cursor, digests)

    def _send_changes(self, position: int, up_to: int | None, ref: msgspec.Raw | None) -> int:
        """Send the changes after `position`. Return the cursor of the last one."""
        while True:
            changes = self._replicas.read(
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
        """Catch up with the feed. Join the broadcast at exactly the feed's position, so that no change is missed."""
        while self._replicas.feed.position != position:
            if self._replicas.feed.position < position:
                self._replicas.feed.wait_for(position)
            else:
                position = self._send_changes(position, self._replicas.feed.position, None)
        self._replicas.fanout.join(self._connection, [SYNC])
        self._is_live = True

    def _send(self, frame: bytes) -> None:
        if not self._connection.wait_for_room(STALLED_SECONDS):
            raise _SocketLost
        self._connection.send(frame)


def _batches(records: Sequence[str]) -> Iterator[list[str]]:
    """Yield the records in lists that fit into one event each."""
    batch: list[str] = []
    size = 0
    for record in records:
        if batch and (len(batch) == RECORDS_PER_EVENT or size + len(record) > EVENT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record)
    if batch:
        yield batch


def change_frames(changes: Sequence[Change], *, ref: msgspec.Raw | None = None) -> Iterator[bytes]:
    """Yield changes as `sync/<kind>` events, in order.

    An event has at most ten records, each only once. Deletions are in events of their own.
    """
    batch: list[Change] = []
    size = 0
    for change in changes:
        size += len(change.record or "")
        if batch and (
            len(batch) == RECORDS_PER_EVENT
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


def _encode(kind: str, records: list[str], *, ref: msgspec.Raw | None, **fields: Any) -> bytes:
    payload = f'{{"{kind}":[{",".join(records)}]'
    for name, value in fields.items():
        payload += f',"{name}":{msgspec.json.encode(value).decode()}'
    return encode_event(f"sync/{kind}", msgspec.Raw((payload + "}").encode()), ref)
