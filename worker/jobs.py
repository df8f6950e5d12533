"""Runs the network's periodic jobs: whichever worker finds one due, and claims it, runs it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import gevent
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared.db import utc_now
from shared.services import characters, versions
from shared.services.jobs import claim_job, finish_job
from shared.settings import Settings
from worker.database import Database

LOOK_SECONDS = 60.0
LEASE = timedelta(minutes=10)

_log = structlog.get_logger(__name__)


Work = Callable[[Session], object]


@dataclass(frozen=True, slots=True)
class Job:
    """begin: called in the worker's own thread once this worker has the job; what it returns is run with a session, in
    another thread on SQLite, and returns what there is to log. is_quiet: is logged only where everything is."""

    name: str
    every: timedelta
    begin: Callable[[], Work]
    is_quiet: bool = False


def network_jobs(settings: Settings, list_online: Callable[[], list[tuple[int, list[str]]]] = list) -> list[Job]:
    """Every job there is. list_online: the games with players online, each with their names."""
    kept = timedelta(days=settings.version_days)

    def prune() -> Work:
        return lambda session: versions.prune(session, before=utc_now() - kept)

    def note_sightings() -> Work:
        online = list_online()
        return lambda session: characters.note_sightings(session, online, at=utc_now())

    return [
        Job("prune-versions", timedelta(hours=1), prune),
        Job("note-sightings", timedelta(minutes=1), note_sightings, is_quiet=True),
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
                    _log.exception("a job failed, and is tried again when its lease is over", job=job.name)

    def run_if_due(self, job: Job) -> bool:
        """Run a job if it is due and this worker gets it."""
        if not self._database.write(lambda session: claim_job(session, name=job.name, now=utc_now(), lease=LEASE)):
            return False
        result = self._database.write(job.begin())
        self._database.write(lambda session: finish_job(session, name=job.name, due_at=utc_now() + job.every))
        (_log.debug if job.is_quiet else _log.info)("job done", job=job.name, result=result)
        return True
