"""The queue of sends that wait for the connection. Bounded, and in order. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any

from gossip_client.errors import Dropped, RequestFailed
from gossip_client.requests import Request


class Outbox:
    """First in, first out. When it is full, the oldest send is dropped: newer lines matter more."""

    def __init__(self, *, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._queue: deque[Request[Any]] = deque()
        self.in_flight: Request[Any] | None = None
        self._not_before = 0.0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Whether the queue is empty and none of its sends is unanswered, so that a new send need not wait."""
        return not self._queue and self.in_flight is None

    def put(self, request: Request[Any]) -> list[Request[Any]]:
        """Queue a send. Return the sends that were dropped to make room."""
        self._queue.append(request)
        return [self._drop("queue-full") for _ in range(len(self._queue) - self._limit)]

    def next(self, now: float) -> Request[Any] | None:
        """Return the next send, or None. Only one is in flight at a time: a rate limit must not change the order."""
        if self.in_flight is not None or not self._queue or now < self._not_before:
            return None
        self.in_flight = self._queue.popleft()
        return self.in_flight

    def answered(self, request: Request[Any], error: Exception | None, now: float) -> bool:
        """Handle the answer to a request. Return whether it was rate-limited and will be sent again."""
        if request is not self.in_flight:
            return False
        self.in_flight = None
        if isinstance(error, RequestFailed) and error.code == "rate-limited" and error.retry_after is not None:
            self._not_before = now + error.retry_after
            self._queue.appendleft(request)
            return True
        return False

    def expire(self, now: float) -> list[Request[Any]]:
        """Drop the sends that have waited too long, and return them."""
        dropped = []
        while self._queue and now - self._queue[0].asked_at >= self._seconds:
            dropped.append(self._drop("too-old"))
        return dropped

    def withdraw(self, request: Request[Any]) -> bool:
        """Drop a send whose caller no longer waits. Return False if it is no longer in the queue."""
        if request not in self._queue:
            return False
        self._queue.remove(request)
        request.finish(Dropped(request.event, "cancelled"))
        return True

    def empty(self) -> list[Request[Any]]:
        """Drop all sends, and return them: the client is closed."""
        return [self._drop("closed") for _ in range(len(self._queue))]

    def wakes_at(self, *, may_send: bool) -> float | None:
        """Return when the next send expires, or may be sent after a rate limit; None if the queue is empty."""
        if not self._queue:
            return None
        expiry = self._queue[0].asked_at + self._seconds
        return min(expiry, self._not_before) if may_send and self.in_flight is None else expiry

    def _drop(self, reason: str) -> Request[Any]:
        request = self._queue.popleft()
        request.finish(Dropped(request.event, reason))
        return request
