"""How long to wait before the next attempt to connect. Pure: the caller has the clock and the randomness."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """Doubling waits with jitter, so that the games of one network do not all come back in the same moment.

    All in seconds. stable: a connection that lasted this long starts the waits afresh.
    """

    first: float = 1.0
    longest: float = 60.0
    refused_first: float = 30.0
    refused_longest: float = 600.0
    stable: float = 10.0

    def __post_init__(self) -> None:
        self._lost = 0
        self._refused = 0

    def lost(self, rng: random.Random) -> float:
        """The wait after a connection that was lost or could not be made."""
        wait: float = min(self.longest, self.first * 2.0 ** min(self._lost, 30))
        self._lost += 1
        return wait * rng.uniform(0.5, 1.0)

    def refused(self, rng: random.Random) -> float:
        """The wait after bad credentials. Never short: nothing changes until a person changes it."""
        wait: float = min(self.refused_longest, self.refused_first * 2.0 ** min(self._refused, 30))
        self._refused += 1
        return wait * rng.uniform(1.0, 1.2)

    def lasted(self, seconds: float) -> None:
        """A connection was let in, and held for so long."""
        self._refused = 0
        if seconds >= self.stable:
            self._lost = 0
