"""Insert or replace many rows with one statement, on SQLite, PostgreSQL, MySQL and MariaDB.

SQLAlchemy makes the statement. If only JSON columns need a conversion, the rows go directly to the driver, which halves
the work.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, Integer, String, UniqueConstraint
from sqlalchemy.dialects import mysql, postgresql, sqlite

from backbone.columns import JSON_TYPES
from backbone.kinds import Kind

_encode = json.JSONEncoder(separators=(",", ":")).encode
_cache: dict[tuple[Any, ...], Upsert | None] = {}


class Upsert:
    """The statement for one kind and one driver."""

    def __init__(self, kind: Kind, connection: Connection, statement: Any) -> None:
        self._statement = statement
        self._json = [column.name for column in kind.table.columns if isinstance(column.type, JSON_TYPES)]
        self._goes_to_driver = all(
            isinstance(column.type, (*JSON_TYPES, Boolean, String, Integer, BigInteger))
            or column.name == "deleted_at"  # always NULL here
            for column in kind.table.columns
        )
        names = [column.name for column in kind.table.columns]
        compiled = self._statement.compile(dialect=connection.dialect, column_keys=names)
        self._text = compiled.string
        self._order = list(compiled.positiontup or ()) if compiled.positional else []

    @classmethod
    def of(cls, kind: Kind, connection: Connection) -> Upsert | None:
        """Return the cached statement; None if the database has no such statement."""
        dialect = connection.dialect
        key = (
            kind,
            dialect.name,
            dialect.driver,
            dialect.server_version_info,
        )  # the statement depends on the version of MySQL
        if key not in _cache:
            statement = _statement(kind, dialect.name)
            _cache[key] = None if statement is None else cls(kind, connection, statement)
        return _cache[key]

    def execute(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        """Insert the rows, replacing existing rows with the same ids. Encodes the JSON values in the given dicts."""
        if not self._goes_to_driver:
            connection.execute(self._statement, rows)
            return
        for row in rows:
            for name in self._json:
                value = row[name]
                if value is not None:
                    row[name] = "[]" if value == [] else _encode(value)
        if self._order:
            order = self._order
            connection.exec_driver_sql(self._text, [tuple([row[name] for name in order]) for row in rows])
        else:
            connection.exec_driver_sql(self._text, rows)


def _statement(kind: Kind, dialect: str) -> Any:
    table = kind.table
    others = [column.name for column in table.columns if not column.primary_key]
    if dialect in ("sqlite", "postgresql"):
        upsert: Any = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
        changed = {name: upsert.excluded[name] for name in others}
        return upsert.on_conflict_do_update(index_elements=[table.c.id], set_=changed)
    if dialect in ("mysql", "mariadb") and not _has_other_keys(kind):
        replace = mysql.insert(table)
        return replace.on_duplicate_key_update({name: replace.inserted[name] for name in others})
    return None


def _has_other_keys(kind: Kind) -> bool:
    """Whether the table has a unique key other than the id: MySQL would replace the row that shares its value."""
    return any(index.unique for index in kind.table.indexes) or any(
        isinstance(constraint, UniqueConstraint) for constraint in kind.table.constraints
    )
