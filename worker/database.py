"""The database, used so that a greenlet that waits for it never blocks the others.

psycopg cooperates with gevent. SQLite waits inside C code, so its calls run in two threads, one for reads and one for
writes; a lock held by another process then delays only writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar, cast

import structlog
from gevent.event import Event
from gevent.threadpool import ThreadPool
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, configure_mappers

from shared.bus import take_announcements
from shared.db import (
    bind,
    check_database,
    is_unavailable,
    make_engine,
    reading,
    single_statement,
    transaction,
    waiting_since,
)
from shared.signals import Signal

_log = structlog.get_logger(__name__)
T = TypeVar("T")
Announcements = list[Signal]


class Database:
    """Runs functions that take a session.

    Attributes:
        on_announcements: called after a commit with what it announced, in the greenlet that wrote.
        writes: how many writes are in progress.
    """

    def __init__(self, url: str, *, prepare: Callable[[Engine], None] = lambda engine: None) -> None:
        """Connect to the database.

        Args:
            prepare: Called with each engine, before it is used.

        Raises:
            SettingsError: The database cannot be reached or was not migrated.
        """
        configure_mappers()
        engine = make_engine(url)
        check_database(engine)
        self.on_announcements: Callable[[Announcements], None] = lambda announcements: None
        self.writes = 0
        self._may_write = Event()
        self._may_write.set()
        self._readers: ThreadPool | None = None
        self._writers: ThreadPool | None = None
        if engine.dialect.name == "sqlite":
            # One engine for each thread, so that the threads share nothing of SQLAlchemy, in particular no lock.
            writing_engine, reading_engine = make_engine(url, kept_connections=1), make_engine(url, kept_connections=1)
            self._readers, self._writers = ThreadPool(1), ThreadPool(1)
        else:
            writing_engine = reading_engine = engine
        for each in dict.fromkeys((writing_engine, reading_engine)):
            prepare(each)
        bind(writing_engine, reading_engine=reading_engine)

    def read(self, function: Callable[[Session], T]) -> T:
        """Call the function in a transaction that sees one state of the database. Returns what it returns."""
        return _in(self._readers, lambda: _read(function))

    def write(self, function: Callable[[Session], T]) -> T:
        """Call the function in a transaction and commit. Returns what the function returns."""
        result, announcements = self._in_writer(lambda: _write(function))
        if announcements:
            self.on_announcements(announcements)
        return result

    def execute(self, function: Callable[[Connection], T]) -> T:
        """Call a function with a connection, on which it executes one statement, its own transaction.

        See `single_statement`.
        """
        return self._in_writer(lambda: _execute(function))

    def hold_writes(self) -> None:
        """Let writes wait from now on."""
        self._may_write.clear()

    def release_writes(self) -> None:
        """Let writes happen again."""
        self._may_write.set()

    def _in_writer(self, function: Callable[[], T]) -> T:
        self._may_write.wait()
        began_at = time.monotonic()

        def write() -> T:
            with waiting_since(began_at):
                return function()

        self.writes += 1
        try:
            return _in(self._writers, write)
        finally:
            self.writes -= 1


def write_or_keep(database: Database, function: Callable[[Session], object], *, what: str) -> bool:
    """Write what this worker has collected. Return True if it must be kept because the database is unavailable.

    What the database refuses is logged and lost. Trying it again forever would hold up everything else.

    Args:
        what: What is written, for the log.
    """
    try:
        database.write(function)
    except SQLAlchemyError as error:
        is_kept = is_unavailable(error)
        _log.error("what was collected could not be written", what=what, is_kept=is_kept, error=str(error))
        return is_kept
    return False


def _in(pool: ThreadPool | None, function: Callable[[], T]) -> T:
    """Call the function in a thread of the pool, or right here without one.

    An idle pool is empty and therefore false, so this compares with None.
    """
    if pool is None:
        return function()
    result, error = pool.apply(copy_context().run, (_caught, function))  # what is logged there has the socket's id
    if error is not None:
        raise error
    return cast(T, result)


def _caught(function: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Return errors as values, since gevent prints a traceback of whatever is raised in a pool's thread."""
    try:
        return function(), None
    except Exception as error:
        return None, error


def _read(function: Callable[[Session], T]) -> T:
    with reading() as session:
        return function(session)


def _execute(function: Callable[[Connection], T]) -> T:
    with single_statement() as connection:
        return function(connection)


def _write(function: Callable[[Session], T]) -> tuple[T, Announcements]:
    with transaction() as session:
        result = function(session)
    return result, take_announcements(session)
