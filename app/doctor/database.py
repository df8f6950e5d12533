"""The database: reachable, migrated, writable."""

from __future__ import annotations

import time
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from app.doctor.findings import Findings, one_line
from app.doctor.machine import check_clock
from shared import db
from shared.settings import Settings

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def check_database(settings: Settings, findings: Findings) -> None:
    """Check the database of DATABASE_URL. Changes nothing in it."""
    engine = db.make_engine(settings.database_url)
    try:
        _check(engine, findings)
    finally:
        engine.dispose()


def _check(engine: Engine, findings: Findings) -> None:
    where = engine.url.render_as_string(hide_password=True)
    database = engine.url.database or ""
    if engine.dialect.name == "sqlite" and not Path(database).exists():
        findings.fail(f"there is no database at {where}", "run: flask db upgrade")
        return
    try:
        with engine.execution_options(deferred=True).connect() as connection:
            connection.execute(text("SELECT 1"))
            findings.ok(f"{where} can be reached")
            _check_server(connection, findings)
            current = _current_revision(connection)
    except DBAPIError as error:
        findings.fail(
            f"{where} cannot be reached: {one_line(error)}",
            "start the database, and check DATABASE_URL: host, port, name, user and password",
        )
        return
    if _check_revision(current, findings):
        _check_writing(engine, findings)


def _check_server(connection: Connection, findings: Findings) -> None:
    if connection.dialect.name == "sqlite":
        return
    began_at = time.time()
    server_time, encoding = connection.execute(
        text("SELECT extract(epoch FROM clock_timestamp()), current_setting('server_encoding')")
    ).one()
    check_clock("PostgreSQL", float(server_time), (began_at + time.time()) / 2, findings)
    if encoding != "UTF8":
        findings.fail(
            f"the database's encoding is {encoding}",
            "create a database with ENCODING 'UTF8', and restore a backup into it: names may have any letters",
        )


def _current_revision(connection: Connection) -> str | None:
    try:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except DBAPIError:
        return None


def _check_revision(current: str | None, findings: Findings) -> bool:
    script = ScriptDirectory(str(MIGRATIONS))
    newest = script.get_current_head()
    if current is None:
        findings.fail("the database has no tables", "run: flask db upgrade")
        return False
    if current == newest:
        findings.ok(f"it is migrated (revision {current})")
        return True
    if any(revision.revision == current for revision in script.walk_revisions()):
        findings.fail(f"it is at revision {current}, and this code needs {newest}", "run: flask db upgrade")
    else:
        findings.fail(
            f"it is at revision {current}, which this code does not know",
            "a newer version of Gossip has migrated it: run that one, or restore the backup from before the upgrade",
        )
    return True


def _check_writing(engine: Engine, findings: Findings) -> None:
    db.bind(engine)
    try:
        db.check_writing()
    except DBAPIError as error:
        if isinstance(error, OperationalError) and db.is_busy(error):
            findings.warn(
                f"another process has been writing for more than {db.LOCK_SECONDS} seconds",
                "wait for it to end: a backup, a migration, or a program that has the file open",
            )
            return
        fault = db.find_write_fault(error)
        advice = {
            "read-only": "check who owns the database file and its folder, and whether this is a standby server",
            "full": "free some space on the disk of the database",
        }
        findings.fail(
            f"it cannot be written to: {one_line(error)}",
            advice.get(fault or "", "check the rights of the user in DATABASE_URL"),
        )
        return
    findings.ok("it can be written to")
