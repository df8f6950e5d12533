"""The job that counts the players of connected games. One worker runs it every quarter of an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from shared import db
from shared.models import Job as JobRow
from shared.models import PlayerCount
from shared.services import player_counts
from shared.services.jobs import claim_job
from tests.support.in_process import PlainDatabase
from tests.support.waiting import wait_until
from worker.jobs.jobs import LEASE, Job, Jobs, network_jobs


def job_of(settings, online, name="count-players"):
    (job,) = [job for job in network_jobs(settings, lambda: online) if job.name == name]
    return job


def counts():
    with db.reading() as session:
        return sorted((row.game_id, row.players) for row in session.scalars(select(PlayerCount)))


def test_two_workers_count_once(any_database, engine, stored, settings):
    """Games without players count too. The job is due again at the next full minute."""
    busy, empty = stored.game(), stored.game()
    first = job_of(settings, [(busy.id, ["Odo", "Wren"]), (empty.id, [])])
    second = job_of(settings, [(busy.id, ["Odo"]), (empty.id, ["Bea"])])
    assert [Jobs(PlainDatabase(), []).run_if_due(job) for job in (first, second)] == [True, False]
    assert counts() == [(busy.id, 2), (empty.id, 0)]
    with db.reading() as session:
        due_at = session.get(JobRow, "count-players").due_at
    assert due_at > db.utc_now()
    assert (due_at.second, due_at.microsecond) == (0, 0) and due_at - db.utc_now() <= timedelta(minutes=1)


def test_a_game_that_connects_between_two_quarters_is_counted_within_a_minute(
    any_database, engine, stored, settings, monkeypatch
):
    """It is counted only once in its quarter, like games that were connected at the start of it."""
    early, late = stored.game(), stored.game()
    started_at = datetime(2026, 3, 10, 14, 30, 20, tzinfo=UTC)
    online = [(early.id, ["Odo"])]
    job = job_of(settings, online)
    monkeypatch.setattr("worker.jobs.jobs.utc_now", lambda: started_at)
    assert Jobs(PlainDatabase(), []).run_if_due(job)

    online[:] = [(early.id, ["Odo", "Wren"]), (late.id, ["Bea"])]
    monkeypatch.setattr("worker.jobs.jobs.utc_now", lambda: started_at + timedelta(minutes=1))
    assert Jobs(PlainDatabase(), []).run_if_due(job)

    assert counts() == [(early.id, 1), (late.id, 1)]
    with db.reading() as session:
        assert player_counts.last_counted_at(session, late.id) == datetime(2026, 3, 10, 14, 30, tzinfo=UTC)


def test_a_worker_that_dies_after_the_count_does_not_count_twice(any_database, engine, stored, settings, monkeypatch):
    """When its lease expires, another worker runs the job in the same quarter. The count does not change."""
    game, started_at = stored.game(), datetime(2026, 3, 10, 14, 30, 20, tzinfo=UTC)
    monkeypatch.setattr("worker.jobs.jobs.utc_now", lambda: started_at)
    job = job_of(settings, [(game.id, ["Odo"])])
    with db.transaction() as session:
        assert claim_job(session, name=job.name, now=started_at, lease=LEASE)
    assert PlainDatabase().write(job.begin()) == 1

    second = job_of(settings, [(game.id, ["Odo", "Wren"])])
    assert not Jobs(PlainDatabase(), []).run_if_due(second)
    monkeypatch.setattr("worker.jobs.jobs.utc_now", lambda: started_at + LEASE + timedelta(seconds=1))
    assert Jobs(PlainDatabase(), []).run_if_due(second)
    assert counts() == [(game.id, 1)]


def test_an_aligned_job_does_not_drift():
    """It is due at the next full quarter, even if it ran late."""
    job = Job("tick", timedelta(minutes=15), lambda: lambda session: None, is_aligned=True)
    late = datetime(2026, 3, 10, 14, 31, 29, tzinfo=UTC)
    assert job.due_after(late) == datetime(2026, 3, 10, 14, 45, tzinfo=UTC)
    assert job.due_after(datetime(2026, 3, 10, 14, 45, tzinfo=UTC)) == datetime(2026, 3, 10, 15, 0, tzinfo=UTC)
    plain = Job("tick", timedelta(minutes=15), lambda: lambda session: None)
    assert plain.due_after(late) == late + timedelta(minutes=15)


def test_a_job_prunes_old_counts(any_database, engine, stored, settings):
    game = stored.game()
    with db.transaction() as session:
        player_counts.record(session, {game.id: 1}, at=db.utc_now() - timedelta(days=30))
    assert Jobs(PlainDatabase(), []).run_if_due(job_of(settings, [], "prune-player-counts"))
    assert counts() == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_real_workers_count_every_game_once(start_worker, connect, engine, stored):
    """A game with sockets and players on both workers gets one count."""
    game, credentials = stored.game_with_credentials()
    empty, empty_credentials = stored.game_with_credentials()
    workers = [start_worker(), start_worker()]
    for worker, players in zip(workers, (["Wren", "Odo"], ["WREN", "Bea"]), strict=True):
        connect(worker.url).authenticate(
            credentials.client_id, credentials.client_secret, supports=["channels", "players"], players=players
        )
    connect(workers[0].url).authenticate(empty_credentials.client_id, empty_credentials.client_secret)
    assert wait_until(counts, seconds=150, what="the players are counted") == [(game.id, 3), (empty.id, 0)]
