"""The command line: `python -m backbone mirror`, `status` and `verify`."""

from __future__ import annotations

import argparse
import logging
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gossip_client import console
from gossip_client.sync import Client
from sqlalchemy import Dialect, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from backbone import __version__
from backbone.columns import MYSQL
from backbone.errors import BackboneError, DatabaseFailed, first_line, is_locked, sentence
from backbone.kinds import DEFAULT_KINDS
from backbone.migrations import migrate
from backbone.models import State
from backbone.progress import Progress
from backbone.replica import Backbone
from backbone.store import Store
from backbone.verify import verify

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_LOCKED_SECONDS = 5.0  # the longest single wait: Ctrl-C does not interrupt SQLite's wait for a lock
BEHIND = 3  # the exit status of `verify` if the replica has not received every change yet
_PACKAGES = {"psycopg": "psycopg[binary]", "pymysql": "PyMySQL[rsa]"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return its exit status: 0 for success, 1 for a failure, 2 for wrong usage, 3 for `BEHIND`."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="backbone: %(message)s")
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    return console.run("backbone", lambda: _run(options), BackboneError)


def _run(options: argparse.Namespace) -> int:
    may_create = options.command == "mirror" or (options.command == "verify" and options.mend)
    try:
        engine = open_database(options.database, locked_seconds=options.locked_seconds, must_exist=not may_create)
        if not may_create and not inspect(engine).has_table(State.__tablename__):
            raise DatabaseFailed("there is no replica in this database yet: run `python -m backbone mirror`")
        if options.command == "status":
            return status(engine, options.network)
        secret = console.ask_secret()
        return compare(engine, options, secret) if options.command == "verify" else mirror(engine, options, secret)
    except SQLAlchemyError as error:
        raise DatabaseFailed(f"the database failed: {sentence(error)}") from error


def mirror(engine: Engine, options: argparse.Namespace, secret: str) -> int:
    """Keep a replica up to date until Ctrl-C or SIGTERM."""
    backbone = Backbone(
        engine,
        options.url,
        options.client_id,
        secret,
        deletes=options.deletes,
        network=options.network,
        database_seconds=options.locked_seconds,
    )
    _prepare(engine, options.locked_seconds)
    progress = Progress(sum(backbone.store.position().counts.values()))
    backbone.on_event = progress.show_event
    backbone.on_applied = progress.show_applied
    backbone.store.wants_changes = True

    def stop(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        backbone.run_forever(connect_seconds=options.timeout)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    return 0


def _prepare(engine: Engine, seconds: float) -> None:
    """Migrate, waiting while another program locks the file."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            migrate(engine)
            return
        except DatabaseFailed as error:
            if not is_locked(error.__cause__) or time.monotonic() >= deadline:
                raise
            time.sleep(0.1)


def status(engine: Engine, network: str) -> int:
    """Print what the database holds."""
    store = Store(engine, DEFAULT_KINDS, network=network)
    position = store.position()
    if position.cursor is None:
        print("no complete replica yet: run `python -m backbone mirror`")
        return 1
    print(f"cursor   {position.cursor}")
    if position.changed_at is not None:
        print(f"changed  {position.changed_at:%Y-%m-%d %H:%M:%S} UTC")
    for kind, count in sorted(store.counts().items()):
        print(f"{kind:<8} {count}")
    return 0


def compare(engine: Engine, options: argparse.Namespace, secret: str) -> int:
    """Compare the replica with the network. Return 0 if it is equal or was mended, `BEHIND`, or 1 if it differs."""
    if options.mend:
        _prepare(engine, options.locked_seconds)
    store = Store(engine, DEFAULT_KINDS, network=options.network, deletes=options.deletes)
    store.position()
    client = Client(
        options.url,
        options.client_id,
        secret,
        sync=lambda: False,
        keeps_view=False,
        fills_gaps=False,
        user_agent="gossip-backbone verify",
    )
    client.connect(seconds=options.timeout)
    try:
        report = verify(store, client, mend=options.mend)
    finally:
        client.close()
    for difference in report.differences:
        print(console.plain(str(difference)))
    counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.counts.items()))
    if report.is_equal:
        print(f"equal at {report.cursor}: {counts}")
        return 0
    if report.is_behind:
        lag = f"the network is at {report.cursor}, {report.missed} changes not received yet"
        print(f"behind: {lag}; mended" if report.has_mended else f"behind: {lag}")
        return 0 if report.has_mended else BEHIND
    result = f"{len(report.differences)} records differ at {report.cursor} ({', '.join(report.kinds)})"
    print(f"{result}; mended" if report.has_mended else f"{result}; --mend makes them equal")
    return 0 if report.has_mended else 1


def open_database(url: str, *, locked_seconds: float = 30.0, must_exist: bool = False) -> Engine:
    """Return an engine. SQLite files use WAL, so that other programs can read them while a mirror writes.

    Args:
        url: An SQLAlchemy URL; the drivers of PostgreSQL, MySQL and MariaDB may be left out.
        locked_seconds: How long SQLite waits for a lock, at most `_LOCKED_SECONDS`.
        must_exist: Do not create an SQLite file.

    Raises:
        DatabaseFailed: The URL is wrong, the driver is not installed, or the file does not exist.
    """
    _, at_sign, rest = url.rpartition("@")
    shown = f"…@{rest}" if at_sign else url or "an empty text"  # without the password
    try:
        parsed = make_url(url)
        parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
        is_file = parsed.get_backend_name() == "sqlite"
        if is_file and parsed.database in (None, "", ":memory:"):
            raise DatabaseFailed(f"{shown} does not name a file: try sqlite:///mirror.db")
        if parsed.get_backend_name() in MYSQL and not parsed.database:
            raise DatabaseFailed(f"{shown} does not name a database: add /its-name at the end")
        name = parsed.database or ""
        if is_file and must_exist and not name.startswith("file:") and not Path(name).exists():
            raise DatabaseFailed(f"there is no file {name}: run `python -m backbone mirror` first")
        engine = create_engine(
            parsed, connect_args={"timeout": min(_LOCKED_SECONDS, locked_seconds)} if is_file else {}
        )
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise DatabaseFailed(f"{shown} is not a database address: try sqlite:///mirror.db") from error
    except ImportError as error:
        package = _PACKAGES.get(parsed.get_driver_name())
        hint = f": pip install '{package}'" if package else ""
        raise DatabaseFailed(f"the driver of this database is not installed ({first_line(error)}){hint}") from error

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Dialect, record: object, arguments: list[Any], options: dict[str, Any]) -> object:
        try:
            return dialect.connect(*arguments, **options)
        except dialect.loaded_dbapi.Error:
            raise  # SQLAlchemy wraps these itself
        except Exception as error:  # an option unknown to the driver, or a missing certificate
            raise DatabaseFailed(f"the database cannot be reached: {first_line(error)}") from error

    if is_file:

        @event.listens_for(engine, "connect")
        def prepare(connection: object, record: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]
            with suppress(
                sqlite3.OperationalError
            ):  # locked: another process is setting it, or a later connection will
                cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=NORMAL")
            cursor.close()

    return engine


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="backbone", description="A local copy of the Gossip network's directory.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    mirroring = commands.add_parser("mirror", help="keep a copy up to date")
    showing = commands.add_parser("status", help="show what the copy holds")
    verifying = commands.add_parser("verify", help="compare the copy with the network")
    for command in (mirroring, showing, verifying):
        command.add_argument("--database", required=True, help="sqlite:///mirror.db, postgresql://…, mysql://…")
        command.add_argument("--network", default="default", help="the network's name in the database (default)")
        command.add_argument(
            "--locked-seconds",
            type=console.seconds,
            default=30.0,
            metavar="SECONDS",
            help="how long to wait for a locked database (30)",
        )
    for command in (mirroring, verifying):
        command.add_argument("--url", required=True, help="the network's socket: wss://example.com/socket")
        command.add_argument("--client-id", required=True, help="the application's id (secret: GOSSIP_CLIENT_SECRET)")
        command.add_argument(
            "--deletes", choices=("remove", "tombstones"), default="remove", help="what a delete leaves (remove)"
        )
        command.add_argument(
            "--timeout", type=console.seconds, default=30.0, metavar="SECONDS", help="how long to try to connect (30)"
        )
    verifying.add_argument("--mend", action="store_true", help="make the copy equal")
    return parser


if __name__ == "__main__":
    sys.exit(main())
