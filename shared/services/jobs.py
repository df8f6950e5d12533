"""Periodic jobs of the network. The first worker to claim a job that is due runs it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.db import count_changed
from shared.models.job import Job


def claim_job(session: Session, *, name: str, now: datetime, lease: timedelta) -> bool:
    """Claim the job if it is due and nobody runs it. A new job is due at once.

    Returns:
        True if the caller has the job until `lease` is over. A worker that dies delays the job no longer than that.
    """
    if session.scalar(select(Job.name).where(Job.name == name)) is None:
        try:
            with session.begin_nested():
                session.add(Job(name=name, due_at=now))
        except IntegrityError:
            pass  # another worker added the job at the same moment
    claimed = session.execute(
        update(Job)
        .where(Job.name == name, Job.due_at <= now, or_(Job.lease_until.is_(None), Job.lease_until < now))
        .values(lease_until=now + lease)
        .execution_options(synchronize_session=False)
    )
    return count_changed(claimed) > 0


def finish_job(session: Session, *, name: str, due_at: datetime) -> None:
    """Release the job and set when it is due next."""
    session.execute(
        update(Job)
        .where(Job.name == name)
        .values(due_at=due_at, lease_until=None)
        .execution_options(synchronize_session=False)
    )
