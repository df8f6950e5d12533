"""Read the log of changes: what follows a cursor, and the whole state at a cursor. `shared/sync.py` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from shared.db import count_changed
from shared.models.version import Counter, Version

PRUNED_AT_ONCE = 20_000  # a longer transaction would block other writers on SQLite

_LAST_CURSOR = select(Counter.value).where(Counter.name == Counter.VERSIONS)  # for pages that ask each time


@dataclass(frozen=True, slots=True)
class Change:
    """One version. record: the canonical JSON of the record; None if it was deleted."""

    cursor: int
    kind: str
    record_id: int
    record: str | None


def last_cursor(session: Session) -> int:
    """Return the newest cursor; 0 in an empty log."""
    return session.scalar(_LAST_CURSOR) or 0


def reaches_back_to(session: Session, cursor: int) -> bool:
    """Return True if the log still has every change after `cursor`, and `cursor` is not ahead of it."""
    row = session.execute(select(Counter.value, Counter.floor).where(Counter.name == Counter.VERSIONS)).one_or_none()
    value, floor = (row.value, row.floor) if row else (0, 0)
    return bool(floor <= cursor <= value)


def since(session: Session, cursor: int, *, up_to: int | None = None, limit: int = 500) -> list[Change]:
    """Return up to `limit` changes after `cursor`, oldest first."""
    statement = (
        select(Version.id, Version.kind, Version.record_id, Version.record)
        .where(Version.id > cursor)
        .order_by(Version.id)
    )
    if up_to is not None:
        statement = statement.where(Version.id <= up_to)
    return [Change(*row) for row in session.execute(statement.limit(limit))]


def state_page(
    session: Session, kind: str, *, cursor: int, after_id: int = 0, limit: int = 500
) -> list[tuple[int, str]]:
    """Return a page of a kind's records as they were at `cursor`, as (id, canonical JSON), by ascending id.

    All pages of one cursor show the same state, in whatever transaction they are read and whatever is committed in
    between: the log still has the versions that were superseded after `cursor` (`prune` keeps recent ones).

    Args:
        after_id: The last id of the page before; 0 for the first page.
    """
    statement = (
        select(Version.record_id, Version.record)
        .where(
            Version.kind == kind,
            Version.record_id > after_id,
            Version.id <= cursor,
            or_(Version.superseded_by.is_(None), Version.superseded_by > cursor),
            Version.action != "deleted",
        )
        .order_by(Version.record_id)
        .limit(limit)
    )
    return [(record_id, record or "") for record_id, record in session.execute(statement)]


def counts(session: Session) -> dict[str, int]:
    """Return the number of records of each kind, without kinds that have none."""
    statement = (
        select(Version.kind, func.count())
        .where(Version.superseded_by.is_(None), Version.action != "deleted")
        .group_by(Version.kind)
    )
    return {kind: count for kind, count in session.execute(statement)}


def newest_records(session: Session, kind: str, record_ids: Sequence[int]) -> list[tuple[int, str]]:
    """Return those of these records that exist, as (id, canonical JSON)."""
    records: list[tuple[int, str]] = []
    for start in range(0, len(record_ids), 500):
        statement = select(Version.record_id, Version.record).where(
            Version.kind == kind,
            Version.record_id.in_(record_ids[start : start + 500]),
            Version.superseded_by.is_(None),
            Version.action != "deleted",
        )
        records += [(record_id, record or "") for record_id, record in session.execute(statement)]
    return records


def prune(session: Session, *, before: datetime, limit: int = PRUNED_AT_ONCE) -> int:
    """Delete up to `limit` versions from before a moment that were superseded since, oldest first. Return how many.

    The newest version of each record stays, so that the state is always complete. Replicas with an older cursor get the
    whole state again. Call it until it returns 0.
    """
    newest_old = session.scalar(select(func.max(Version.id)).where(Version.created_at < before))
    if newest_old is None:
        return 0
    session.execute(
        update(Counter)
        .where(Counter.name == Counter.VERSIONS, Counter.floor < newest_old)
        .values(floor=newest_old)
        .execution_options(synchronize_session=False)
    )
    # A version superseded after `newest_old` is part of the state at `newest_old`: a reader may be paging it now.
    oldest = select(Version.id).where(Version.superseded_by <= newest_old).order_by(Version.id).limit(limit)
    deleted = session.execute(
        delete(Version).where(Version.id.in_(oldest)).execution_options(synchronize_session=False)
    )
    return count_changed(deleted)
