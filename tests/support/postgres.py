"""A temporary PostgreSQL cluster on a Unix socket, or databases on the server of TEST_DATABASE_URL."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from tests.support.accounts import become_and_die_with_parent, unprivileged
from tests.support.programs import find_postgres
from tests.support.waiting import wait_until


class Postgres:
    """A server for test databases. `close` deletes them all.

    Args:
        is_durable: Start a server whose commits survive `crash`, instead of a faster one or that of TEST_DATABASE_URL.
    """

    def __init__(self, *, is_durable: bool = False) -> None:
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_durable = is_durable
        self._databases: set[str] = set()
        self._pg_dump: Path | None = None
        own_url = "" if is_durable else os.environ.get("TEST_DATABASE_URL", "").strip()
        try:
            self._server = make_url(_with_driver(own_url)) if own_url else self._start()
            self._admin = psycopg.connect(_conninfo(self._server), autocommit=True)
        except BaseException:
            self.close()
            raise

    def create_database(self, *, template: str | None = None) -> str:
        """Create a database, empty or as a copy of `template` (a URL), and return its URL."""
        name = f"test_{secrets.token_hex(6)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(make_url(template).database or "" if template else "template0")
        )
        self._admin.execute(statement)
        self._databases.add(name)
        return self._server.set(database=name).render_as_string(hide_password=False)

    def drop_database(self, url: str) -> None:
        """Delete a database, and end the sessions that still use it."""
        name = make_url(url).database or ""
        self._admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        self._databases.discard(name)

    @property
    def dump_kind(self) -> str | None:
        """What distinguishes dumps of this server from those of others; None if it cannot dump."""
        if self._process is None or self._pg_dump is None:
            return None
        return f"{self._admin.info.server_version}.sql"

    def dump(self, url: str, path: Path) -> None:
        """Write a database to a file that `load` reads."""
        assert self._pg_dump is not None
        command = [str(self._pg_dump), "--inserts", "--no-owner", f"--dbname={_conninfo(make_url(url))}"]
        statements = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        # Lines with a backslash are commands for psql, which forbid it further commands.
        lines = [line for line in statements.splitlines() if not line.startswith("\\")]
        path.write_text("\n".join(lines))

    def load(self, url: str, path: Path) -> None:
        """Fill an empty database from a file that `dump` has written."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(path.read_bytes())

    def empty_database(self, url: str) -> None:
        """Replace a database with an empty one of the same name."""
        name = sql.Identifier(make_url(url).database or "")
        self._admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        self._admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))

    def cut_connections(self, url: str) -> int:
        """End all sessions on this database, and return their number."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        return len(self._admin.execute(query, (make_url(url).database,)).fetchall())

    def go_away(self, url: str) -> None:
        """End all sessions on this database and refuse new ones, until `come_back`."""
        self._allow_connections(url, "false")
        self.cut_connections(url)

    def come_back(self, url: str) -> None:
        """Accept sessions on this database again."""
        self._allow_connections(url, "true")

    @property
    def socket_path(self) -> Path:
        """The Unix socket of a server that this process has started."""
        assert self._folder is not None
        return self._folder / ".s.PGSQL.5432"

    @property
    def pid(self) -> int:
        """The process of a server that this process has started."""
        assert self._process is not None
        return self._process.pid

    def crash(self) -> None:
        """Shut down immediately, as after a power cut: nothing is finished or written out."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def start_again(self) -> None:
        """Start after `crash`. Returns once it has recovered."""
        self._run(self._server)
        self._admin = psycopg.connect(_conninfo(self._server), autocommit=True)

    def _allow_connections(self, url: str, is_allowed: str) -> None:
        name = sql.Identifier(make_url(url).database or "")
        self._admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS " + is_allowed).format(name))

    def close(self) -> None:
        """Stop the server. On the server of TEST_DATABASE_URL, delete the databases instead."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # "fast": ends open sessions
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        elif self._databases:
            for name in list(self._databases):
                self.drop_database(self._server.set(database=name).render_as_string(hide_password=False))
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> URL:
        programs = find_postgres()
        assert programs is not None, "no PostgreSQL server programs"
        pg_dump = (programs / "initdb").resolve().parent / "pg_dump"
        self._pg_dump = pg_dump if pg_dump.exists() else None
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        become = unprivileged(self._folder, "postgres")
        data = self._folder / "data"
        subprocess.run(
            [
                str(programs / "initdb"),
                *("-D", str(data), "-U", "tests", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self._folder,
            preexec_fn=become,
        )
        server = URL.create("postgresql", username="tests", database="postgres", query={"host": str(self._folder)})
        self._run(server)
        return server

    def _run(self, server: URL) -> None:
        programs = find_postgres()
        assert programs is not None and self._folder is not None
        speed = ["fsync=off", "full_page_writes=off"]  # a crash of the server alone needs neither
        speed += [] if self._is_durable else ["synchronous_commit=off", "autovacuum=off"]
        become = unprivileged(self._folder, "postgres")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(programs / "postgres"),
                    *("-D", str(self._folder / "data"), "-k", str(self._folder), "-c", "listen_addresses="),
                    *("-c", "max_connections=100", "-c", "shared_buffers=32MB", "-c", "jit=off"),
                    *(word for setting in speed for word in ("-c", setting)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                preexec_fn=become_and_die_with_parent(become, signal.SIGQUIT),
            )
        wait_until(lambda: self._answers(server), seconds=30, what="PostgreSQL answers")

    def _answers(self, server: URL) -> bool:
        assert self._process is not None and self._folder is not None
        if self._process.poll() is not None:
            raise AssertionError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()}")
        try:
            psycopg.connect(_conninfo(server)).close()
        except psycopg.OperationalError:
            return False
        return True


def _with_driver(url: str) -> str:
    for prefix in ("postgres://", "postgresql+psycopg://"):
        if url.startswith(prefix):
            return "postgresql://" + url.removeprefix(prefix)
    return url


def _conninfo(url: URL) -> str:
    return url.render_as_string(hide_password=False)
