"""How many tells are sent. Their text and receivers are stored nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from shared.db import count_changed, upsert
from shared.models.tell_count import TellCount
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require

WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Tells:
    """The number of tells sent today (UTC), and in the last seven days including today."""

    today: int
    week: int


def add(session: Session, tells: Mapping[str, int], *, at: datetime) -> None:
    """Add tells that were sent, by the sending peer's key."""
    if not tells:
        return
    insert = upsert(session, TellCount)
    # Sorted, so that two workers cannot lock rows in opposite order.
    rows = [{"day": at.date(), "peer": peer, "tells": tells[peer]} for peer in sorted(tells)]
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["day", "peer"], set_={"tells": TellCount.tells + insert.excluded.tells}
        ),
        rows,
    )


def count(session: Session, actor: Actor, *, now: datetime, peer: str | None = None) -> Tells:
    """Count the tells of everybody, or of one peer's players. Raises Forbidden."""
    require(actor, Act.SEE)
    since = now.date() - WEEK
    statement = select(TellCount.day, func.sum(TellCount.tells)).where(TellCount.day > since).group_by(TellCount.day)
    if peer is not None:
        statement = statement.where(TellCount.peer == peer)
    days: dict[date, int] = {day: int(tells) for day, tells in session.execute(statement)}
    return Tells(days.get(now.date(), 0), sum(days.values()))


def prune(session: Session, *, before: datetime) -> int:
    """Delete the counts of days before a moment's. Return how many rows."""
    gone = session.execute(delete(TellCount).where(TellCount.day < before.date()))
    return count_changed(gone)
