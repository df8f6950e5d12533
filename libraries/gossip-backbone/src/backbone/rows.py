"""Reads and writes of the rows of one kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, insert, select, update

from backbone.kinds import Kind
from backbone.upsert import Upsert

Deletes = Literal["remove", "tombstones"]
_CHUNK = 500  # ids in one statement


def iterate_records(connection: Connection, kind: Kind) -> Iterator[dict[str, Any]]:
    """Yield all live records of a kind, by ascending id."""
    query = select(kind.table).where(kind.table.c.deleted_at.is_(None)).order_by(kind.table.c.id)
    for row in connection.execute(query, execution_options={"yield_per": 1000}).mappings():
        yield kind.record({**row})


def count_records(connection: Connection, kind: Kind) -> int:
    """Return the number of live records of a kind."""
    query = select(func.count()).select_from(kind.table).where(kind.table.c.deleted_at.is_(None))
    return connection.scalar(query) or 0


def list_live_ids(connection: Connection, kind: Kind) -> Sequence[int]:
    """Return the ids of all live records of a kind."""
    return connection.scalars(select(kind.table.c.id).where(kind.table.c.deleted_at.is_(None))).all()


def is_empty(connection: Connection, kind: Kind) -> bool:
    """Whether the kind has no rows, tombstones included."""
    return connection.execute(select(kind.table.c.id).limit(1)).first() is None


def read_rows(connection: Connection, kind: Kind, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return the rows with these ids, by id, tombstones included."""
    rows = {}
    for start in range(0, len(ids), _CHUNK):
        query = select(kind.table).where(kind.table.c.id.in_(ids[start : start + _CHUNK]))
        for row in connection.execute(query).mappings():
            rows[row["id"]] = dict(row)
    return rows


def delete_rows(connection: Connection, kind: Kind, ids: Sequence[int], *, deletes: Deletes, now: datetime) -> None:
    """Remove the rows, or turn them into tombstones."""
    for start in range(0, len(ids), _CHUNK):
        is_chosen = kind.table.c.id.in_(ids[start : start + _CHUNK])
        if deletes == "tombstones":
            connection.execute(update(kind.table).where(is_chosen).values(deleted_at=now))
        else:
            connection.execute(delete(kind.table).where(is_chosen))


def write_rows(connection: Connection, kind: Kind, rows: list[dict[str, Any]], *, existing_ids: set[int]) -> None:
    """Insert the rows; update those whose ids exist."""
    if upsert := Upsert.of(kind, connection):
        upsert.execute(connection, rows)
        return
    new = [row for row in rows if row["id"] not in existing_ids]
    if new:
        connection.execute(insert(kind.table), new)
    for row in rows:
        if row["id"] in existing_ids:
            values = {name: value for name, value in row.items() if name != "id"}
            connection.execute(update(kind.table).where(kind.table.c.id == row["id"]).values(values))
