"""Each job is run by one worker at a time, and again when it is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared import db
from shared.services.jobs import claim_job, finish_job

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(minutes=10)


def claim(at: datetime) -> bool:
    with db.transaction() as session:
        return claim_job(session, name="sweep", now=at, lease=LEASE)


def test_a_job_is_claimed_once_until_it_is_due_again(any_database, engine):
    """A new job is due at once."""
    assert claim(NOW)
    assert not claim(NOW)
    with db.transaction() as session:
        finish_job(session, name="sweep", due_at=NOW + timedelta(days=1))
    assert not claim(NOW + timedelta(hours=23))
    assert claim(NOW + timedelta(days=1))


def test_a_dead_worker_delays_a_job_only_until_its_lease_ends(any_database, engine):
    """After it, somebody else gets the job."""
    assert claim(NOW)
    assert not claim(NOW + timedelta(minutes=9))
    assert claim(NOW + timedelta(minutes=11))
