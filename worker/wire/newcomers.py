"""Connections that have not authenticated. Each address may have a limited number.

They are dropped first when file descriptors run short.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable
from itertools import islice
from typing import NamedTuple

from shared.addresses import counted_address
from shared.client_addresses import NO_PROXIES, TrustedProxies


class _Newcomer(NamedTuple):
    address: str
    since: float
    drop: Callable[[], None]


class Newcomers:
    """TCP connections and upgraded sockets that have not authenticated, oldest first.

    The key of a connection is its socket before the upgrade, and its transport after it. An IPv6 network counts as one
    address. The addresses of trusted proxies are not limited.

    Attributes:
        refused: How many connections were refused because their address had too many.
        dropped: How many were dropped because descriptors ran short.
    """

    def __init__(self, *, per_address: int = 256, proxies: TrustedProxies = NO_PROXIES) -> None:
        self._per_address = per_address
        self._proxies = proxies
        self._newcomers: dict[Hashable, _Newcomer] = {}
        self._by_address: Counter[str] = Counter()
        self.refused = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._newcomers)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._newcomers

    def add(self, key: Hashable, address: str, drop: Callable[[], None]) -> bool:
        """Add a connection, or change the address of one whose client is now known.

        Args:
            drop: Ends the connection.

        Returns:
            False if the address has too many connections. The connection is then not added or changed.
        """
        before = self._newcomers.get(key)
        counted = "" if self._proxies.has(address) else counted_address(address)
        if before is not None and before.address == counted:
            return True
        if counted and self._by_address[counted] >= self._per_address:
            self.refused += 1
            return False
        self.remove(key)
        self._newcomers[key] = _Newcomer(counted, before.since if before else time.monotonic(), drop)
        self._by_address[counted] += 1
        return True

    def replace(self, key: Hashable, new_key: Hashable, drop: Callable[[], None]) -> None:
        """Replace the key of a connection that was upgraded."""
        newcomer = self._newcomers.pop(key, None)
        if newcomer is not None:
            self._newcomers[new_key] = newcomer._replace(since=time.monotonic(), drop=drop)

    def remove(self, key: Hashable) -> None:
        """Remove a connection that has authenticated or ended. Ignores unknown keys."""
        newcomer = self._newcomers.pop(key, None)
        if newcomer is not None:
            self._by_address[newcomer.address] -= 1
            if self._by_address[newcomer.address] <= 0:
                del self._by_address[newcomer.address]

    def drop_oldest(self, count: int) -> int:
        """Drop the oldest connections, and return how many were dropped."""
        oldest = list(islice(self._newcomers.items(), count))
        for key, newcomer in oldest:
            self.remove(key)
            newcomer.drop()
        self.dropped += len(oldest)
        return len(oldest)
