"""Tables in a form that is the same on SQLite and PostgreSQL: canonical rows in a fixed order, and their digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from sqlalchemy import JSON, Boolean, Column, Date, Integer, String, Table, collate, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from shared.db import Base, UtcDateTime, describe_error
from shared.errors import Invalid

ROWS_AT_ONCE = 500
SEQUENCES = "sequences"
"""The last section: the last id that each table has given out. Ids are never used again, not even after a move."""

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True)
class TableDigest:
    """How many rows a table has, and the SHA-256 over its canonical rows, in hex."""

    rows: int
    sha256: str


class Digest:
    """Adds up the digest of a table while its rows pass by."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.rows = 0

    def add(self, line: bytes) -> None:
        """Add a canonical row."""
        self._hash.update(line + b"\n")
        self.rows += 1

    def result(self) -> TableDigest:
        """Return the digest of the rows so far."""
        return TableDigest(self.rows, self._hash.hexdigest())


def list_tables() -> list[Table]:
    """Return all tables, those that others refer to first."""
    return Base.metadata.sorted_tables


def column_names(table: Table) -> list[str]:
    """Return the names of a table's columns, in the order of its canonical rows."""
    return list(table.columns.keys())


def to_line(value: Any) -> bytes:
    """Return a line that is not a canonical row. (msgspec does not encode SQLAlchemy's names.)"""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def combined(digests: dict[str, TableDigest]) -> str:
    """Return the digest of a whole network: the SHA-256 over its tables' names, rows and digests."""
    lines = [f"{name} {digest.rows} {digest.sha256}\n" for name, digest in sorted(digests.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digest_network(session: Session, progress: Callable[[str, int], None] = lambda table, rows: None) -> dict[str, Any]:
    """Return the digests of all tables, as `flask network digest` prints them. Equal networks have equal digests."""
    lift_timeouts(session)
    digests: dict[str, TableDigest] = {}
    for name, lines in sections(session):
        digest = Digest()
        for line in lines:
            digest.add(line)
            if digest.rows % ROWS_AT_ONCE == 0:
                progress(name, digest.rows)
        digests[name] = digest.result()
    return {
        "schema": read_schema(session),
        "sha256": combined(digests),
        "tables": {name: {"rows": digest.rows, "sha256": digest.sha256} for name, digest in digests.items()},
    }


def sections(session: Session) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield the name and the canonical rows of every table, and of the sequences. Reads a few rows at a time."""
    for table in list_tables():
        yield table.name, read_rows(session, table)
    yield SEQUENCES, iter([to_line(pair)[:-1] for pair in sorted(read_sequences(session).items())])


def read_rows(session: Session, table: Table) -> Iterator[bytes]:
    """Yield a table's canonical rows in the order of the primary key.

    Raises:
        Invalid: The database contains something that it should not, such as text that is not UTF-8.
    """
    is_postgres = session.get_bind().dialect.name == "postgresql"
    # SQLite compares text by bytes. PostgreSQL does so only in this collation.
    order = [
        collate(column, "C") if is_postgres and isinstance(column.type, String) else column
        for column in table.primary_key
    ]
    encoders = [_encoder_of(column) for column in table.columns]
    connection = session.connection()
    count = 0
    try:
        statement = select(table).order_by(*order)
        for row in connection.execute(statement, execution_options={"yield_per": ROWS_AT_ONCE}):
            yield _encode(
                [None if value is None else encode(value) for encode, value in zip(encoders, row, strict=True)]
            )
            count += 1
    except DBAPIError as error:
        if getattr(error.orig, "sqlite_errorcode", 1) != 1 or "decode" not in str(error.orig).lower():
            raise
        raise Invalid(f"{table.name}, after row {count}: {describe_error(error)}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise Invalid(f"{table.name}, after row {count}: a value cannot be read ({error})") from None


def decode_row(table: Table, values: list[Any]) -> dict[str, Any]:
    """Return the columns and values of a canonical row, for an INSERT. Raises ValueError if it is not such a row."""
    columns = list(table.columns)
    if len(values) != len(columns):
        raise ValueError(f"it has {len(values)} values instead of {len(columns)}")
    row: dict[str, Any] = {}
    for column, value in zip(columns, values, strict=True):
        try:
            row[column.name] = None if value is None else _decode(column, value)
        except (ValueError, TypeError):
            raise ValueError(f"{column.name} cannot be {str(value)[:60]!r}") from None
    return row


def read_schema(session: Session) -> str:
    """Return the revision of the database's schema."""
    return str(session.scalar(text("SELECT version_num FROM alembic_version")))


def lift_timeouts(session: Session) -> None:
    """Let this transaction run as long as it needs to."""
    if session.get_bind().dialect.name == "postgresql":
        for timeout in ("idle_in_transaction_session_timeout", "statement_timeout"):
            session.execute(text(f"SET LOCAL {timeout} = 0"))


def numbered_tables() -> list[Table]:
    """Return the tables whose ids the database counts."""
    return [table for table in list_tables() if table.dialect_options["sqlite"]["autoincrement"]]


def read_sequences(session: Session) -> dict[str, int]:
    """Return the last id that each table has given out; 0 if none."""
    if session.get_bind().dialect.name == "sqlite":
        last = {name: seq for name, seq in session.execute(text("SELECT name, seq FROM sqlite_sequence"))}
        return {table.name: int(last.get(table.name, 0)) for table in numbered_tables()}
    last_value = text("SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence(:table, 'id') AS regclass))")
    return {table.name: session.scalar(last_value, {"table": table.name}) or 0 for table in numbered_tables()}


def set_sequences(session: Session, sequences: dict[str, int]) -> None:
    """Let each table go on after the last id that it has given out."""
    for name, last in sequences.items():
        if not last:
            continue
        if session.get_bind().dialect.name == "sqlite":
            session.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
            session.execute(
                text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), {"name": name, "last": last}
            )
        else:
            session.execute(
                text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :last)"), {"name": name, "last": last}
            )


def _encoder_of(column: Column[Any]) -> Callable[[Any], Any]:
    if isinstance(column.type, UtcDateTime):
        return _encode_time
    if isinstance(column.type, Date):
        return date.isoformat
    if isinstance(column.type, Boolean):
        return bool
    return lambda value: value


def _encode_time(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _decode(column: Column[Any], value: Any) -> Any:
    if isinstance(column.type, UtcDateTime):
        return datetime.fromisoformat(value)
    if isinstance(column.type, Date):
        return date.fromisoformat(value)
    expected: tuple[type, ...] = (object,)
    if isinstance(column.type, Boolean):
        expected = (bool,)
    elif isinstance(column.type, Integer):
        expected = (int,)
    elif isinstance(column.type, String):
        expected = (str,)
    elif not isinstance(column.type, JSON):
        raise TypeError(f"columns of type {column.type} cannot be imported")
    if not isinstance(value, expected) or (expected == (int,) and isinstance(value, bool)):
        raise ValueError
    return value
