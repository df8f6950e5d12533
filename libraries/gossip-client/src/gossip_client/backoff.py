"""How long to wait before the next attempt to connect. Pure: the caller has the clock and the random numbers."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """Waits that double, shortened at random so that not all games of a network reconnect at the same moment.

    All times are in seconds.

    Attributes:
        first: The first wait after a lost connection.
        longest: The longest wait after a lost connection.
        refused_first: The first wait after refused credentials.
        refused_longest: The longest wait after refused credentials.
        stable: After a connection that lasted this long, the waits start again from `first`.
    """

    first: float = 1.0
    longest: float = 60.0
    refused_first: float = 30.0
    refused_longest: float = 600.0
    stable: float = 10.0

    def __post_init__(self) -> None:
        self._times_lost = 0
        self._times_refused = 0

    def lost(self, rng: random.Random) -> float:
        """Return how long to wait after a connection was lost or could not be made."""
        wait: float = min(self.longest, self.first * 2.0 ** min(self._times_lost, 30))
        self._times_lost += 1
        return wait * rng.uniform(0.5, 1.0)

    def refused(self, rng: random.Random) -> float:
        """Return how long to wait after the server refused the credentials. It is long: a person must act first."""
        wait: float = min(self.refused_longest, self.refused_first * 2.0 ** min(self._times_refused, 30))
        self._times_refused += 1
        return wait * rng.uniform(1.0, 1.2)

    def lasted(self, seconds: float) -> None:
        """Note that the server accepted a connection, and that it lasted this long."""
        self._times_refused = 0
        if seconds >= self.stable:
            self._times_lost = 0
