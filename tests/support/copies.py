"""Copies of a PostgreSQL database for one test after the other: a copy that comes back is put as it was, not made anew.

To make one would be most of what a small test takes. The schema is no matter for this: a copy in which a test changed
any is dropped.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from tests.support.postgres import Postgres
from tests.support.waiting import wait_until

# Each row of a catalog bears the transaction that wrote it: the sums change with whatever is made, altered or dropped.
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
_COUNT_ANEW = """
    SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
    FROM pg_sequences WHERE last_value IS NOT NULL
"""

Rows = dict[str, bytes]
Shape = list[tuple[object, ...]]


class Copies:
    """Copies of the database at `template`, whose sequences nobody has drawn from yet."""

    def __init__(self, server: Postgres, template: str) -> None:
        self._server = server
        self._template = template
        self._free: list[str] = []
        self._shapes: dict[str, Shape] = {}
        self._connections: dict[str, psycopg.Connection[tuple[object, ...]]] = {}
        with psycopg.connect(template) as connection:
            self._rows = _rows(connection)

    def take(self) -> str:
        """The URL of a copy for one test."""
        if self._free:
            return self._free.pop()
        url = self._server.create_database(template=self._template)
        self._connections[url] = connection = psycopg.connect(url, autocommit=True)
        self._shapes[url] = connection.execute(_SHAPE).fetchall()
        return url

    def put_back(self, url: str) -> None:
        """The test is over: its sessions are ended, and what it wrote is removed."""
        try:
            is_as_before = self._restore(self._connections[url], self._shapes[url])
        except (psycopg.errors.InsufficientPrivilege, psycopg.OperationalError):
            is_as_before = False  # on a server of somebody else's; or the test has ended this session too
        if is_as_before:
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
            connection.execute("SET LOCAL session_replication_role = replica")  # neither triggers nor foreign keys
            connection.execute(_EMPTY)
            connection.execute(_COUNT_ANEW)
            for table, rows in self._rows.items():
                with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copy:
                    copy.write(rows)
        return True


def _rows(connection: psycopg.Connection[tuple[object, ...]]) -> Rows:
    """What the migrations put into the tables, by table."""
    rows = {}
    for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
        with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(str(table)))) as copy:
            rows[str(table)] = b"".join(bytes(part) for part in copy)
    return {table: copied for table, copied in rows.items() if copied}
