"""The row that says how far a replica has got."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Connection, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from backbone.errors import DatabaseFailed, WrongNetwork
from backbone.models import State

_table = cast(Table, State.__table__)


@dataclass(frozen=True)
class Position:
    """How far the replica has got. The fields are those of `backbone.models.State`."""

    cursor: int | None = None
    kinds: frozenset[str] = frozenset()
    counts: dict[str, int] = field(default_factory=dict)
    changed_at: datetime | None = None


def find_position(connection: Connection, network: str) -> Position | None:
    """Return the network's position; None if no replica has been started. Raises WrongNetwork."""
    rows = connection.execute(select(_table)).mappings().all()
    row = next((row for row in rows if row["network"] == network), None)
    if row is None:
        if rows:
            raise WrongNetwork(f"this database holds the network {rows[0]['network']!r}, not {network!r}")
        return None
    changed_at = row["changed_at"]
    if changed_at is not None:  # some databases return it in their own time zone, others without one
        changed_at = changed_at.astimezone(UTC) if changed_at.tzinfo else changed_at.replace(tzinfo=UTC)
    return Position(row["cursor"], frozenset(row["kinds"] or ()), row["counts"] or {}, changed_at)


def create_position(connection: Connection, network: str) -> None:
    """Insert the network's row. Raises DatabaseFailed if another program has just done so."""
    try:
        connection.execute(insert(_table).values(network=network, kinds=[], counts={}))
    except IntegrityError as error:
        raise DatabaseFailed("another program has just started a replica in this database") from error


def update_position(connection: Connection, network: str, /, **values: Any) -> None:
    """Set columns of the network's row."""
    connection.execute(update(_table).where(_table.c.network == network).values(**values))


def lock_position(connection: Connection, network: str) -> None:
    """Lock the network's row, if it exists, until the end of the transaction."""
    # The number of updated rows does not tell whether the row exists: MySQL does not count unchanged rows.
    update_position(connection, network, network=network)
