"""A kind of records, and the model that keeps them. Channels and games are there; others can be registered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeGuard

from sqlalchemy import JSON, Boolean, Column, Enum, Float, Integer, String, Table

from backbone.models import Channel, Game, Record

_OWN = ("extra", "deleted_at")
_BIGGEST = 2**63


class Kind:
    """One kind. name: as in `sync/<name>`. model: a mapped class with the mixin `backbone.models.Record`, its columns
    named as the fields of the record, of text, integers, floats, booleans or JSON, and nullable. A registered kind's
    table is its application's to make. Raises TypeError for a column that cannot give a value back as it came."""

    def __init__(self, name: str, model: type[Record]) -> None:
        self.name = name
        self.model = model
        self.table: Table = model.__table__  # type: ignore[attr-defined]
        self.columns: dict[str, Column[Any]] = {
            column.name: column for column in self.table.columns if column.name not in _OWN
        }
        self._types = {name: _types_of(column) for name, column in self.columns.items()}
        self._checks = tuple(self._types.items())
        self._known = frozenset(self._types)
        self._blank = dict.fromkeys(_OWN)
        self._loose = ["extra", *(name for name, column in self.columns.items() if isinstance(column.type, JSON))]

    def row(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The record as a row. What no column can hold goes to `extra`."""
        if record.keys() == self._known:
            for name, fitting in self._checks:
                if type(record[name]) not in fitting:
                    break
            else:  # the usual record
                return {**record, **self._blank}
        row: dict[str, Any] = {}
        for name, types in self._checks:
            value = record.get(name)
            row[name] = value if type(value) in types else None
        extra = {name: value for name, value in record.items() if name not in row or row[name] != value}
        return {**row, **self._blank, "extra": extra or None}

    def record(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The record that a row was made of."""
        record = {name: row[name] for name in self._types}
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
    return type(value) is int and 0 <= value < _BIGGEST


def _types_of(column: Column[Any]) -> frozenset[type]:
    """The types of values that a column keeps as they are."""
    kind = column.type
    if isinstance(kind, JSON):
        return frozenset({list, dict, type(None)})  # SQLite would make numbers of what looks like one
    if isinstance(kind, Boolean):
        return frozenset({bool, type(None)})
    if isinstance(kind, String) and not isinstance(kind, Enum):
        return frozenset({str, type(None)})
    if isinstance(kind, Integer):
        return frozenset({int, type(None)})
    if isinstance(kind, Float) and not kind.asdecimal:
        return frozenset({float, type(None)})
    raise TypeError(f"{column} is of type {kind}: a column of a kind is of text, integers, floats, booleans or JSON")


CHANNELS = Kind("channels", Channel)
GAMES = Kind("games", Game)
DEFAULT_KINDS = (CHANNELS, GAMES)
