"""Many rows inserted or replaced by one statement, on SQLite, PostgreSQL, MySQL and MariaDB.

The statement is SQLAlchemy's; its rows go to the driver directly where nothing but JSON needs to be converted on the
way, which is half of the work otherwise.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, Integer, String, UniqueConstraint
from sqlalchemy.dialects import mysql, postgresql, sqlite

from backbone.columns import JSON_TYPES
from backbone.kinds import Kind

_encode = json.JSONEncoder(separators=(",", ":")).encode
_known: dict[tuple[Any, ...], Upsert | None] = {}


class Upsert:
    """The statement of one kind for one driver."""

    def __init__(self, kind: Kind, connection: Connection, statement: Any) -> None:
        self._statement = statement
        self._json = [column.name for column in kind.table.columns if isinstance(column.type, JSON_TYPES)]
        own = {"deleted_at"}  # always NULL here
        self._is_plain = all(
            isinstance(column.type, (*JSON_TYPES, Boolean, String, Integer, BigInteger)) or column.name in own
            for column in kind.table.columns
        )
        names = [column.name for column in kind.table.columns]
        compiled = self._statement.compile(dialect=connection.dialect, column_keys=names)
        self._text = compiled.string
        self._order = list(compiled.positiontup or ()) if compiled.positional else []

    @classmethod
    def of(cls, kind: Kind, connection: Connection) -> Upsert | None:
        """The statement, made once; None where the database has none for it."""
        dialect = connection.dialect
        key = (kind, dialect.name, dialect.driver, dialect.server_version_info)  # versions of MySQL differ in it
        if key not in _known:
            statement = _statement(kind, dialect.name)
            _known[key] = None if statement is None else cls(kind, connection, statement)
        return _known[key]

    def execute(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        """Insert the rows, or replace those that are there."""
        if not self._is_plain:
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
    """Whether something else than the id is unique: MySQL would replace the row of another record that has it too."""
    return any(index.unique for index in kind.table.indexes) or any(
        isinstance(constraint, UniqueConstraint) for constraint in kind.table.constraints
    )
