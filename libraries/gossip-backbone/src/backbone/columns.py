"""Column types that give back exactly what was stored, on every database."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, Unicode, UnicodeText
from sqlalchemy.dialects.mysql import DATETIME, LONGTEXT
from sqlalchemy.types import TypeDecorator, TypeEngine

MYSQL = ("mysql", "mariadb")

Id = BigInteger().with_variant(Integer, "sqlite")
Name = Unicode(255)  # an indexed text needs a length on MySQL
LongText = UnicodeText().with_variant(LONGTEXT(), *MYSQL)  # TEXT holds only 64 KiB there
Moment = DateTime(timezone=True).with_variant(DATETIME(fsp=6), *MYSQL)

# Independent of the server's defaults: every character must fit, and names that differ in case are different.
TABLE_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in MYSQL
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


class Json(TypeDecorator[Any]):
    """JSON that comes back unchanged: the database's own type on SQLite and PostgreSQL, text elsewhere.

    MySQL's own type rounds large numbers, and some databases have none. None is stored as NULL.
    """

    impl = JSON
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def __repr__(self) -> str:
        """Return the expression that Alembic writes into the host's migrations."""
        return "Json()"

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type to use on this database."""
        return dialect.type_descriptor(self.impl_instance if _has_json(dialect) else LongText)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return the value to pass to the type of `load_dialect_impl`."""
        return value if value is None or _has_json(dialect) else json.dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return the stored value as a Python object."""
        return value if value is None or _has_json(dialect) else json.loads(value)


JSON_TYPES = (JSON, Json)


def _has_json(dialect: Dialect) -> bool:
    return dialect.name in ("sqlite", "postgresql")
