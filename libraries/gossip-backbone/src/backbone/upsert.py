"""Many rows inserted or replaced by one statement, on SQLite and PostgreSQL.

The statement is SQLAlchemy's; its rows go to the driver directly where nothing but JSON needs to be converted on the
way, which is half of the work otherwise.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Connection, Integer, String
from sqlalchemy.dialects import postgresql, sqlite

from backbone.kinds import Kind

_encode = json.JSONEncoder(separators=(",", ":")).encode
_DIALECTS = ("sqlite", "postgresql")
_known: dict[tuple[Kind, str, str], Upsert] = {}


class Upsert:
    """The statement of one kind for one driver."""

    def __init__(self, kind: Kind, connection: Connection) -> None:
        is_sqlite = connection.dialect.name == "sqlite"
        insert: Any = sqlite.insert(kind.table) if is_sqlite else postgresql.insert(kind.table)
        changed = {column.name: insert.excluded[column.name] for column in kind.table.columns if not column.primary_key}
        self._statement = insert.on_conflict_do_update(index_elements=[kind.table.c.id], set_=changed)
        self._json = [column.name for column in kind.table.columns if isinstance(column.type, JSON)]
        own = {"deleted_at"}  # always NULL here
        self._is_plain = all(
            isinstance(column.type, JSON | Boolean | String | Integer | BigInteger) or column.name in own
            for column in kind.table.columns
        )
        names = [column.name for column in kind.table.columns]
        compiled = self._statement.compile(dialect=connection.dialect, column_keys=names)
        self._text = compiled.string
        self._order = list(compiled.positiontup or ()) if compiled.positional else []

    @classmethod
    def of(cls, kind: Kind, connection: Connection) -> Upsert | None:
        """The statement, made once; None for other databases."""
        dialect = connection.dialect
        if dialect.name not in _DIALECTS:
            return None
        key = (kind, dialect.name, dialect.driver)
        if key not in _known:
            _known[key] = cls(kind, connection)
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
