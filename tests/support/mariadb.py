"""A temporary MariaDB server on a Unix socket. All settings that affect its behaviour have their defaults."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from tests.support.accounts import become_and_die_with_parent, unprivileged
from tests.support.programs import find_program
from tests.support.waiting import wait_until


class MariaDB:
    """A server for test databases. `close` deletes them all."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._url = URL.create("mariadb+pymysql", username="root", query={"unix_socket": str(self._folder / "socket")})
        self._admin = create_engine(self._url, isolation_level="AUTOCOMMIT")
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def create_database(self) -> str:
        """Create an empty database, and return its URL."""
        url = self._url.set(database=f"test_{secrets.token_hex(6)}")
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {url.database}")
        return url.render_as_string(hide_password=False)

    def drop_database(self, url: str) -> None:
        """Delete a database, and end the sessions that still use it."""
        self.cut_connections(url)
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {make_url(url).database}")

    def cut_connections(self, url: str) -> int:
        """End all sessions on this database, and return their number."""
        query = text("SELECT id FROM information_schema.processlist WHERE db = :name")
        with self._admin.connect() as connection:
            numbers = connection.scalars(query, {"name": make_url(url).database}).all()
            for number in numbers:
                with suppress(OperationalError):  # the session has just ended by itself
                    connection.exec_driver_sql(f"KILL {number}")
        return len(numbers)

    def close(self) -> None:
        """Stop the server."""
        self._admin.dispose()
        if self._process is not None:
            self._process.kill()  # its data is deleted
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        become = unprivileged(self._folder, "mysql")
        data = f"--datadir={self._folder / 'data'}"
        subprocess.run(
            [
                *(find_program("mariadb-install-db") or "", "--no-defaults", data, "--skip-test-db"),
                *("--auth-root-authentication-method=normal", "--skip-name-resolve"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            preexec_fn=become,
        )
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(find_program("mariadbd") or "", "--no-defaults", data, f"--socket={self._folder / 'socket'}"),
                    *("--skip-networking", f"--pid-file={self._folder / 'pid'}", "--innodb-buffer-pool-size=32M"),
                    *(
                        "--innodb-flush-log-at-trx-commit=0",
                        "--innodb-flush-method=nosync",
                        "--skip-innodb-doublewrite",
                    ),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                preexec_fn=become_and_die_with_parent(become, signal.SIGKILL),
            )
        wait_until(self._answers, seconds=30, what="MariaDB answers")

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"MariaDB did not start:\n{(self._folder / 'log').read_text()}")
        try:
            self._admin.connect().close()
        except OperationalError:
            return False
        return True
