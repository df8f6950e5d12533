"""The tables' own migrations: a list of steps, each applied once, safe when several processes start at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Engine,
    Integer,
    MetaData,
    Table,
    Text,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from backbone.errors import BackboneError, DatabaseFailed, sentence

_LOCK = 0x60551B  # of PostgreSQL's advisory locks; any number that others do not use
_id = BigInteger().with_variant(Integer, "sqlite")

_steps_done = Table(
    "backbone_migrations",
    MetaData(),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("applied_at", DateTime(timezone=True), server_default=func.now()),
)


def _step_1(connection: Connection) -> None:
    """Channels, games and the state. Tables as they were when this step was written: later steps change them."""
    tables = MetaData()
    own = (
        lambda: Column("id", _id, primary_key=True, autoincrement=False),
        lambda: Column("extra", JSON),
        lambda: Column("deleted_at", DateTime(timezone=True)),
    )
    Table(
        "backbone_channels",
        tables,
        *(column() for column in own),
        Column("name", Text, index=True),
        Column("description", Text),
        Column("hidden", Boolean),
    )
    Table(
        "backbone_games",
        tables,
        *(column() for column in own),
        Column("game", Text, index=True),
        Column("display_name", Text),
        Column("display", Boolean),
        Column("description", Text),
        Column("homepage_url", Text),
        Column("user_agent", Text),
        Column("user_agent_url", Text),
        Column("connections", JSON),
        Column("allow_character_registration", Boolean),
        Column("redirect_uris", JSON),
    )
    Table(
        "backbone_state",
        tables,
        Column("network", Text, primary_key=True),
        Column("cursor", BigInteger),
        Column("kinds", JSON),
        Column("counts", JSON),
        Column("changed_at", DateTime(timezone=True)),
    )
    tables.create_all(connection, checkfirst=False)


STEPS: tuple[Callable[[Connection], None], ...] = (_step_1,)


def migrate(engine: Engine) -> int:
    """Bring the tables of this library up to date; returns how many steps that took. Never touches other tables.

    Raises DatabaseFailed, and BackboneError where a later version of this library has made the tables.
    """
    try:
        with writing(engine) as connection:
            _lock(connection)
            if not inspect(connection).has_table(_steps_done.name):
                _steps_done.create(connection)
            done = connection.scalar(select(func.max(_steps_done.c.step))) or 0
            if done > len(STEPS):
                raise BackboneError(
                    f"the tables were made by a later gossip-backbone (step {done} of {len(STEPS)}): upgrade it"
                )
            for number, step in enumerate(STEPS[done:], done + 1):
                step(connection)
                connection.execute(insert(_steps_done).values(step=number))
            return len(STEPS) - done
    except SQLAlchemyError as error:
        raise DatabaseFailed(f"the database cannot be prepared: {sentence(error)}") from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes; committed at the end, rolled back on an error.

    On SQLite it takes the write lock first: a transaction that began by reading could not write any more once another
    has written. An engine whose own events begin its transactions is left alone. On PostgreSQL it is READ COMMITTED,
    whatever the engine's own level is: each statement after the wait for the lock sees what was committed meanwhile.
    """
    with _transaction(engine, isolation="READ COMMITTED", begin="BEGIN IMMEDIATE") as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction in which everything read is of one moment."""
    with _transaction(engine, isolation="REPEATABLE READ", begin="BEGIN") as connection:
        yield connection


@contextmanager
def _transaction(engine: Engine, *, isolation: str, begin: str) -> Iterator[Connection]:
    """A transaction of this isolation on PostgreSQL, and on SQLite begun so, unless the engine's events did."""
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level=isolation)
        with connection.begin():
            if connection.dialect.name == "sqlite" and not getattr(
                connection.connection.dbapi_connection, "in_transaction", False
            ):
                connection.exec_driver_sql(begin)
            yield connection


def _lock(connection: Connection) -> None:
    """Let no other process migrate meanwhile. (On SQLite the write lock does it.)"""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
