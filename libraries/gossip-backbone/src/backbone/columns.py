"""The types of columns of a replica, so that every database gives back what was put in."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, Unicode, UnicodeText
from sqlalchemy.dialects.mysql import DATETIME, LONGTEXT
from sqlalchemy.types import TypeDecorator, TypeEngine

MYSQL = ("mysql", "mariadb")

Id = BigInteger().with_variant(Integer, "sqlite")
Name = Unicode(255)  # what is indexed: many databases index no text without a length
LongText = UnicodeText().with_variant(LONGTEXT(), *MYSQL)  # their TEXT ends at 64 KiB
Moment = DateTime(timezone=True).with_variant(DATETIME(fsp=6), *MYSQL)

# Whatever the server's and the database's own are: every letter has to fit, and names that differ in case are two.
TABLE_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in MYSQL
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


class Json(TypeDecorator[Any]):
    """JSON that comes back as it was: on SQLite and PostgreSQL their own type, elsewhere text.

    (The type of MySQL rounds large numbers, and some databases have none.) None is the database's NULL.
    """

    impl = JSON
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def __repr__(self) -> str:
        """As it is made: Alembic writes this into migrations of the host's."""
        return "Json()"

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type to use on this database."""
        return dialect.type_descriptor(self.impl_instance if _has_json(dialect) else LongText)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """The value to hand to the type of `load_dialect_impl`."""
        return value if value is None or _has_json(dialect) else json.dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """What was read, as Python has it."""
        return value if value is None or _has_json(dialect) else json.loads(value)


JSON_TYPES = (JSON, Json)


def _has_json(dialect: Dialect) -> bool:
    return dialect.name in ("sqlite", "postgresql")
