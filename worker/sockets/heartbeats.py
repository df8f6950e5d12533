"""Timers of all sockets: the time to authenticate, and a heartbeat every so many seconds (docs/protocol.md, §3)."""

from __future__ import annotations

import time
from collections import deque
from weakref import ref

import gevent
import structlog

from shared.protocol import HEARTBEAT
from worker.sockets.connection import Connection

MISSED_AT_MOST = 3
CLOSE_NO_ANSWER = 4001

_log = structlog.get_logger(__name__)


class Heartbeats:
    """Two queues by due time: each delay is the same for all sockets, so whoever comes last is due last."""

    def __init__(self, *, heartbeat_seconds: float, authenticate_seconds: float) -> None:
        self._heartbeat_seconds = heartbeat_seconds
        self._authenticate_seconds = authenticate_seconds
        # Weak, or sockets that come and go quickly would all be kept until they are due.
        self._beating: deque[tuple[float, ref[Connection]]] = deque()
        self._arriving: deque[tuple[float, ref[Connection]]] = deque()

    def start(self) -> None:
        """Begin to watch."""
        gevent.spawn(self._run)

    def expect(self, connection: Connection) -> None:
        """A new socket: it has so long to authenticate."""
        self._arriving.append((time.monotonic() + self._authenticate_seconds, ref(connection)))

    def beat(self, connection: Connection) -> None:
        """Send a heartbeat now, and go on. Closes with 4001 instead of sending a fourth that nobody answers."""
        if connection.missed_heartbeats >= MISSED_AT_MOST:
            connection.close(CLOSE_NO_ANSWER, "heartbeats were not answered")
            return
        connection.missed_heartbeats += 1
        connection.send(HEARTBEAT)
        self._beating.append((time.monotonic() + self._heartbeat_seconds, ref(connection)))

    def _run(self) -> None:
        while True:
            gevent.sleep(self._next_due())
            try:
                self._tick(time.monotonic())
            except Exception:
                _log.exception("heartbeats could not be sent")

    def _next_due(self) -> float:
        due = min((queue[0][0] for queue in (self._beating, self._arriving) if queue), default=float("inf"))
        shortest = min(self._heartbeat_seconds, self._authenticate_seconds, 1.0) / 4
        return min(max(due - time.monotonic(), 0.005), shortest)

    def _tick(self, now: float) -> None:
        while self._beating and self._beating[0][0] <= now:
            connection = self._beating.popleft()[1]()
            if connection is not None and connection.is_open:
                self.beat(connection)
        while self._arriving and self._arriving[0][0] <= now:
            connection = self._arriving.popleft()[1]()
            if connection is not None and connection.is_open and connection.peer is None:
                connection.close(CLOSE_NO_ANSWER, "not authenticated in time")
