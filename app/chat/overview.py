"""What is going on in each channel: its last line and who has spoken today."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from flask import current_app
from sqlalchemy.orm import Session

from app.chat.text import is_notice
from shared.db import utc_now
from shared.models.channel import Channel
from shared.models.message import Message
from shared.services import history
from shared.services.moderation.ignored_speakers import IgnoredSpeakers

CACHE_SECONDS = 2.0
SPEAKERS = 4  # named for each channel


@dataclass(frozen=True, slots=True)
class Activity:
    """What is going on in a channel.

    Attributes:
        last: The last line; None if there is none.
        speakers: Who has spoken today (in UTC), the last one first, up to SPEAKERS.
        has_more_speakers: Whether others have spoken today too.
    """

    last: Message | None
    speakers: Sequence[str]
    has_more_speakers: bool


class _Cache:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.read_at = float("-inf")
        self.ids: Sequence[int] = ()
        self.lines: dict[int, list[Message]] = {}


def recent_lines(session: Session, channels: Sequence[Channel]) -> dict[int, list[Message]]:
    """Return the newest lines of these channels, newest first, at most CACHE_SECONDS old."""
    cache: _Cache = current_app.extensions.setdefault("recent_lines", _Cache())
    ids = [channel.id for channel in channels]
    with cache.lock:
        if cache.ids != ids or time.monotonic() - cache.read_at >= CACHE_SECONDS:
            cache.lines = history.recent_lines(session, ids)
            cache.ids, cache.read_at = ids, time.monotonic()
        return cache.lines


def read_activity(session: Session, channels: Sequence[Channel], ignored: IgnoredSpeakers) -> dict[int, Activity]:
    """Return what is going on in each of these channels, without players that the viewer ignores."""
    today = utc_now().date()
    recent = recent_lines(session, channels)
    activities: dict[int, Activity] = {}
    for channel in channels:
        lines = [line for line in recent.get(channel.id, []) if not ignored.covers(line)]
        spoken = [line for line in lines if line.sent_at.date() == today and not is_notice(line.name, line.game)]
        speakers = list(dict.fromkeys(line.name for line in spoken))
        activities[channel.id] = Activity(
            lines[0] if lines else None, speakers[:SPEAKERS], has_more_speakers=len(speakers) > SPEAKERS
        )
    return activities
