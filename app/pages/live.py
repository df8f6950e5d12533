"""The network's numbers as the home page shows them, cheap however many look at it."""

from __future__ import annotations

import threading
import time
from datetime import date, datetime, timedelta

from flask import current_app
from sqlalchemy.orm import Session

from shared.services import history
from shared.times import floor

DAY = timedelta(days=1)
KEPT_SECONDS = 5.0


class _Counted:
    """What was counted so far of one day: only what came after `last_id` is counted anew."""

    def __init__(self, day: date, last_id: int) -> None:
        self.day = day
        self.last_id = last_id
        self.messages = 0
        self.looked_at = float("-inf")


class _Today:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counted: _Counted | None = None


def messages_today(session: Session, *, now: datetime) -> int:
    """How many messages were said on channels since midnight (UTC); some seconds old."""
    today: _Today = current_app.extensions.setdefault("messages_today", _Today())
    with today.lock:
        counted = today.counted
        if counted is None or counted.day != now.date():
            from_midnight = history.last_id_before(session, floor(now, DAY))
            today.counted = counted = _Counted(now.date(), from_midnight)
        if time.monotonic() - counted.looked_at >= KEPT_SECONDS:
            new, counted.last_id = history.count_after(session, counted.last_id)
            counted.messages += new
            counted.looked_at = time.monotonic()
        return counted.messages
