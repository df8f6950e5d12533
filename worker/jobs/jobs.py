"""Runs the network's periodic jobs. The worker that first claims a due job runs it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import gevent
import structlog
from gevent.event import Event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared.db import utc_now
from shared.services import accounts, characters, connection_checks, player_counts, sessions, text_search, versions
from shared.services.jobs import claim_job, finish_job
from shared.services.moderation import retention, tell_counts
from shared.services.oauth import tokens
from shared.settings import Settings
from shared.times import floor
from worker.database import Database

POLL_SECONDS = 60.0
LEASE = timedelta(minutes=10)
RETRY_AFTER = timedelta(minutes=1)  # for a job that has failed
BETWEEN_BATCHES_SECONDS = 0.05

_log = structlog.get_logger(__name__)


T = TypeVar("T")
Work = Callable[[Session], object]


@dataclass(frozen=True, slots=True)
class Job:
    """A periodic job.

    Attributes:
        begin: Called in the worker's main thread once it has claimed the job. Returns a function that does the work
            with a session, on SQLite in another thread. The function's result is logged.
        is_quiet: Whether to log the result at debug level.
        is_batched: Whether to repeat the work until it returns 0, each time in a new transaction.
        is_aligned: Whether the job is due at multiples of `every` (each quarter of an hour, for example), even if the
            last run was late.
    """

    name: str
    every: timedelta
    begin: Callable[[], Work]
    is_quiet: bool = False
    is_batched: bool = False
    is_aligned: bool = False

    def due_after(self, moment: datetime) -> datetime:
        """Return when the job is due again after a run."""
        return (floor(moment, self.every) if self.is_aligned else moment) + self.every


def network_jobs(settings: Settings, list_online: Callable[[], list[tuple[int, list[str]]]] = list) -> list[Job]:
    """Return all jobs.

    Args:
        list_online: Returns the ids of the games that are online, with the names of their players.
    """
    versions_kept = timedelta(days=settings.version_days)
    abandoned_after = timedelta(days=settings.unverified_days)

    def prune() -> Work:
        return lambda session: versions.prune(session, before=utc_now() - versions_kept)

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
        Job("index-messages", timedelta(minutes=1), lambda: text_search.index_batch, is_quiet=True, is_batched=True),
        Job("plan-connection-checks", connection_checks.SPREAD, plan_checks, is_quiet=True, is_batched=True),
        Job("remove-abandoned-accounts", timedelta(days=1), remove_abandoned),
        Job("prune-ended-sessions", timedelta(days=1), lambda: lambda session: sessions.prune(session, now=utc_now())),
        Job("prune-oauth-tokens", timedelta(days=1), lambda: tokens.prune),
        Job("note-sightings", timedelta(minutes=1), note_sightings, is_quiet=True),
        Job("count-players", timedelta(minutes=1), count_players, is_quiet=True, is_aligned=True),
        Job(
            "prune-player-counts",
            timedelta(days=1),
            lambda: lambda session: player_counts.prune(session, now=utc_now()),
        ),
    ]


class Jobs:
    """Runs due jobs, checking about once a minute.

    Attributes:
        claimed: The job that this worker has claimed and not finished.
        is_writing: Whether a transaction of a job is in progress.
    """

    def __init__(self, database: Database, jobs: list[Job]) -> None:
        self._database = database
        self._jobs = jobs
        self._may_run = Event()
        self._may_run.set()
        self.is_writing = False
        self.claimed: str | None = None

    def start(self, claimed: str | None = None) -> None:
        """Start running jobs.

        Args:
            claimed: A job that another process of this worker has claimed and not finished. It runs at once.
        """
        self.claimed = claimed
        gevent.spawn(self._run)

    def hold(self) -> None:
        """Begin no job, and no batch of one, until release() is called."""
        self._may_run.clear()

    def release(self) -> None:
        """Run jobs again."""
        self._may_run.set()

    def _run(self) -> None:
        for job in self._jobs:
            if job.name == self.claimed:
                self._attempt(job, self._run_claimed)
        while True:
            gevent.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))
            for job in self._jobs:
                self._attempt(job, self.run_if_due)

    def _attempt(self, job: Job, run: Callable[[Job], object]) -> None:
        try:
            run(job)
        except SQLAlchemyError as error:
            _log.error("a job is waiting for the database", job=job.name, error=str(error))
        except Exception:
            _log.exception("a job failed, and will be tried again", job=job.name)

    def run_if_due(self, job: Job) -> bool:
        """Run a job if it is due and no other worker has claimed it. Return whether it ran.

        If it fails, it is due again after RETRY_AFTER, and the error is raised.
        """
        if not self._write(lambda session: claim_job(session, name=job.name, now=utc_now(), lease=LEASE)):
            return False
        self._run_claimed(job)
        return True

    def _run_claimed(self, job: Job) -> None:
        self.claimed = job.name
        try:
            result = self._run_work(job)
        except Exception:
            self._finish(job, due_at=utc_now() + RETRY_AFTER)
            raise
        self._finish(job, due_at=job.due_after(utc_now()))
        (_log.debug if job.is_quiet else _log.info)("job done", job=job.name, result=result)

    def _run_work(self, job: Job) -> object:
        result: object = self._write(job.begin())
        batch = result
        while job.is_batched and isinstance(batch, int) and isinstance(result, int) and batch:
            gevent.sleep(BETWEEN_BATCHES_SECONDS)  # let others write
            batch = self._write(job.begin())
            result += batch if isinstance(batch, int) else 0
        return result

    def _finish(self, job: Job, *, due_at: datetime) -> None:
        self._write(lambda session: finish_job(session, name=job.name, due_at=due_at))
        self.claimed = None

    def _write(self, function: Callable[[Session], T]) -> T:
        self._may_run.wait()
        self.is_writing = True
        try:
            return self._database.write(function)
        finally:
            self.is_writing = False
