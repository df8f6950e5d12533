"""The timers of all sockets: the time limit to authenticate, and regular heartbeats (docs/protocol.md, §3)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from weakref import ref

import gevent
import structlog
from msgspec import Struct

from shared.protocol import HEARTBEAT
from worker.sockets.connection import Connection

MAX_MISSED = 3
CLOSE_NO_ANSWER = 4001

_log = structlog.get_logger(__name__)


class HeartbeatsState(Struct, frozen=True, omit_defaults=True):
    """The due times (by time.monotonic()) and ids of the connections that get a heartbeat, or must authenticate."""

    beats: list[tuple[float, str]] = []
    unauthenticated: list[tuple[float, str]] = []


class Heartbeats:
    """Two queues by due time. Each delay is the same for all sockets, so appending keeps a queue sorted."""

    def __init__(self, *, heartbeat_seconds: float, authenticate_seconds: float) -> None:
        self._heartbeat_seconds = heartbeat_seconds
        self._authenticate_seconds = authenticate_seconds
        # Weak references, so that a closed socket need not stay in memory until it is due.
        self._beats: deque[tuple[float, ref[Connection]]] = deque()
        self._unauthenticated: deque[tuple[float, ref[Connection]]] = deque()

    def start(self) -> None:
        """Start the timers."""
        gevent.spawn(self._run)

    def export_state(self) -> HeartbeatsState:
        """Return the due times of open connections, for another process."""
        return HeartbeatsState(_open(self._beats), _open(self._unauthenticated))

    def restore(self, state: HeartbeatsState, connections: Mapping[str, Connection]) -> None:
        """Continue with the due times of another process. Ignores unknown connections."""
        for queue, due_times in ((self._beats, state.beats), (self._unauthenticated, state.unauthenticated)):
            queue.extend((due, ref(connections[key])) for due, key in due_times if key in connections)

    def expect(self, connection: Connection) -> None:
        """Close a new socket unless it authenticates in time."""
        self._unauthenticated.append((time.monotonic() + self._authenticate_seconds, ref(connection)))

    def beat(self, connection: Connection) -> None:
        """Send a heartbeat now, and again regularly.

        Closes the socket with 4001 if the last MAX_MISSED heartbeats were not answered.
        """
        if connection.missed_heartbeats >= MAX_MISSED:
            connection.close(CLOSE_NO_ANSWER, "heartbeats were not answered")
            return
        connection.missed_heartbeats += 1
        connection.send(HEARTBEAT)
        self._beats.append((time.monotonic() + self._heartbeat_seconds, ref(connection)))

    def _run(self) -> None:
        while True:
            gevent.sleep(self._next_due())
            try:
                self._tick(time.monotonic())
            except Exception:
                _log.exception("heartbeats could not be sent")

    def _next_due(self) -> float:
        due = min((queue[0][0] for queue in (self._beats, self._unauthenticated) if queue), default=float("inf"))
        shortest = min(self._heartbeat_seconds, self._authenticate_seconds, 1.0) / 4
        return min(max(due - time.monotonic(), 0.005), shortest)

    def _tick(self, now: float) -> None:
        while self._beats and self._beats[0][0] <= now:
            connection = self._beats.popleft()[1]()
            if connection is not None and connection.is_open:
                self.beat(connection)
        while self._unauthenticated and self._unauthenticated[0][0] <= now:
            connection = self._unauthenticated.popleft()[1]()
            if connection is not None and connection.is_open and connection.is_newcomer:
                connection.close(CLOSE_NO_ANSWER, "not authenticated in time")


def _open(queue: deque[tuple[float, ref[Connection]]]) -> list[tuple[float, str]]:
    pairs = ((due, reference()) for due, reference in queue)
    return [(due, connection.id) for due, connection in pairs if connection is not None and connection.is_open]
