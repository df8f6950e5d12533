"""The number of messages today, cached so that many visitors of the home page cost little."""

from __future__ import annotations

import threading
import time
from datetime import date, datetime, timedelta

from flask import current_app
from sqlalchemy.orm import Session

from shared.services import history
from shared.times import floor

DAY = timedelta(days=1)
CACHE_SECONDS = 5.0


class _DayCount:
    """The count of one day so far. Only messages after `last_id` still have to be counted."""

    def __init__(self, day: date, last_id: int) -> None:
        self.day = day
        self.last_id = last_id
        self.messages = 0
        self.updated_at = float("-inf")


class _Today:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count: _DayCount | None = None


def messages_today(session: Session, *, now: datetime) -> int:
    """Return how many messages channels had since midnight UTC, at most CACHE_SECONDS old."""
    today: _Today = current_app.extensions.setdefault("messages_today", _Today())
    with today.lock:
        count = today.count
        if count is None or count.day != now.date():
            last_id = history.last_id_before(session, floor(now, DAY))
            today.count = count = _DayCount(now.date(), last_id)
        if time.monotonic() - count.updated_at >= CACHE_SECONDS:
            new, count.last_id = history.count_after(session, count.last_id)
            count.messages += new
            count.updated_at = time.monotonic()
        return count.messages
