"""Copies of a PostgreSQL database, which one test after another uses. After each test a copy is restored.

Creating a copy would take most of the time of a small test. A copy whose schema a test has changed is dropped.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from tests.support.postgres import Postgres
from tests.support.waiting import wait_until

# Each row of a catalog contains the transaction that wrote it, so the sums change with every change of the schema.
_CATALOGS = ("pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_index", "pg_trigger", "pg_proc", "pg_type")
_SHAPE = " UNION ALL ".join(f"SELECT count(*), sum(xmin::text::bigint) FROM {catalog}" for catalog in _CATALOGS)
_OTHERS = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_EMPTY = """
    DO $$ DECLARE name text; is_used boolean; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
            EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO is_used;
            IF is_used THEN EXECUTE format('DELETE FROM %I', name); END IF;
        END LOOP;
    END $$
"""
_RESTART_SEQUENCES = """
    SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
    FROM pg_sequences WHERE last_value IS NOT NULL
"""
_LAST_NUMBERS = """
    SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_sequences WHERE last_value IS NOT NULL
"""

Rows = dict[str, bytes]
Shape = list[tuple[object, ...]]


class Copies:
    """Copies of the database at the URL `template`."""

    def __init__(self, server: Postgres, template: str) -> None:
        self._server = server
        self._template = template
        self._free: list[str] = []
        self._shapes: dict[str, Shape] = {}
        self._connections: dict[str, psycopg.Connection[tuple[object, ...]]] = {}
        with psycopg.connect(template) as connection:
            self._rows = _rows(connection)
            self._last_numbers = connection.execute(_LAST_NUMBERS).fetchall()

    def take(self) -> str:
        """Return the URL of a copy for one test."""
        if self._free:
            return self._free.pop()
        url = self._server.create_database(template=self._template)
        self._connections[url] = connection = psycopg.connect(url, autocommit=True)
        self._shapes[url] = connection.execute(_SHAPE).fetchall()
        return url

    def put_back(self, url: str) -> None:
        """End the test's sessions, and remove what it wrote."""
        try:
            is_restored = self._restore(self._connections[url], self._shapes[url])
        except (psycopg.errors.InsufficientPrivilege, psycopg.OperationalError):
            is_restored = False  # no superuser on TEST_DATABASE_URL, or the test has ended this session too
        if is_restored:
            self._free.append(url)
        else:
            self._connections.pop(url).close()
            self._server.drop_database(url)

    def _restore(self, connection: psycopg.Connection[tuple[object, ...]], shape: Shape) -> bool:
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM {_OTHERS}")
        wait_until(
            lambda: not connection.execute(f"SELECT pid FROM {_OTHERS}").fetchall(), what="the sessions have ended"
        )
        if connection.execute(_SHAPE).fetchall() != shape:
            return False
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")  # without triggers and foreign keys
            connection.execute(_EMPTY)
            connection.execute(_RESTART_SEQUENCES)
            for sequence, last in self._last_numbers:
                connection.execute("SELECT setval(%s::regclass, %s)", (sequence, last))
            for table, rows in self._rows.items():
                with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copy:
                    copy.write(rows)
        return True


def _rows(connection: psycopg.Connection[tuple[object, ...]]) -> Rows:
    """Return the rows that the migrations created, by table."""
    rows = {}
    for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
        with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(str(table)))) as copy:
            rows[str(table)] = b"".join(bytes(part) for part in copy)
    return {table: copied for table, copied in rows.items() if copied}
