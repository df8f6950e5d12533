"""Token buckets. Pure: no clock and no I/O.

A bucket is one number, the time at which it will be full again (the generic cell rate algorithm: a token bucket without
a counter). It is full if that time has passed, and empty if that time is a whole burst away.
"""

from __future__ import annotations

from shared.limits import Limit

_SLACK = 1e-9


class Bucket:
    """A token bucket. full_at: when it is full again, by the caller's clock."""

    __slots__ = ("_every", "_span", "full_at")

    def __init__(self, limit: Limit, factor: int = 1) -> None:
        self._every = 1 / (limit.per_second * factor)
        self._span = self._every * limit.burst * factor
        self.full_at = 0.0

    def wait(self, now: float, tokens: int = 1) -> float:
        """Return the seconds until there are this many tokens, or until the bucket is full; 0 if there are now."""
        wait = self.full_at + min(self._every * tokens, self._span) - self._span - now
        return wait if wait > _SLACK else 0.0

    def debit(self, now: float, tokens: int = 1) -> None:
        """Remove tokens. The level never goes below zero."""
        self.full_at = min(max(self.full_at, now) + self._every * tokens, now + self._span)

    def tokens(self, now: float) -> float:
        """Return how many tokens there are now."""
        return (self._span - max(self.full_at - now, 0.0)) / self._every


class SocketLimits:
    """The buckets of one socket, and how long it has been over the limit of all events."""

    __slots__ = ("buckets", "over_count", "over_since")

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.over_since = 0.0
        self.over_count = 0
