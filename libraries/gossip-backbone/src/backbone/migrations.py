"""Migrations of the library's own tables, and the transactions that the library uses.

Each step is applied once, even if several processes start at the same time.
"""

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

_LOCK = 0x60551B  # key of a PostgreSQL advisory lock: any number that nothing else uses
_TRANSACTIONAL = ("sqlite", "postgresql")  # CREATE TABLE is part of a transaction, and a lock keeps others out
_WITH_LEVELS = ("postgresql", "mysql", "mariadb")  # other dialects do not always set isolation levels correctly
_ATTEMPTS = 10

_applied_steps = Table(
    "backbone_migrations",
    MetaData(),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("applied_at", DateTime(timezone=True), server_default=func.now()),
    **TABLE_OPTIONS,
)


def _step_1(connection: Connection) -> None:
    """Create the tables of channels, games and the state, as they were when this step was written."""
    tables = MetaData()

    def library_columns() -> list[Column[Any]]:
        return [
            Column("id", Id, primary_key=True, autoincrement=False),
            Column("extra", Json()),
            Column("deleted_at", Moment),
        ]

    Table(
        "backbone_channels",
        tables,
        *library_columns(),
        Column("name", Name, index=True),
        Column("description", LongText),
        Column("hidden", Boolean),
        **TABLE_OPTIONS,
    )
    Table(
        "backbone_games",
        tables,
        *library_columns(),
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


# A step may run again after an interruption: not every database rolls back created tables.
STEPS: tuple[Callable[[Connection], None], ...] = (_step_1,)


def migrate(engine: Engine) -> int:
    """Bring the library's tables up to date. Touches no other tables.

    Returns:
        How many steps were applied.

    Raises:
        DatabaseFailed: The database cannot be reached or changed.
        BackboneError: A later version of this library has created the tables.
    """
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        raise DatabaseFailed(f"the database cannot be reached: {sentence(error)}") from error
    attempts = 1 if engine.dialect.name in _TRANSACTIONAL else _ATTEMPTS
    for attempt in range(attempts):
        try:
            return _migrate(engine)
        except SQLAlchemyError as error:
            if attempt == attempts - 1:
                raise DatabaseFailed(f"the database cannot be prepared: {sentence(error)}") from error
            time.sleep(random.uniform(0, 0.4))  # another process may be migrating: let it finish
    raise AssertionError


def _migrate(engine: Engine) -> int:
    if engine.dialect.name not in _TRANSACTIONAL:
        return _apply_steps(lambda: writing(engine))
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":  # SQLite has its write lock
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        return _apply_steps(lambda: nullcontext(connection))


def _apply_steps(transaction: Callable[[], AbstractContextManager[Connection]]) -> int:
    with transaction() as connection:
        _applied_steps.create(connection, checkfirst=True)
    with transaction() as connection:
        done = connection.scalar(select(func.max(_applied_steps.c.step))) or 0
    if done > len(STEPS):
        raise BackboneError(
            f"a later gossip-backbone has created the tables (step {done} of {len(STEPS)}): upgrade this one"
        )
    for number, step in enumerate(STEPS[done:], done + 1):
        with transaction() as connection:
            step(connection)
        with transaction() as connection:
            connection.execute(insert(_applied_steps).values(step=number))
    return len(STEPS) - done


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction for writing. Commits at the end, rolls back on an error.

    On SQLite the transaction takes the write lock first, unless the engine's own events begin it: after a read it could
    no longer write if another transaction had written meanwhile. On the other known databases its level is READ
    COMMITTED, so that each statement after the wait for a lock sees what was committed during the wait.
    """
    with _transaction(engine, levels=("READ COMMITTED",), begin="BEGIN IMMEDIATE") as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that reads one consistent snapshot."""
    with _transaction(engine, levels=("REPEATABLE READ", "SERIALIZABLE"), begin="BEGIN") as connection:
        yield connection


@contextmanager
def _transaction(engine: Engine, *, levels: Sequence[str], begin: str) -> Iterator[Connection]:
    """Open a transaction.

    Args:
        engine: Of any isolation level.
        levels: The first that the database has is used.
        begin: The statement that begins it on SQLite, unless the engine's own events have begun it.
    """
    with engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if connection.dialect.name in _WITH_LEVELS:
            _set_level(connection, levels)
        with connection.begin():
            if is_sqlite and not getattr(connection.connection.dbapi_connection, "in_transaction", False):
                connection.exec_driver_sql(begin)
            yield connection


def _set_level(connection: Connection, levels: Sequence[str]) -> None:
    """Set the first of the levels that the database has."""
    raw = connection.connection.dbapi_connection
    assert raw is not None
    supported = connection.dialect.get_isolation_level_values(raw)
    if level := next((level for level in levels if level in supported), None):
        try:
            connection.execution_options(isolation_level=level)
        except connection.dialect.loaded_dbapi.Error as error:  # SQLAlchemy neither wraps it nor drops the connection
            connection.invalidate(error)
            raise OperationalError(f"SET TRANSACTION ISOLATION LEVEL {level}", {}, error) from error
