"""The database: the engine (`make_engine`) and sessions (`transaction`, `reading`) for the site, workers and commands.

Flask-SQLAlchemy's `db` is used for models and migrations. Services get plain sessions and need no app.
"""

from __future__ import annotations

import atexit
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    Connection,
    CursorResult,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    Result,
    TypeDecorator,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.pool import NullPool

from shared.errors import Conflict
from shared.settings import SettingsError

LOCK_SECONDS = 10  # how long a writer waits for another one
IDLE_SECONDS = 5  # how long an idle process may hold locks; shorter, so that waiting writers get them
STATEMENT_SECONDS = 30
BEGIN_WRITING = "BEGIN IMMEDIATE"
KEPT_CONNECTIONS = 8  # the site's on SQLite: one for each of its threads (gunicorn.conf.py)


class Base(DeclarativeBase):
    """The base of all tables. It fixes the names of constraints, so that migrations can change them on SQLite too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class _Database(SQLAlchemy):
    """Flask-SQLAlchemy with the engine of `make_engine`, by the override that its documentation describes."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Any) -> Engine:
        engine = make_engine(options["url"], kept_connections=KEPT_CONNECTIONS)
        # The last connection that closes writes SQLite's log into the file, which then contains the whole database.
        atexit.register(engine.dispose)
        return engine


db = _Database(model_class=Base)

if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model

SessionFactory = sessionmaker(expire_on_commit=False)
_ReadingFactory = sessionmaker(expire_on_commit=False, autoflush=False)
_waiting = threading.local()
_statement_engine: Engine | None = None

# A process that is frozen, or whose host has vanished, keeps its locks only as long as the server lets it. Values that
# the operator has set, in the URL or for the role, take precedence.
_SET_TIMEOUTS = f"""
    SELECT set_config(setting, seconds || 's', false)
    FROM (VALUES
        ('idle_in_transaction_session_timeout', {IDLE_SECONDS}),
        ('lock_timeout', {LOCK_SECONDS}),
        ('statement_timeout', {STATEMENT_SECONDS})
    ) AS timeouts (setting, seconds)
    WHERE current_setting(setting) = '0'
"""
_END_BACKEND = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = :backend AND usename = current_user AND pid <> pg_backend_pid()
""")
_WAS_IDLE = "25P03"  # the SQLSTATE of `idle_in_transaction_session_timeout`
_TOO_LATE = ("55P03", "57014")  # the SQLSTATEs of `lock_timeout` and `statement_timeout`


class OutcomeUnknown(Exception):
    """The connection was lost during a statement, which may have been carried out, or may still be.

    Attributes:
        backend: The server's process that was to execute it, see `end_backend`.
    """

    def __init__(self, backend: int) -> None:
        super().__init__("the connection to the database was lost during a statement")
        self.backend = backend


class UtcDateTime(TypeDecorator[datetime]):
    """A column for an aware UTC datetime. The database stores it as naive UTC, on SQLite and PostgreSQL alike."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def utc_now() -> datetime:
    """Return the current time as an aware UTC datetime."""
    return datetime.now(UTC)


def make_engine(url: Any, *, kept_connections: int = 0) -> Engine:
    """Make an engine for SQLite (WAL, explicit BEGIN) or PostgreSQL (with timeouts). Does not connect yet.

    On SQLite, every transaction begins IMMEDIATE unless the execution option `deferred` is set: one that reads first
    and writes later would fail at once with "database is locked", without waiting for the lock.

    Args:
        kept_connections: on SQLite, how many connections stay open for later transactions. Opening one reads the whole
            schema, which takes longer than most queries.
    """
    url = make_url(url)
    if url.get_backend_name() != "sqlite":
        engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_size=5,
            max_overflow=10,
            hide_parameters=True,  # errors are logged, and parameters hold secrets
            isolation_level="READ COMMITTED",  # the version log reads again after its lock
            connect_args={
                "connect_timeout": 5,
                # Give up on a server that has vanished after half a minute instead of a quarter of an hour.
                "keepalives_idle": 15,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,
            },
        )

        @event.listens_for(engine, "connect")
        def set_timeouts(connection: Any, _record: object) -> None:
            connection.autocommit = True
            connection.execute(_SET_TIMEOUTS)
            connection.autocommit = False

        return engine
    pool: dict[str, Any] = (
        {"pool_size": kept_connections, "max_overflow": -1} if kept_connections else {"poolclass": NullPool}
    )
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": LOCK_SECONDS}, **pool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions; `begin` does
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        deferred = connection.get_execution_options().get("deferred", False)
        began_at = getattr(_waiting, "began_at", None)
        if began_at is not None and not deferred:
            seconds_left = max(0.0, began_at + LOCK_SECONDS - time.monotonic())
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(seconds_left * 1000)}")
        connection.exec_driver_sql("BEGIN DEFERRED" if deferred else BEGIN_WRITING)

    return engine


def bind(engine: Engine, *, reading_engine: Engine | None = None) -> None:
    """Make `transaction` and `reading` use this engine. `reading_engine` is another one for `reading`."""
    global _statement_engine
    SessionFactory.configure(bind=engine)
    is_sqlite = engine.dialect.name == "sqlite"
    options: dict[str, Any] = (
        {"deferred": True} if is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    )
    _statement_engine = engine if is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
    _ReadingFactory.configure(bind=(reading_engine or engine).execution_options(**options))


