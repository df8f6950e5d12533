"""Sessions of the site. Each has a number, and is good until it is signed out of, or the account of all of its own."""

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
"""How long it is known that a session ended: much longer than a cookie lives."""
_AT_ONCE = 500


def new_number() -> str:
    """A number for a new session."""
    return secrets.token_hex(16)


def end(session: Session, number: str, *, user_id: int) -> None:
    """Sign out of one session, wherever its cookie is; the account's others go on. Doing so twice is no fault."""
    statement = upsert(session, EndedSession).values(number=number, ended_at=utc_now())
    session.execute(statement.on_conflict_do_nothing())
    announce(session, AccountChanged(user_id))


def list_ended(session: Session, numbers: Collection[str]) -> set[str]:
    """Which of these sessions were signed out of."""
    wanted, found = sorted(numbers), set[str]()
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        found.update(session.scalars(select(EndedSession.number).where(EndedSession.number.in_(part))))
    return found


def prune(session: Session, *, now: datetime) -> int:
    """Forget those that ended so long ago that no cookie of them is good. Returns how many."""
    statement = delete(EndedSession).where(EndedSession.ended_at < now - KEPT)
    return count_changed(session.execute(statement.execution_options(synchronize_session=False)))
