"""Tries the games' ways to connect that are due: a few at a time, each by one worker of the network.

Names are looked up by a few threads of their own: the system's resolver waits inside C, and the threads that everything
else shares must not all wait for somebody's broken name server.
"""

from __future__ import annotations

import random
import socket
import time
from _socket import getaddrinfo  # not gevent's, which would use the shared threads

import gevent
import structlog
from gevent.event import Event
from gevent.pool import Pool
from gevent.threadpool import ThreadPool
from sqlalchemy.exc import SQLAlchemyError

from shared.db import utc_now
from shared.services import connection_checks
from shared.services.connection_checks import Outcome, Result, Target
from worker.database import Database
from worker.jobs.probes import RESOLVE_SECONDS, Failed, Prober

LOOK_SECONDS = 60.0
AGAIN_SECONDS = 3.0  # after the database failed: owners wait, and what was found is lost once the lease is over
AT_ONCE = 8
RESOLVERS = 4
CHECK_SECONDS = 40.0

_log = structlog.get_logger(__name__)


class Checks:
    """Looks for due checks now and then, and at once when somebody asks."""

    def __init__(self, database: Database, *, allows_private: bool) -> None:
        self._database = database
        self._prober = Prober(self._resolve, allows_private=allows_private)
        self._resolvers = ThreadPool(RESOLVERS)
        self._pool = Pool(AT_ONCE)
        self._asked = Event()

    def start(self) -> None:
        """Begin to look."""
        gevent.spawn(self._run)

    def wake(self) -> None:
        """Look at once: an owner asked."""
        self._asked.set()

    def _run(self) -> None:
        while True:
            self._pool.wait_available()
            try:
                found_some = self._take()
            except SQLAlchemyError as error:
                _log.error("connection checks wait for the database", error=str(error))
                gevent.sleep(AGAIN_SECONDS)
                continue
            if not found_some:
                self._asked.wait(LOOK_SECONDS * random.uniform(0.5, 1.5))
                self._asked.clear()

    def _take(self) -> bool:
        """Begin with as many as there is room for. False if none is due."""
        room = self._pool.free_count()
        targets = self._database.write(lambda session: connection_checks.take_due(session, now=utc_now(), at_most=room))
        for target in targets:
            self._pool.spawn(self._check, target)
        return bool(targets)

    def _check(self, target: Target) -> None:
        try:
            with gevent.Timeout(CHECK_SECONDS, Failed(Outcome.TIMED_OUT)):
                result = self._prober.probe(target)
            self._keep(target, result)
        except Exception:
            _log.exception("a connection check failed, and is tried again when its lease is over")

    def _keep(self, target: Target, result: Result) -> None:
        """Note what was found, also if the database is away for a moment, for as long as the check is ours."""
        deadline = time.monotonic() + connection_checks.LEASE.total_seconds() - CHECK_SECONDS
        while True:
            try:
                self._database.write(lambda session: connection_checks.finish(session, target, result, now=utc_now()))
                return
            except SQLAlchemyError as error:
                _log.error("what a connection check found could not be kept yet", error=str(error))
                if time.monotonic() > deadline:
                    return
            gevent.sleep(AGAIN_SECONDS)

    def _resolve(self, host: str) -> list[tuple[int, str]]:
        # The wait for a thread counts too: all may be busy with the names of others.
        with gevent.Timeout(RESOLVE_SECONDS, TimeoutError("the name is looked up too slowly")):
            found, error = self._resolvers.spawn(_look_up, host.encode("idna")).get()
        if error is not None:
            raise error
        return list(found)


def _look_up(host: bytes) -> tuple[list[tuple[int, str]], Exception | None]:
    """gevent prints a traceback of whatever is raised in a pool's thread, so errors come back as values.

    Takes bytes: the codec for names is imported at its first use, and two threads of a pool that import one module at
    the same moment can wait for each other for good, since gevent has replaced the locks of the import system.
    """
    try:
        found = getaddrinfo(host, None, 0, socket.SOCK_STREAM)
    except OSError as error:
        return [], error
    addresses = dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found)
    return list(addresses), None
