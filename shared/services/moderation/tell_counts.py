"""How many tells are sent. What they say, and who they are for, is kept nowhere."""

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
    """Sent today (UTC), and in the seven days that end with it."""

    today: int
    week: int


def add(session: Session, tells: Mapping[str, int], *, at: datetime) -> None:
    """Count tells that were sent, by the sending peer's key."""
    if not tells:
        return
    insert = upsert(session, TellCount)
    # In one order, so that two workers that add at once do not wait for each other.
    rows = [{"day": at.date(), "peer": peer, "tells": tells[peer]} for peer in sorted(tells)]
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["day", "peer"], set_={"tells": TellCount.tells + insert.excluded.tells}
        ),
        rows,
    )


def count(session: Session, actor: Actor, *, now: datetime, peer: str | None = None) -> Tells:
    """The tells of all, or of one peer's players. Raises Forbidden."""
    require(actor, Act.SEE)
    since = now.date() - WEEK
    statement = select(TellCount.day, func.sum(TellCount.tells)).where(TellCount.day > since).group_by(TellCount.day)
    if peer is not None:
        statement = statement.where(TellCount.peer == peer)
    days: dict[date, int] = {day: int(tells) for day, tells in session.execute(statement)}
    return Tells(days.get(now.date(), 0), sum(days.values()))


def prune(session: Session, *, before: datetime) -> int:
    """Forget the counts of days before a moment's. Returns how many rows went."""
    gone = session.execute(delete(TellCount).where(TellCount.day < before.date()))
    return count_changed(gone)
