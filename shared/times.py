"""Rounding times down to full quarters of an hour, hours or days, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def floor(moment: datetime, step: timedelta) -> datetime:
    """Round a time down to a multiple of a step, which is whole seconds and at most a day."""
    seconds = int(step.total_seconds())
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, UTC)
