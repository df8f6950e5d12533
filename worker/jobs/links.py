"""Checks the links of profiles that are due, one at a time, each on one worker of the network."""

from __future__ import annotations

import random

import gevent
import structlog
from gevent.event import Event
from sqlalchemy.exc import SQLAlchemyError

from shared.db import utc_now
from shared.services import profile_links
from shared.services.connection_checks import Outcome
from shared.services.profile_links import LinkTarget
from worker.database import Database
from worker.jobs.probes import ProbeFailed, Prober

POLL_SECONDS = 60.0
LINK_SECONDS = 30.0
BATCH = 4

_log = structlog.get_logger(__name__)


class Links:
    """Reads the pages that people link to, and stores whether they link back."""

    def __init__(self, database: Database, prober: Prober, public_url: str) -> None:
        self._database = database
        self._prober = prober
        self._public_url = public_url
        self._may_run = Event()
        self._may_run.set()

    def start(self) -> None:
        """Start checking. A check that another process of this worker has begun is due again after its lease."""
        gevent.spawn(self._run)

    def hold(self) -> None:
        """Read and write nothing until release() is called."""
        self._may_run.clear()

    def release(self) -> None:
        """Go on."""
        self._may_run.set()

    def _run(self) -> None:
        while True:
            try:
                has_checked = self._check_due()
            except SQLAlchemyError as error:
                _log.error("links of profiles are waiting for the database", error=str(error))
                has_checked = False
            if not has_checked:
                gevent.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))

    def _check_due(self) -> bool:
        """Check a few links. Return whether any were due."""
        self._may_run.wait()
        targets = self._database.write(lambda session: profile_links.take_due(session, now=utc_now(), at_most=BATCH))
        for target in targets:
            is_verified = self._is_verified(target)
            self._may_run.wait()
            self._store(target, is_verified)
        return bool(targets)

    def _store(self, target: LinkTarget, is_verified: bool) -> None:
        self._database.write(
            lambda session: profile_links.finish(session, target, is_verified=is_verified, now=utc_now())
        )

    def _is_verified(self, target: LinkTarget) -> bool:
        profile_url = f"{self._public_url}/players/{target.username}"
        try:
            with gevent.Timeout(LINK_SECONDS, ProbeFailed(Outcome.TIMED_OUT)):
                return profile_links.links_back(self._prober.read_page(target.url), profile_url)
        except (ProbeFailed, OSError, ValueError):
            return False
        except Exception:
            _log.exception("a link of a profile could not be checked", link=target.id)
            return False
