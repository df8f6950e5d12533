"""What moderators did to a channel: pauses, slow mode, closings. Pure: no session, no clock."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class ChannelLimits(NamedTuple):
    """What moderators did to a channel.

    Attributes:
        paused_until: Unix time. 0 if it is not paused; infinite if it is paused until somebody resumes it.
    """

    paused_until: float = 0.0
    slow_seconds: int = 0
    is_closed: bool = False
    reason: str = ""

    def seconds_left(self, now: float) -> int | None:
        """Return the seconds until a pause ends; None if it has no end."""
        return None if math.isinf(self.paused_until) else max(0, math.ceil(self.paused_until - now))

    @classmethod
    def of(cls, row: Any) -> ChannelLimits:
        """Return the limits of a row of `Snapshot.channels`."""
        until = 0.0
        if row.is_paused:
            until = math.inf if row.paused_until is None else row.paused_until.timestamp()
        return cls(until, row.slow_seconds, row.is_closed, row.pause_reason if until else "")

    def at(self, now: float) -> ChannelLimits:
        """Return the limits at this time: without a pause that has ended."""
        is_over = 0.0 < self.paused_until <= now
        return self._replace(paused_until=0.0, reason="") if is_over else self


OPEN = ChannelLimits()
