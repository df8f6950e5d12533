"""Search in the history of a channel, for everybody who may read it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared import validation
from shared.models.message import Message
from shared.protocol.types import MAX_CURSOR
from shared.services import history, text_search

CANDIDATES = 500  # matches that one search looks at, at most, in case many of them are hidden from the reader


def search_channel(
    session: Session,
    channel_id: int,
    *,
    words: str = "",
    speaker: str = "",
    since: date | None = None,
    until: date | None = None,
    older_than: int | None = None,
    is_hidden: Callable[[Message], bool] = lambda line: False,
    limit: int = 50,
) -> tuple[list[Message], bool]:
    """Return messages that match all criteria, oldest first, and whether there are older ones.

    Args:
        words: Words of the text, in any order; the last one may be incomplete.
        speaker: Words of the speaker's name, or `Name@Game`.
        since, until: The first and the last day, in UTC.
        older_than: An id that all matches are below, for the next page.
        is_hidden: Tells which lines the reader is not shown.
    """
    words, speaker = (value if validation.is_storable(value) else "" for value in (words, speaker))
    name, _, game = speaker.partition("@")
    query = text_search.make_query(words=words, player=name, game=game, channel_id=channel_id)
    if query is None:
        return [], False
    first = 0 if since is None else history.first_id_since(session, _midnight(since))
    last = MAX_CURSOR if until is None else history.first_id_since(session, _midnight(until + timedelta(days=1))) - 1
    if older_than is not None:
        last = min(last, older_than - 1)
    lines: list[Message] = []
    for candidates in (2 * limit, CANDIDATES):
        ids = text_search.find_ids(session, query, first=first, last=last, limit=candidates)
        rows = session.scalars(
            select(Message).where(Message.id.in_(ids), Message.redacted_at.is_(None)).order_by(Message.id.desc())
        )
        lines = [line for line in rows if not is_hidden(line)]
        if len(lines) > limit or len(ids) < candidates:
            break
    return lines[:limit][::-1], len(lines) > limit


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
