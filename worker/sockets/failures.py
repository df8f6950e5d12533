"""Delays the answers to failed attempts to authenticate, each longer than the last, by client id and by address.

Nothing is banned, since several games may share a host. An IPv6 network counts as one address. A count is forgotten
FORGET_SECONDS after its last failure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

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

    def delay(self, client_id: str, address: str, now: float) -> float:
        """Count a failure at `now` (monotonic seconds). Returns by how many seconds to delay its answer."""
        if not self._is_on:
            return 0.0
        count = max(self._count("id " + client_id[:100], now), self._count("address " + counted_address(address), now))
        return 0.0 if count <= FORGIVEN else min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(count - FORGIVEN - 1, 10))

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
