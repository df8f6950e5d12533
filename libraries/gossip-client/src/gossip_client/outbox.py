"""Sends that wait for the connection: a bounded number, in order. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any

from gossip_client.errors import Dropped, RequestFailed
from gossip_client.requests import Request


class Outbox:
    """First in, first out. When it is full, the oldest goes: what is said now matters more."""

    def __init__(self, *, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._waiting: deque[Request[Any]] = deque()
        self.in_flight: Request[Any] | None = None
        self._not_before = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Nothing waits, and nothing of it is on its way: a send may go out directly."""
        return not self._waiting and self.in_flight is None

    def put(self, request: Request[Any]) -> list[Request[Any]]:
        """Let a send wait; returns those that must go for it, finished."""
        self._waiting.append(request)
        return [self._drop("queue-full") for _ in range(len(self._waiting) - self._limit)]

    def next(self, now: float) -> Request[Any] | None:
        """The send whose turn it is: one at a time, so that a rate limit can be waited out and the order holds."""
        if self.in_flight is not None or not self._waiting or now < self._not_before:
            return None
        self.in_flight = self._waiting.popleft()
        return self.in_flight

    def answered(self, request: Request[Any], error: Exception | None, now: float) -> bool:
        """One of its sends has its answer. True if it is to wait and be sent again: the limit was reached."""
        if request is not self.in_flight:
            return False
        self.in_flight = None
        if isinstance(error, RequestFailed) and error.code == "rate-limited" and error.retry_after is not None:
            self._not_before = now + error.retry_after
            self._waiting.appendleft(request)
            return True
        return False

    def expire(self, now: float) -> list[Request[Any]]:
        """Drop what has waited too long."""
        dropped = []
        while self._waiting and now - self._waiting[0].asked_at >= self._seconds:
            dropped.append(self._drop("too-old"))
        return dropped

    def withdraw(self, request: Request[Any]) -> bool:
        """Drop one that nobody waits for any more. False if it does not wait here: it may be on its way."""
        if request not in self._waiting:
            return False
        self._waiting.remove(request)
        request.finish(Dropped(request.event, "cancelled"))
        return True

    def empty(self) -> list[Request[Any]]:
        """Drop everything: the client is closed."""
        return [self._drop("closed") for _ in range(len(self._waiting))]

    def wakes_at(self, *, may_send: bool) -> float | None:
        """When something is to be done again."""
        if not self._waiting:
            return None
        expiry = self._waiting[0].asked_at + self._seconds
        return min(expiry, self._not_before) if may_send and self.in_flight is None else expiry

    def _drop(self, reason: str) -> Request[Any]:
        request = self._waiting.popleft()
        request.finish(Dropped(request.event, reason))
        return request
