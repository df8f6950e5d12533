"""Periodic jobs of the network: each is run by one worker at a time, whoever claims it first when it is due."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.db import count_changed
from shared.models.job import Job


def claim_job(session: Session, *, name: str, now: datetime, lease: timedelta) -> bool:
    """Take the job if it is due and nobody else runs it; a new job is due at once.

    The one who gets True has it until `lease` is over: a worker that dies meanwhile holds up nobody for longer.
    """
    if session.scalar(select(Job.name).where(Job.name == name)) is None:
        try:
            with session.begin_nested():
                session.add(Job(name=name, due_at=now))
        except IntegrityError:
            pass  # another worker was quicker to note that there is such a job
    claimed = session.execute(
        update(Job)
        .where(Job.name == name, Job.due_at <= now, or_(Job.lease_until.is_(None), Job.lease_until < now))
        .values(lease_until=now + lease)
        .execution_options(synchronize_session=False)
    )
    return count_changed(claimed) > 0


def finish_job(session: Session, *, name: str, due_at: datetime) -> None:
    """The job is done: it is next due then, and anybody's."""
    session.execute(
        update(Job)
        .where(Job.name == name)
        .values(due_at=due_at, lease_until=None)
        .execution_options(synchronize_session=False)
    )
