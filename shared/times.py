"""Moments on a grid: full quarters of an hour, hours, days, all in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def floor(moment: datetime, step: timedelta) -> datetime:
    """The last full multiple of a step (whole seconds, a day at most) before or at a moment."""
    seconds = int(step.total_seconds())
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, UTC)
