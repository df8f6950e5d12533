"""Runs the network's periodic jobs: whichever worker finds one due, and claims it, runs it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import gevent
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared.db import utc_now
from shared.services import accounts, characters, connection_checks, player_counts, sessions, versions
from shared.services.jobs import claim_job, finish_job
from shared.services.moderation import retention, tell_counts
from shared.settings import Settings
from shared.times import floor
from worker.database import Database

LOOK_SECONDS = 60.0
LEASE = timedelta(minutes=10)
AGAIN = timedelta(minutes=1)  # when a job that failed is due again
BETWEEN_BATCHES_SECONDS = 0.05

_log = structlog.get_logger(__name__)


Work = Callable[[Session], object]


@dataclass(frozen=True, slots=True)
class Job:
    """begin: called in the worker's own thread once this worker has the job; what it returns is run with a session, in
    another thread on SQLite, and returns what there is to log. is_quiet: is logged only where everything is.
    is_batched: is run again, each time in a transaction of its own, until it returns 0.
    is_aligned: is due at full multiples of `every`, such as each quarter of an hour, however late it ran before."""

    name: str
    every: timedelta
    begin: Callable[[], Work]
    is_quiet: bool = False
    is_batched: bool = False
    is_aligned: bool = False

    def due_after(self, moment: datetime) -> datetime:
        """When the job is due again once it has run."""
        return (floor(moment, self.every) if self.is_aligned else moment) + self.every


def network_jobs(settings: Settings, list_online: Callable[[], list[tuple[int, list[str]]]] = list) -> list[Job]:
    """Every job there is. list_online: the games with a socket, each with the names of its players."""
    kept = timedelta(days=settings.version_days)
    abandoned_after = timedelta(days=settings.unverified_days)

    def prune() -> Work:
        return lambda session: versions.prune(session, before=utc_now() - kept)

    def delete_messages() -> Work:
        before = utc_now() - timedelta(days=settings.message_days)
        return lambda session: retention.delete_old_messages(session, before=before)

    def delete_records() -> Work:
        before = utc_now() - timedelta(days=settings.moderation_days)
        return lambda session: retention.delete_old_records(session, before=before)

    def prune_tell_counts() -> Work:
        before = utc_now() - timedelta(days=settings.message_days)
        return lambda session: tell_counts.prune(session, before=before)

    def note_sightings() -> Work:
        online = list_online()
        return lambda session: characters.note_sightings(session, online, at=utc_now())

    def count_players() -> Work:
        players = {game_id: len(names) for game_id, names in list_online()}
        return lambda session: player_counts.record(session, players, at=utc_now())

    def plan_checks() -> Work:
        return lambda session: connection_checks.plan(session, now=utc_now())

    def remove_abandoned() -> Work:
        return lambda session: accounts.remove_abandoned(session, before=utc_now() - abandoned_after)

    return [
        Job("prune-versions", timedelta(days=1), prune, is_batched=True),
        Job("delete-old-messages", timedelta(days=1), delete_messages, is_batched=True),
        Job("delete-old-records", timedelta(days=1), delete_records, is_batched=True),
        Job("prune-tell-counts", timedelta(days=1), prune_tell_counts),
        Job("plan-connection-checks", connection_checks.SPREAD, plan_checks, is_quiet=True),
        Job("remove-abandoned-accounts", timedelta(days=1), remove_abandoned),
        Job("prune-ended-sessions", timedelta(days=1), lambda: lambda session: sessions.prune(session, now=utc_now())),
        Job("note-sightings", timedelta(minutes=1), note_sightings, is_quiet=True),
        Job("count-players", player_counts.QUARTER, count_players, is_quiet=True, is_aligned=True),
        Job(
            "prune-player-counts",
            timedelta(days=1),
            lambda: lambda session: player_counts.prune(session, now=utc_now()),
        ),
    ]


class Jobs:
    """Looks for due jobs now and then."""

    def __init__(self, database: Database, jobs: list[Job]) -> None:
        self._database = database
        self._jobs = jobs

    def start(self) -> None:
        """Begin to look."""
        gevent.spawn(self._run)

    def _run(self) -> None:
        while True:
            gevent.sleep(LOOK_SECONDS * random.uniform(0.5, 1.5))
            for job in self._jobs:
                try:
                    self.run_if_due(job)
                except SQLAlchemyError as error:
                    _log.error("a job waits for the database", job=job.name, error=str(error))
                except Exception:
                    _log.exception("a job failed, and is tried again", job=job.name)

    def run_if_due(self, job: Job) -> bool:
        """Run a job if it is due and this worker gets it. One that fails is due again soon, at whichever worker."""
        if not self._database.write(lambda session: claim_job(session, name=job.name, now=utc_now(), lease=LEASE)):
            return False
        try:
            result = self._run_work(job)
        except Exception:
            self._finish(job, due_at=utc_now() + AGAIN)
            raise
        self._finish(job, due_at=job.due_after(utc_now()))
        (_log.debug if job.is_quiet else _log.info)("job done", job=job.name, result=result)
        return True

    def _run_work(self, job: Job) -> object:
        result: object = self._database.write(job.begin())
        batch = result
        while job.is_batched and isinstance(batch, int) and isinstance(result, int) and batch:
            gevent.sleep(BETWEEN_BATCHES_SECONDS)  # others write too
            batch = self._database.write(job.begin())
            result += batch if isinstance(batch, int) else 0
        return result

    def _finish(self, job: Job, *, due_at: datetime) -> None:
        self._database.write(lambda session: finish_job(session, name=job.name, due_at=due_at))
