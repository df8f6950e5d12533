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
from shared.services import versions
from shared.services.jobs import claim_job, finish_job
from shared.settings import Settings
from worker.database import Database

LOOK_SECONDS = 60.0
LEASE = timedelta(minutes=10)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """run: given a session; returns what there is to log."""

    name: str
    every: timedelta
    run: Callable[[Session], object]


def network_jobs(settings: Settings) -> list[Job]:
    """Every job there is."""
    kept = timedelta(days=settings.version_days)
    return [Job("prune-versions", timedelta(days=1), lambda session: versions.prune(session, before=utc_now() - kept))]


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
        result = self._database.write(job.run)
        self._database.write(lambda session: finish_job(session, name=job.name, due_at=utc_now() + job.every))
        _log.info("job done", job=job.name, result=result)
        return True
