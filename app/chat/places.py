"""Which lines of a channel a page shows: the latest, those around or before a line, or those that match a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from flask import request
from sqlalchemy.orm import Session

from shared.models.message import Message
from shared.protocol.types import MAX_CURSOR
from shared.services import channel_search, history
from shared.services.moderation.ignored_speakers import IgnoredSpeakers

LINES = 50


@dataclass(frozen=True, slots=True)
class Search:
    """What to search for, as in the address: words, a speaker, the first and the last day."""

    words: str
    speaker: str
    since: date | None
    until: date | None

    def __bool__(self) -> bool:
        return bool(self.words or self.speaker or self.since or self.until)


@dataclass(frozen=True, slots=True)
class Place:
    """The lines of one page.

    Attributes:
        at: The line that the address leads to; None if it leads to none.
        before, after: The ids that the address asks for.
    """

    lines: Sequence[Message]
    has_older: bool
    has_newer: bool
    search: Search
    at: int | None = None
    before: int | None = None
    after: int | None = None

    @property
    def is_latest(self) -> bool:
        """Whether these are the latest lines of the channel."""
        return not self.search and self.at is None and self.before is None and self.after is None


def read_place(session: Session, channel_id: int, ignored: IgnoredSpeakers) -> Place:
    """Return the lines that the request asks for."""
    search = requested_search()
    before, after, at = message_id("before"), message_id("after"), message_id("at")
    if search:
        lines, has_older = channel_search.search_channel(
            session,
            channel_id,
            words=search.words,
            speaker=search.speaker,
            since=search.since,
            until=search.until,
            older_than=before,
            is_hidden=ignored.covers,
            limit=LINES,
        )
        return Place(lines, has_older, False, search, before=before)
    if at is not None:
        lines, has_older, has_newer = history.lines_around(session, channel_id, at, each=LINES // 2)
        return Place(lines, has_older, has_newer, search, at=at)
    lines, more = history.channel_page(session, channel_id, before=before, after=after, limit=LINES)
    # `more` is about the requested direction. In the other one there are always the lines the reader came from.
    has_older = more if after is None else True
    has_newer = more if after is not None else before is not None
    return Place(lines, has_older, has_newer, search, before=before, after=after)


def requested_search() -> Search:
    """Return what the request searches for. Ignores invalid dates."""
    return Search(
        request.args.get("q", "").strip()[:200],
        request.args.get("from", "").strip()[:100],
        _day("since"),
        _day("until"),
    )


def message_id(name: str) -> int | None:
    """Return the id of a line from the query; None if it is missing or not a number."""
    text = request.args.get(name, "")
    return min(int(text), MAX_CURSOR) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _day(name: str) -> date | None:
    try:
        day = date.fromisoformat(request.args.get(name, ""))
    except ValueError:
        return None
    return day if 1970 <= day.year <= 9000 else None
