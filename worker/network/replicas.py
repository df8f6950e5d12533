"""Sync: sends applications the whole state or the changes that they missed, then each change (docs/protocol.md, §8).

It sends versions from the log, which contain the canonical JSON of each record. So it can read the state at a cursor in
pages, however slowly the application reads, without an open transaction and without encoding anything again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import gevent
import msgspec
import structlog
from gevent.event import Event
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
from worker.wire.broadcasts import Frames
from worker.wire.fanout import Fanout
from worker.wire.frames import frame_text

SYNC = "sync"  # the fan-out topic of applications that are up to date
RECORDS_PER_EVENT = 10
PAGE = 500
EVENT_BYTES = 32 * 1024  # of records in one event; a longer record is an event by itself
STALLED_SECONDS = 60.0
RETRY_SECONDS = 1.0

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class _Request(msgspec.Struct, frozen=True):
    """A request of an application, or of this module.

    Attributes:
        since: The cursor after which changes are sent. None for the whole state.
        ref: Repeated in each answer, as JSON. None if the sync belongs to an `authenticate`.
        is_catching_up: Whether the application was up to date at `since`, so that no `sync/complete` is sent.
    """

    since: int | None
    ref: bytes | None
    is_catching_up: bool = False

    @property
    def raw_ref(self) -> msgspec.Raw | None:
        """The ref as a value to encode."""
        return None if self.ref is None else msgspec.Raw(self.ref)


class _Progress(msgspec.Struct):
    """How much of the answer to a request has been sent.

    Attributes:
        cursor: The cursor of the answer.
        sends_changes: Whether the answer is the changes up to the cursor, and not the whole state.
        position: The cursor of the last change that was sent.
        kind, after_id: The last record of the whole state that was sent.
        is_complete: Whether `sync/complete` was sent.
    """

    cursor: int
    sends_changes: bool
    position: int
    kind: str = ""
    after_id: int = 0
    is_complete: bool = False


class ReplicaState(msgspec.Struct):
    """One application that syncs, for another process that continues."""

    connection: str
    requests: list[_Request]
    progress: _Progress | None
    is_live: bool


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
        self.may_send = Event()  # cleared while another process takes over
        self.may_send.set()

    def export_state(self) -> list[ReplicaState]:
        """Return all replicas, for another process."""
        return [replica.export_state() for replica in self._replicas.values()]

    def restore(self, states: Sequence[ReplicaState], connections: Mapping[str, Connection]) -> None:
        """Continue with the replicas of another process. Ignores unknown connections."""
        for state in states:
            connection = connections.get(state.connection)
            if connection is not None:
                replica = self._replicas[connection] = Replica(self, connection)
                replica.restore(state)

    def request(self, connection: Connection, since: int | None, ref: msgspec.Raw | None) -> None:
        """Send an application the whole state, or the changes after `since`. Send each later change as it happens.

        Args:
            since: A cursor, or None for the whole state.
            ref: The ref of the request, as JSON, which each answer repeats.
        """
        replica = self._replicas.get(connection)
        if replica is None:
            replica = self._replicas[connection] = Replica(self, connection)
        replica.request(_Request(since, None if ref is None else bytes(ref)))

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

    def pages(self, kind: str, cursor: int, after_id: int = 0) -> Iterator[list[tuple[int, str]]]:
        """Yield the records of a kind at a cursor in pages of (id, canonical JSON), by ascending id."""
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
        self._progress: _Progress | None = None
        self._greenlet: gevent.Greenlet[[], None] | None = None
        self._is_live = False

    def export_state(self) -> ReplicaState:
        """Return what another process needs to continue."""
        return ReplicaState(self._connection.id, list(self._requests), self._progress, self._is_live)

    def restore(self, state: ReplicaState) -> None:
        """Continue where another process has stopped. The feed must have the position of that process."""
        self._progress, self._is_live = state.progress, state.is_live
        if state.is_live:
            self._replicas.fanout.join(self._connection, [SYNC])
        for request in state.requests:
            self.request(request)

    def request(self, request: _Request) -> None:
        """Serve a request after the current ones."""
        self._requests.append(request)
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Abandon all requests."""
        self._requests.clear()
        self._progress = None
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
            self._greenlet = None

    def _run(self) -> None:
        try:
            while self._requests:
                self._serve(self._requests[0])
                self._progress = None
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
        progress = self._progress
        if progress is None:
            progress = self._progress = self._begin(request)
        if not progress.is_complete:
            self._answer(request, progress)
        self._go_live(progress)

    def _begin(self, request: _Request) -> _Progress:
        since = request.since
        if request.is_catching_up and since is not None:
            return _Progress(since, sends_changes=True, position=since, is_complete=True)
        cursor, is_in_log = self._replicas.read(
            lambda session: (
                versions.last_cursor(session),
                since is not None and versions.reaches_back_to(session, since),
            )
        )
        if is_in_log and since is not None:
            return _Progress(cursor, sends_changes=True, position=since)
        return _Progress(cursor, sends_changes=False, position=cursor)

    def _answer(self, request: _Request, progress: _Progress) -> None:
        """Send the rest of the answer, up to `sync/complete`."""
        if progress.sends_changes:
            self._send_changes(progress, progress.cursor, request.raw_ref)
        else:
            self._send_state(progress, request.raw_ref)
        summary = self._replicas.summary(progress.cursor)
        complete = SyncComplete(
            cursor=progress.cursor,
            counts=summary.counts,
            digests=summary.digests,
            reset=True if request.since is not None and not progress.sends_changes else msgspec.UNSET,
        )
        self._send(encode_event(complete.event, complete, request.raw_ref))
        progress.is_complete = True
        progress.position = max(progress.position, progress.cursor)

    def _send_state(self, progress: _Progress, ref: msgspec.Raw | None) -> None:
        is_new = not progress.kind
        digests = {kind: Digest() for kind in KINDS}
        kinds = list(KINDS)
        for kind in kinds[0 if is_new else kinds.index(progress.kind) :]:
            if progress.kind != kind:
                progress.kind, progress.after_id = kind, 0
            for page in self._replicas.pages(kind, progress.cursor, progress.after_id):
                for _, record in page:
                    digests[kind].add_canonical(record)
                for batch in _batches(page):
                    self._send(_encode(kind, [record for _, record in batch], ref=ref))
                    progress.after_id = batch[-1][0]
        if is_new:
            self._replicas.keep_summary(progress.cursor, digests)

    def _send_changes(self, progress: _Progress, up_to: int, ref: msgspec.Raw | None) -> None:
        """Send the changes up to a cursor."""
        while True:
            changes = self._replicas.read(
                lambda session: versions.since(session, progress.position, up_to=up_to, limit=PAGE)
            )
            if not changes:
                return
            for batch in _change_batches(changes):
                self._send(_encode_changes(batch, ref))
                progress.position = batch[-1].cursor

    def _go_live(self, progress: _Progress) -> None:
        """Catch up with the feed. Join the broadcast at exactly the feed's position, so that no change is missed."""
        feed = self._replicas.feed
        while feed.position != progress.position:
            if feed.position < progress.position:
                feed.wait_for(progress.position)
                continue
            position, sent = feed.position, progress.position
            self._send_changes(progress, position, None)
            if progress.position == sent:
                progress.position = position  # the log has no changes in between
        self._replicas.fanout.join(self._connection, [SYNC])
        self._is_live = True

    def _send(self, frame: bytes) -> None:
        may_send, has_waited = self._replicas.may_send, True
        while has_waited:
            if not self._connection.wait_for_room(STALLED_SECONDS):
                raise _SocketLost
            has_waited = not may_send.is_set()
            may_send.wait()
        self._connection.send(frame)


def _batches(records: Sequence[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Yield the records, each with its id, in lists that fit into one event each."""
    batch: list[tuple[int, str]] = []
    size = 0
    for record_id, record in records:
        if batch and (len(batch) == RECORDS_PER_EVENT or size + len(record) > EVENT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((record_id, record))
        size += len(record)
    if batch:
        yield batch


def change_frames(changes: Sequence[Change], *, ref: msgspec.Raw | None = None) -> Iterator[bytes]:
    """Yield changes as `sync/<kind>` events, in order."""
    return (_encode_changes(batch, ref) for batch in _change_batches(changes))


def _change_batches(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Yield the changes of one event each.

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
            yield batch
            batch, size = [], len(change.record or "")
        batch.append(change)
    if batch:
        yield batch


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
