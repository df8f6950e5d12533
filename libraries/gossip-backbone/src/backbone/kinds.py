"""Kinds of records, each with the model that stores it: channels and games, and those the host registers."""

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

_LIBRARY_COLUMNS = ("extra", "deleted_at")
_ID_LIMIT = 2**63


class Kind:
    """One kind of records.

    A value that does not fit its column goes to `extra`. The host creates the table of a kind that it registers.

    Args:
        name: As in `sync/<name>`.
        model: A mapped class with the mixin `backbone.models.Record`. Its columns have the names of the record's
            fields, are nullable, and hold text, integers, floats, booleans or JSON.

    Raises:
        TypeError: A column cannot give a value back unchanged. `check` finds those that depend on the database.
    """

    def __init__(self, name: str, model: type[Record]) -> None:
        self.name = name
        self.model = model
        self.table: Table = model.__table__  # type: ignore[attr-defined]
        self.columns: dict[str, Column[Any]] = {
            column.name: column for column in self.table.columns if column.name not in _LIBRARY_COLUMNS
        }
        self._tests = tuple((name, _fit_test(column)) for name, column in self.columns.items())
        self._field_names = frozenset(self.columns)
        self._blank = dict.fromkeys(_LIBRARY_COLUMNS)
        self._json_columns = [
            "extra",
            *(name for name, column in self.columns.items() if isinstance(column.type, JSON_TYPES)),
        ]

    def check(self, dialect: Dialect) -> None:
        """Raise TypeError if this database would round or cut the values of a column."""
        for name, column in self.columns.items():
            if fault := _fault(column.type, dialect):
                raise TypeError(f"{self.table.name}.{name}: {fault}")

    def row(self, record: Mapping[str, Any], *, has_empty_text: bool = True) -> dict[str, Any]:
        """Return the record as a row. Values that fit no column go to `extra`.

        Args:
            record: As the network sent it.
            has_empty_text: False for a database that turns an empty text into NULL.
        """
        if has_empty_text and record.keys() == self._field_names:
            for name, fits in self._tests:
                if not fits(record[name]):
                    break
            else:  # fast path: every field has a column and fits
                return {**record, **self._blank}
        row: dict[str, Any] = {}
        for name, fits in self._tests:
            value = record.get(name)
            row[name] = value if fits(value) and (has_empty_text or value != "") else None
        extra = {name: value for name, value in record.items() if name not in row or row[name] != value}
        return {**row, **self._blank, "extra": extra or None}

    def record(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record that a row was made from."""
        record = {name: row[name] for name in self.columns}
        if row["extra"]:
            record.update(row["extra"])
        return record

    def is_same(self, row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether two rows that are equal in Python are equal as JSON too: 1, 1.0 and True are not."""
        return all(
            json.dumps(row[name], sort_keys=True) == json.dumps(other[name], sort_keys=True)
            for name in self._json_columns
        )

    def label(self, record: Mapping[str, Any]) -> str:
        """Return the record's name for people; empty if it has none."""
        for name in ("game", "name", "title"):
            if isinstance(record.get(name), str):
                return str(record[name])
        return ""


def is_id(value: object) -> TypeGuard[int]:
    """Whether the value can be the id of a record."""
    return type(value) is int and 0 <= value < _ID_LIMIT


def _fault(declared: TypeEngine[Any], dialect: Dialect) -> str:
    """Return how this database changes the values of a column of this type; empty if they come back unchanged."""
    database, actual = dialect.name, declared.dialect_impl(dialect)
    if isinstance(declared, Float) and not isinstance(declared, Double) and database != "sqlite":
        binary_digits = declared.precision or (53 if database == "postgresql" else 24)
        if binary_digits <= 24 or isinstance(declared, REAL):
            return f"a {declared!r} on {database} has only seven digits; use Double"
    if isinstance(actual, JSONB):
        return f"JSONB on {database} rewrites numbers; use backbone.Json"
    if database in MYSQL and isinstance(actual, JSON):
        return f"JSON on {database} rewrites numbers; use backbone.Json"
    if database in MYSQL and isinstance(actual, Text) and not actual.length:
        return f"Text on {database} holds only 64 KiB; use backbone.LongText"
    return ""


def _fit_test(column: Column[Any]) -> Callable[[Any], bool]:
    """Return a function that tells whether every database gives a value of this column back unchanged."""
    kind = column.type
    if isinstance(kind, JSON_TYPES):
        # No plain values: SQLite turns a text that looks like a number into one.
        return lambda value: value is None or type(value) in (list, dict)
    if isinstance(kind, Boolean):
        return lambda value: value is None or type(value) is bool
    if isinstance(kind, String) and not isinstance(kind, Enum | CHAR | NCHAR):  # CHAR is padded with spaces
        longest = kind.length or sys.maxsize
        return lambda value: value is None or (type(value) is str and len(value) <= longest and _is_clean(value))
    if isinstance(kind, Integer):
        end = 2 ** (63 if isinstance(kind, BigInteger) else 15 if isinstance(kind, SmallInteger) else 31)
        return lambda value: value is None or (type(value) is int and -end <= value < end)
    if isinstance(kind, Float) and not kind.asdecimal:
        return lambda value: value is None or (type(value) is float and math.isfinite(value) and repr(value) != "-0.0")
    raise TypeError(f"{column} is of type {kind}: a kind's columns must be text, integers, floats, booleans or JSON")


def _is_clean(text: str) -> bool:
    """Whether every database accepts the text: it has no NUL and no half of a surrogate pair."""
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
