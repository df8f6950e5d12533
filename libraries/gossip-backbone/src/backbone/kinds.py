"""A kind of records, and the model that keeps them. Channels and games are there; others can be registered."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from sqlalchemy import (
    CHAR,
    JSON,
    NCHAR,
    REAL,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    Enum,
    Float,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from backbone.columns import JSON_TYPES, MYSQL
from backbone.models import Channel, Game, Record

_OWN = ("extra", "deleted_at")
_END = 2**63
_LONG_FLOATS = ("postgresql", "oracle", "mssql")  # where FLOAT is a double; elsewhere it may be half of one


class Kind:
    """One kind. name: as in `sync/<name>`. model: a mapped class with the mixin `backbone.models.Record`, its columns
    named as the fields of the record, of text, integers, floats, booleans or JSON, and nullable. A value that is longer
    or larger than its column goes to `extra`. A registered kind's table is its application's to make. Raises TypeError
    for a column that cannot give a value back as it came; where that depends on the database, who registers it is told.
    """

    def __init__(self, name: str, model: type[Record]) -> None:
        self.name = name
        self.model = model
        self.table: Table = model.__table__  # type: ignore[attr-defined]
        self.columns: dict[str, Column[Any]] = {
            column.name: column for column in self.table.columns if column.name not in _OWN
        }
        self._holds = tuple((name, _holds(column)) for name, column in self.columns.items())
        self._known = frozenset(self.columns)
        self._blank = dict.fromkeys(_OWN)
        self._loose = ["extra", *(name for name, column in self.columns.items() if isinstance(column.type, JSON_TYPES))]

    def check(self, dialect: Dialect) -> None:
        """Raises TypeError where this database would round or cut the values of a column."""
        for name, column in self.columns.items():
            if fault := _fault(column.type, dialect):
                raise TypeError(f"{self.table.name}.{name}: {fault}")

    def row(self, record: Mapping[str, Any], *, has_empty_text: bool = True) -> dict[str, Any]:
        """The record as a row. What no column can hold goes to `extra`.

        has_empty_text: False for a database that makes NULL of an empty text, as Oracle does.
        """
        if has_empty_text and record.keys() == self._known:
            for name, holds in self._holds:
                if not holds(record[name]):
                    break
            else:  # the usual record
                return {**record, **self._blank}
        row: dict[str, Any] = {}
        for name, holds in self._holds:
            value = record.get(name)
            row[name] = value if holds(value) and (has_empty_text or value != "") else None
        extra = {name: value for name, value in record.items() if name not in row or row[name] != value}
        return {**row, **self._blank, "extra": extra or None}

    def record(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The record that a row was made of."""
        record = {name: row[name] for name in self.columns}
        if row["extra"]:
            record.update(row["extra"])
        return record

    def is_same(self, row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether rows that Python calls equal are: to Python 1, 1.0 and True are one, as JSON they are not."""
        return all(
            json.dumps(row[name], sort_keys=True) == json.dumps(other[name], sort_keys=True) for name in self._loose
        )

    def label(self, record: Mapping[str, Any]) -> str:
        """What a person calls a record."""
        for name in ("game", "name", "title"):
            if isinstance(record.get(name), str):
                return str(record[name])
        return ""


def is_id(value: object) -> TypeGuard[int]:
    """Whether it can be the id of a record."""
    return type(value) is int and 0 <= value < _END


def _fault(said: TypeEngine[Any], dialect: Dialect) -> str:
    """What this database does to the values of such a column; empty where they come back as they were."""
    database, kind = dialect.name, said.dialect_impl(dialect)
    if isinstance(said, Float) and not isinstance(said, Double) and database != "sqlite":
        digits = said.precision or (53 if database in _LONG_FLOATS else 24)  # binary ones
        if digits <= 24 or isinstance(said, REAL):
            return f"a {said!r} of {database} has seven digits; make it a Double"
    if isinstance(kind, JSONB) or (database in MYSQL and isinstance(kind, JSON)):
        return f"the {type(kind).__visit_name__} of {database} writes numbers anew; make it backbone.Json"
    if database in MYSQL and isinstance(kind, Text) and not kind.length:
        return f"a Text of {database} ends at 64 KiB; make it backbone.LongText"
    return ""


def _holds(column: Column[Any]) -> Callable[[Any], bool]:
    """Whether a column keeps a value as it is, on every database: a function of the value."""
    kind = column.type
    if isinstance(kind, JSON_TYPES):
        return lambda value: value is None or type(value) in (list, dict)  # SQLite makes numbers of what looks like one
    if isinstance(kind, Boolean):
        return lambda value: value is None or type(value) is bool
    if isinstance(kind, String) and not isinstance(kind, Enum | CHAR | NCHAR):  # databases fill those with spaces
        longest = kind.length or sys.maxsize
        return lambda value: value is None or (type(value) is str and len(value) <= longest and _is_clean(value))
    if isinstance(kind, Integer):
        end = 2 ** (63 if isinstance(kind, BigInteger) else 15 if isinstance(kind, SmallInteger) else 31)
        return lambda value: value is None or (type(value) is int and -end <= value < end)
    if isinstance(kind, Float) and not kind.asdecimal:
        return lambda value: value is None or (type(value) is float and math.isfinite(value) and repr(value) != "-0.0")
    raise TypeError(f"{column} is of type {kind}: a column of a kind is of text, integers, floats, booleans or JSON")


def _is_clean(text: str) -> bool:
    """Whether it is text that every database takes: no NUL, and half of no pair (which has no UTF-8)."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


CHANNELS = Kind("channels", Channel)
GAMES = Kind("games", Game)
DEFAULT_KINDS = (CHANNELS, GAMES)
