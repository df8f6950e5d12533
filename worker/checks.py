"""Tries the games' ways to connect that are due: a few at a time, each by one worker of the network.

Names are looked up by a few threads of their own: the system's resolver waits inside C, and the threads that everything
else shares must not all wait for somebody's broken name server.
"""

from __future__ import annotations

import random
import socket
from _socket import getaddrinfo  # not gevent's, which would use the shared threads

import gevent
import structlog
from gevent.event import Event
from gevent.pool import Pool
from gevent.threadpool import ThreadPool
from sqlalchemy.exc import SQLAlchemyError

from shared.db import utc_now
from shared.services import connection_checks
from shared.services.connection_checks import Outcome, Target
from worker.database import Database
from worker.probes import RESOLVE_SECONDS, Failed, Prober

LOOK_SECONDS = 60.0
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
            if not self._take():
                self._asked.wait(LOOK_SECONDS * random.uniform(0.5, 1.5))
                self._asked.clear()

    def _take(self) -> bool:
        """Begin with as many as there is room for. False if none is due."""
        room = self._pool.free_count()
        try:
            targets = self._database.write(
                lambda session: connection_checks.take_due(session, now=utc_now(), at_most=room)
            )
        except SQLAlchemyError as error:
            _log.error("connection checks wait for the database", error=str(error))
            return False
        for target in targets:
            self._pool.spawn(self._check, target)
        return bool(targets)

    def _check(self, target: Target) -> None:
        try:
            with gevent.Timeout(CHECK_SECONDS, Failed(Outcome.TIMED_OUT)):
                result = self._prober.probe(target)
            self._database.write(lambda session: connection_checks.finish(session, target, result, now=utc_now()))
        except SQLAlchemyError as error:
            _log.error("what a connection check found could not be kept", error=str(error))
        except Exception:
            _log.exception("a connection check failed, and is tried again when its lease is over")

    def _resolve(self, host: str) -> list[tuple[int, str]]:
        # The wait for a thread counts too: all may be busy with the names of others.
        with gevent.Timeout(RESOLVE_SECONDS, TimeoutError("the name is looked up too slowly")):
            found, error = self._resolvers.spawn(_look_up, host).get()
        if error is not None:
            raise error
        return list(found)


def _look_up(host: str) -> tuple[list[tuple[int, str]], Exception | None]:
    """gevent prints a traceback of whatever is raised in a pool's thread, so errors come back as values."""
    try:
        found = getaddrinfo(host.encode("idna"), None, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return [], error
    addresses = dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found)
    return list(addresses), None
