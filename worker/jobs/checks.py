"""Runs due connection checks: a few at a time, each on one worker of the network.

A few separate threads resolve host names. The system's resolver blocks inside C, and a broken name server must not
block all the threads that the rest of the worker shares.
"""

from __future__ import annotations

import random
import socket
import time
from _socket import getaddrinfo  # gevent's would use the shared threads
from collections.abc import Iterable

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
from worker.jobs.probes import RESOLVE_SECONDS, ProbeFailed, Prober

POLL_SECONDS = 60.0
RETRY_SECONDS = 3.0  # if the database fails; short, since owners wait, and results are lost once the lease has ended
MAX_CHECKS = 8  # at a time
RESOLVERS = 4
CHECK_SECONDS = 40.0

_log = structlog.get_logger(__name__)


class Checks:
    """Runs due checks, regularly and whenever an owner requests one.

    Attributes:
        prober: Connects to public addresses only; also for other jobs that read pages.
    """

    def __init__(self, database: Database, *, allows_private: bool, is_limited: bool = True) -> None:
        self._database = database
        self._is_limited = is_limited
        self.prober = Prober(self._resolve, allows_private=allows_private)
        self._resolvers = ThreadPool(RESOLVERS)
        self._pool = Pool(MAX_CHECKS)
        self._woken = Event()
        self._may_start = Event()
        self._may_start.set()
        self._running: set[Target] = set()

    def start(self, running: Iterable[Target] = ()) -> None:
        """Start running checks.

        Args:
            running: Those that another process of this worker has begun. They begin anew.
        """
        for target in running:
            self._begin(target)
        gevent.spawn(self._run)

    def hold(self) -> None:
        """Claim no more checks until release() is called."""
        self._may_start.clear()

    def release(self) -> None:
        """Claim checks again."""
        self._may_start.set()

    def export_state(self) -> list[Target]:
        """Return the checks that are running, for another process."""
        return list(self._running)

    def wake(self) -> None:
        """Look for due checks now."""
        self._woken.set()

    def _run(self) -> None:
        while True:
            self._pool.wait_available()
            self._may_start.wait()
            try:
                has_started = self._start_due()
            except SQLAlchemyError as error:
                _log.error("connection checks are waiting for the database", error=str(error))
                gevent.sleep(RETRY_SECONDS)
                continue
            if not has_started:
                self._woken.wait(POLL_SECONDS * random.uniform(0.5, 1.5))
                self._woken.clear()

    def _start_due(self) -> bool:
        """Start as many checks as fit into the pool. Return whether there were any."""
        free = self._pool.free_count()
        targets = self._database.write(
            lambda session: connection_checks.take_due(
                session, now=utc_now(), at_most=free, is_limited=self._is_limited
            )
        )
        for target in targets:
            self._begin(target)
        return bool(targets)

    def _begin(self, target: Target) -> None:
        self._running.add(target)
        self._pool.spawn(self._check, target)

    def _check(self, target: Target) -> None:
        try:
            with gevent.Timeout(CHECK_SECONDS, ProbeFailed(Outcome.TIMED_OUT)):
                result = self.prober.probe(target)
            self._store_result(target, result)
        except Exception:
            _log.exception("a connection check failed, and will be repeated after its lease")
        finally:
            self._running.discard(target)

    def _store_result(self, target: Target, result: Result) -> None:
        """Store the result. If the database fails, retry while this worker holds the lease."""
        deadline = time.monotonic() + connection_checks.LEASE.total_seconds() - CHECK_SECONDS
        while True:
            try:
                self._database.write(lambda session: connection_checks.finish(session, target, result, now=utc_now()))
                return
            except SQLAlchemyError as error:
                _log.error("the result of a connection check could not be stored yet", error=str(error))
                if time.monotonic() > deadline:
                    return
            gevent.sleep(RETRY_SECONDS)

    def _resolve(self, host: str) -> list[tuple[int, str]]:
        # Includes waiting for a thread, since all may be busy.
        with gevent.Timeout(RESOLVE_SECONDS, TimeoutError("resolving the name takes too long")):
            addresses, error = self._resolvers.apply(_look_up, (host.encode("idna"),))
        if error is not None:
            raise error
        return list(addresses)


def _look_up(host: bytes) -> tuple[list[tuple[int, str]], Exception | None]:
    """Resolve a host name in a thread of the pool.

    Errors are returned, since gevent prints a traceback if a pool's thread raises. The name is passed as bytes, because
    encoding it here would import the codec at its first use. Two threads that import a module at the same time can
    deadlock, as gevent has replaced the locks of the import system.

    Returns:
        The addresses with their families, and the error if there was one.
    """
    try:
        entries = getaddrinfo(host, None, 0, socket.SOCK_STREAM)
    except OSError as error:
        return [], error
    addresses = dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in entries)
    return list(addresses), None
