"""The tables' own migrations: a list of steps, each applied once, safe when several processes start at once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Engine,
    Integer,
    MetaData,
    Table,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from backbone.columns import TABLE_OPTIONS, Id, Json, LongText, Moment, Name
from backbone.errors import BackboneError, DatabaseFailed, sentence

_LOCK = 0x60551B  # of PostgreSQL's advisory locks; any number that others do not use
_AT_ONCE = ("sqlite", "postgresql")  # where tables are made in a transaction, and others can be kept out meanwhile
# Those whose levels SQLAlchemy itself knows how to set; what others made for theirs does not always work
_OWN_DIALECTS = ("postgresql", "mysql", "mariadb", "oracle", "mssql")
_ATTEMPTS = 10

_steps_done = Table(
    "backbone_migrations",
    MetaData(),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("applied_at", DateTime(timezone=True), server_default=func.now()),
    **TABLE_OPTIONS,
)


def _step_1(connection: Connection) -> None:
    """Channels, games and the state. Tables as they were when this step was written: later steps change them."""
    tables = MetaData()

    def own() -> list[Column[Any]]:
        return [
            Column("id", Id, primary_key=True, autoincrement=False),
            Column("extra", Json()),
            Column("deleted_at", Moment),
        ]

    Table(
        "backbone_channels",
        tables,
        *own(),
        Column("name", Name, index=True),
        Column("description", LongText),
        Column("hidden", Boolean),
        **TABLE_OPTIONS,
    )
    Table(
        "backbone_games",
        tables,
        *own(),
        Column("game", Name, index=True),
        Column("display_name", LongText),
        Column("display", Boolean),
        Column("description", LongText),
        Column("homepage_url", LongText),
        Column("user_agent", LongText),
        Column("user_agent_url", LongText),
        Column("connections", Json()),
        Column("allow_character_registration", Boolean),
        Column("redirect_uris", Json()),
        **TABLE_OPTIONS,
    )
    Table(
        "backbone_state",
        tables,
        Column("network", Name, primary_key=True),
        Column("cursor", BigInteger),
        Column("kinds", Json()),
        Column("counts", Json()),
        Column("changed_at", Moment),
        **TABLE_OPTIONS,
    )
    tables.create_all(connection)
    for table in tables.sorted_tables:
        for index in table.indexes:
            index.create(connection, checkfirst=True)


# Each may be run again over what it left when cut off: not every database takes back the tables of a transaction.
STEPS: tuple[Callable[[Connection], None], ...] = (_step_1,)


def migrate(engine: Engine) -> int:
    """Bring the tables of this library up to date; returns how many steps that took. Never touches other tables.

    Raises DatabaseFailed, and BackboneError where a later version of this library has made the tables.
    """
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        raise DatabaseFailed(f"the database cannot be reached: {sentence(error)}") from error
    attempts = 1 if engine.dialect.name in _AT_ONCE else _ATTEMPTS
    for attempt in range(attempts):
        try:
            return _migrate(engine)
        except SQLAlchemyError as error:
            if attempt == attempts - 1:
                raise DatabaseFailed(f"the database cannot be prepared: {sentence(error)}") from error
            time.sleep(random.uniform(0, 0.4))  # it may be that another process does the same: its work is found done
    raise AssertionError


def _migrate(engine: Engine) -> int:
    if engine.dialect.name not in _AT_ONCE:
        return _take_steps(lambda: writing(engine))
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":  # on SQLite the write lock keeps others out
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        return _take_steps(lambda: nullcontext(connection))


def _take_steps(transaction: Callable[[], AbstractContextManager[Connection]]) -> int:
    with transaction() as connection:
        _steps_done.create(connection, checkfirst=True)
    with transaction() as connection:
        done = connection.scalar(select(func.max(_steps_done.c.step))) or 0
    if done > len(STEPS):
        raise BackboneError(
            f"the tables were made by a later gossip-backbone (step {done} of {len(STEPS)}): upgrade it"
        )
    for number, step in enumerate(STEPS[done:], done + 1):
        with transaction() as connection:
            step(connection)
        with transaction() as connection:
            connection.execute(insert(_steps_done).values(step=number))
    return len(STEPS) - done


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes; committed at the end, rolled back on an error.

    On SQLite it takes the write lock first: a transaction that began by reading could not write any more once another
    has written. An engine whose own events begin its transactions is left alone. Elsewhere it is READ COMMITTED,
    whatever the engine's own level is: each statement after the wait for a lock sees what was committed meanwhile.
    """
    with _transaction(engine, levels=("READ COMMITTED",), begin="BEGIN IMMEDIATE") as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction in which everything read is of one moment."""
    with _transaction(engine, levels=("REPEATABLE READ", "SERIALIZABLE"), begin="BEGIN") as connection:
        yield connection


@contextmanager
def _transaction(engine: Engine, *, levels: Sequence[str], begin: str) -> Iterator[Connection]:
    """A transaction of the first of these levels that the database has, and on SQLite begun so, unless the engine's
    events did."""
    with engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if connection.dialect.name in _OWN_DIALECTS:
            _set_level(connection, levels)
        with connection.begin():
            if is_sqlite and not getattr(connection.connection.dbapi_connection, "in_transaction", False):
                connection.exec_driver_sql(begin)
            yield connection


def _set_level(connection: Connection, levels: Sequence[str]) -> None:
    """The first of the levels that the database has."""
    raw = connection.connection.dbapi_connection
    assert raw is not None
    known = connection.dialect.get_isolation_level_values(raw)
    if level := next((level for level in levels if level in known), None):
        try:
            connection.execution_options(isolation_level=level)
        except connection.dialect.loaded_dbapi.Error as error:  # SQLAlchemy lets it through, and keeps the connection
            connection.invalidate(error)
            raise OperationalError(f"SET TRANSACTION ISOLATION LEVEL {level}", {}, error) from error