def upsert(session: Session, model: Any) -> Any:
    """Return an INSERT in the database's dialect, which supports ON CONFLICT."""
    return (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert(model)


def count_changed(result: Result[Any]) -> int:
    """Return how many rows an UPDATE or DELETE statement changed."""
    return cast(CursorResult[Any], result).rowcount


@contextmanager
def transaction() -> Iterator[Session]:
    """Provide a session that commits on success and rolls back on any error. Signals are published after the commit.

    Raises:
        Conflict: someone else deleted a record that the session changes, at the same moment.
    """
    with SessionFactory() as session:
        try:
            with session.begin():
                yield session
        except StaleDataError:
            raise Conflict("somebody else deleted this at the same moment, nothing was changed") from None


@contextmanager
def waiting_since(began_at: float) -> Iterator[None]:
    """Let a writer on SQLite wait for LOCK_SECONDS in all, including the time that it has waited for its thread.

    Args:
        began_at: The time.monotonic() at which it began to wait.
    """
    _waiting.began_at = began_at
    try:
        yield
    finally:
        _waiting.began_at = None


@contextmanager
def single_statement() -> Iterator[Connection]:
    """Provide a connection for one statement, which is its own transaction.

    PostgreSQL executes and commits it without waiting for this process in between. So a process that freezes, at
    whatever moment, holds no lock.

    It is a connection, since a session costs as much as the statement: 190 µs, for each batch of chat lines.

    Raises:
        OutcomeUnknown: The connection was lost during the statement.
    """
    assert _statement_engine is not None
    with _statement_engine.begin() as connection:
        backend = None
        if connection.dialect.name == "postgresql":
            driver_connection: Any = connection.connection.driver_connection
            backend = driver_connection.info.backend_pid  # it is gone once the connection is
        try:
            yield connection
        except DBAPIError as error:
            if error.connection_invalidated and backend is not None:
                raise OutcomeUnknown(backend) from error
            raise


def end_backend(session: Session, backend: int) -> bool:
    """End a process of the server that has lost its client. Return whether it has ended, so that its work is final.

    If it has not ended yet, call this again in a new transaction.
    """
    return not session.execute(_END_BACKEND, {"backend": backend}).all()


@contextmanager
def reading() -> Iterator[Session]:
    """Provide a session that sees one consistent state of the database and cannot change anything."""
    with _ReadingFactory() as session:
        yield session


def is_busy(error: OperationalError) -> bool:
    """Return whether others were writing for too long. Nothing was changed."""
    if find_write_fault(error) is not None:
        return False
    return error.statement == BEGIN_WRITING or getattr(error.orig, "sqlstate", None) in _TOO_LATE


def is_unavailable(error: BaseException) -> bool:
    """Return whether the state of the database is at fault (down, busy, full, read-only), so trying again may help."""
    if isinstance(error, OperationalError):
        return getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR  # a faulty statement
    if isinstance(error, DBAPIError):
        has_timed_out = getattr(error.orig, "sqlstate", None) == _WAS_IDLE
        return error.connection_invalidated or has_timed_out or find_write_fault(error) is not None
    return isinstance(error, NoConnection)


def describe_error(error: BaseException) -> str:
    """Return the database's own message in one line, without the statement."""
    return " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())


def find_write_fault(error: DBAPIError) -> str | None:
    """Return why a database that answers cannot be written to: "read-only" or "full". None for any other error."""
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None) or ""
    if code == "0A000" and "during recovery" in str(error.orig):  # a standby refuses BEGIN READ WRITE
        return "read-only"
    if code == "25006" or code.startswith("SQLITE_READONLY"):  # read_only_sql_transaction
        return "read-only"
    if code in ("53100", "SQLITE_FULL") or code.startswith("SQLITE_IOERR"):  # disk_full
        return "full"
    return None


def check_writing() -> None:
    """Raise DBAPIError if the database cannot be written to. Leaves nothing behind.

    Waits for other writers on SQLite. See `is_busy`.
    """
    with SessionFactory() as session:
        connection = session.connection()
        if connection.dialect.name == "sqlite":
            # A table and a row that need new pages. They are rolled back.
            connection.exec_driver_sql("CREATE TABLE health_check (filler BLOB)")
            connection.exec_driver_sql("INSERT INTO health_check VALUES (zeroblob(65536))")
        else:
            connection.exec_driver_sql("SELECT 1 FROM alembic_version FOR UPDATE SKIP LOCKED")


def check_database(engine: Engine) -> None:
    """Raise SettingsError if the database cannot be reached or has not been migrated."""
    try:
        with engine.execution_options(deferred=True).connect() as connection:
            connection.execute(text("SELECT 1"))
            try:
                connection.execute(text("SELECT version_num FROM alembic_version"))
            except DBAPIError:
                raise SettingsError("the database has no tables yet: run 'flask db upgrade' first") from None
    except OperationalError as error:
        where = engine.url.render_as_string(hide_password=True)
        raise SettingsError(f"the database {where} cannot be reached: {describe_error(error)}") from None
