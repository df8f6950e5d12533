"""The periodic jobs of the network."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from shared import db
from shared.models import Version
from shared.models.connection_check import ConnectionCheck
from shared.models.job import Job as JobRow
from shared.services import connection_checks, versions
from tests.support.factory import edit_game
from tests.support.in_process import PlainDatabase
from worker.jobs.jobs import RETRY_AFTER, Job, Jobs, network_jobs


def test_old_versions_are_pruned_and_the_state_stays_whole(any_database, engine, stored, settings):
    """Superseded versions are deleted once they are old. A replica with an earlier cursor cannot resume."""
    stored.game("Old")
    with db.transaction() as session:
        edit_game(session, "Old", description="changed")
    with db.transaction() as session:
        session.execute(update(Version).values(created_at=db.utc_now() - timedelta(days=settings.version_days + 1)))
    jobs = Jobs(PlainDatabase(), network_jobs(settings))
    assert jobs.run_if_due(network_jobs(settings)[0])
    assert not jobs.run_if_due(network_jobs(settings)[0])
    with db.reading() as session:
        last = versions.last_cursor(session)
        assert list(session.scalars(select(Version.id))) == [last]
        assert versions.reaches_back_to(session, last)
        assert not versions.reaches_back_to(session, last - 1)
        assert len(versions.state_page(session, "games", cursor=last)) == 1


def test_first_checks_are_planned_in_short_transactions(engine, stored, settings, monkeypatch):
    """After an import of many games. Chat lines cannot be stored on SQLite during a transaction."""
    monkeypatch.setattr(connection_checks, "PLANNED_AT_ONCE", 2)
    game = stored.game()
    for number in range(5):
        stored.connection(game, port=4000 + number)
    database = PlainDatabase()
    (job,) = [job for job in network_jobs(settings) if job.name == "plan-connection-checks"]
    assert Jobs(database, [job]).run_if_due(job)
    assert database.writes == 6  # the claim, 2 + 2 + 1 + 0 checks, and the end
    with db.reading() as session:
        assert len(session.scalars(select(ConnectionCheck)).all()) == 5


def test_a_failed_job_is_due_again_soon_on_any_worker(any_database, engine):
    tries = []

    def work(session):
        tries.append(session)
        if len(tries) == 1:
            session.execute(text("SELECT * FROM nowhere"))

    job = Job("try", timedelta(days=1), lambda: work)
    jobs = Jobs(PlainDatabase(), [job])
    with pytest.raises(DBAPIError):
        jobs.run_if_due(job)
    with db.transaction() as session:
        row = session.get(JobRow, "try")
        assert row.lease_until is None and row.due_at <= db.utc_now() + RETRY_AFTER
        row.due_at = db.utc_now()
    assert jobs.run_if_due(job) and len(tries) == 2
