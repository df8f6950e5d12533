"""Delays the answers to failed attempts to authenticate, each longer than the last, by client id and by address.

Nothing is banned, since several games may share a host. An IPv6 network counts as one address. A count is forgotten
FORGET_SECONDS after its last failure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gevent.event import Event

from shared.addresses import counted_address

LONGEST_SECONDS = 10.0
FIRST_SECONDS = 0.1
FORGIVEN = 3  # failures without a delay, for owners who mistype
FORGET_SECONDS = 300.0
MAX_KEYS = 10_000
MAX_HELD = 1_000


class Failures:
    """The counts of failures. If it is turned off, all delays are 0."""

    def __init__(self, is_on: bool) -> None:
        self._is_on = is_on
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._held = 0
        self._may_delay = True
        self._released = Event()

    def delay(self, client_id: str, address: str, now: float) -> float:
        """Count a failure at `now` (monotonic seconds). Returns by how many seconds to delay its answer."""
        if not self._is_on:
            return 0.0
        count = max(self._count("id " + client_id[:100], now), self._count("address " + counted_address(address), now))
        return 0.0 if count <= FORGIVEN else min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(count - FORGIVEN - 1, 10))

    def wait(self, seconds: float) -> None:
        """Wait, but not while another process takes over: nobody's answer may hold that up."""
        if self._may_delay:
            self._released.wait(seconds)

    def hold(self) -> None:
        """End all delays, and begin none."""
        self._may_delay = False
        self._released.set()

    def release(self) -> None:
        """Delay answers again."""
        self._may_delay = True
        self._released.clear()

    def export_state(self) -> list[tuple[str, int, float]]:
        """Return the counts for another process: key, failures, and the time of the last by time.monotonic()."""
        return [(key, count, last_at) for key, (count, last_at) in self._counts.items()]

    def restore(self, counts: Iterable[tuple[str, int, float]]) -> None:
        """Continue with the counts of another process."""
        self._counts = OrderedDict((key, (count, last_at)) for key, count, last_at in counts)

    @contextmanager
    def holding(self) -> Iterator[bool]:
        """Count a socket that waits. Yields False if too many wait already, so that this one must not."""
        self._held += 1
        try:
            yield self._held <= MAX_HELD
        finally:
            self._held -= 1

    def _count(self, key: str, now: float) -> int:
        count, last_at = self._counts.pop(key, (0, now))
        count = 1 if now - last_at > FORGET_SECONDS else count + 1
        self._counts[key] = (count, now)
        if len(self._counts) > MAX_KEYS:
            self._counts.popitem(last=False)
        return count
