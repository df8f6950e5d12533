"""Sessions of the site. Each has a number, and ends when its user signs out of it or of all sessions."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from shared.bus import announce
from shared.db import count_changed, upsert, utc_now
from shared.models.ended_session import EndedSession
from shared.signals import AccountChanged

KEPT = timedelta(days=400)
"""How long ended sessions are remembered: much longer than a cookie lives."""
_AT_ONCE = 500


def new_number() -> str:
    """Return a number for a new session."""
    return secrets.token_hex(16)


def end(session: Session, number: str, *, user_id: int) -> None:
    """End one session, wherever its cookie is. The account's other sessions stay. Twice does no harm."""
    statement = upsert(session, EndedSession).values(number=number, ended_at=utc_now())
    session.execute(statement.on_conflict_do_nothing())
    announce(session, AccountChanged(user_id))


def list_ended(session: Session, numbers: Collection[str]) -> set[str]:
    """Return the sessions among these that have ended."""
    ordered, ended = sorted(numbers), set[str]()
    for start in range(0, len(ordered), _AT_ONCE):
        part = ordered[start : start + _AT_ONCE]
        ended.update(session.scalars(select(EndedSession.number).where(EndedSession.number.in_(part))))
    return ended


def prune(session: Session, *, now: datetime) -> int:
    """Delete sessions whose cookies have expired long ago. Return how many."""
    statement = delete(EndedSession).where(EndedSession.ended_at < now - KEPT)
    return count_changed(session.execute(statement.execution_options(synchronize_session=False)))
