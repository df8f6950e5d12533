"""Read a whole network from a file into an empty database: all of it in one transaction, or nothing."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

import msgspec
from sqlalchemy import Table, and_, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from shared.db import describe_error, is_busy, is_unavailable
from shared.errors import Conflict, Invalid
from shared.models.moderation import ReasonPreset
from shared.services import text_search
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require
from shared.services.dumps import tables
from shared.services.dumps.tables import SEQUENCES, Digest, TableDigest
from shared.services.dumps.writer import FORMAT, FORMAT_VERSION, SEQUENCE_COLUMNS, require_schema

LINE_BYTES = 16 * 1024**2
"""The longest line that a file can have. Longer ones are not ours."""
NEW_ROWS: dict[str, dict[str, Any]] = {
    "counters": {"value": 0, "floor": 0},
    "moderation_heads": {"number": 0, "revision": 0},
    "safeguard_settings": {"raid_until": None, "raid_reason": "", "probation_hours": 0, "probation_slow_seconds": 0},
    "reason_presets": {"changed_by": None},
}
"""Tables to which migrations add rows, with what these rows contain as long as they are new. An import changes them."""

_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def import_network(
    session: Session,
    actor: Actor,
    file: IO[bytes],
    *,
    schema: str,
    progress: Callable[[str, int], None] = lambda table, rows: None,
) -> dict[str, Any]:
    """Read a file of `export_network` into an empty, migrated database, in bounded memory. For the operator.

    The rows are inserted past the hooks of the log of changes, because the file contains the log itself. At the end,
    everything is read again, and must have the digests of the file.

    Args:
        session: A transaction of its own. The caller must roll back on any error.
        schema: The revision of the schema that this code needs.
        progress: Called with the table and its rows so far, every few hundred rows.

    Returns:
        The schema, the digest over all tables, and the number of rows.

    Raises:
        Forbidden.
        Conflict: The file or the database has another schema, or the database is not empty.
        Invalid: The file is damaged or no export, or the database refuses a row.
    """
    require(actor, Act.MOVE_NETWORK)
    lines = _lines(file)
    _check_header(_object(next(lines, b"")), schema)
    require_schema(session, schema)
    tables.lift_timeouts(session)
    _lock(session)
    _require_empty(session)

    digests: dict[str, TableDigest] = {}
    for table in tables.list_tables():
        digests[table.name] = _read_table(session, lines, table, progress)
    digests[SEQUENCES] = _read_sequences(session, lines)
    end = _object(next(lines, b""))
    if end != {"end": True, "sha256": tables.combined(digests)} or next(lines, None) is not None:
        raise _damaged("its end is not what it should be")

    progress("checking", 0)
    imported = tables.digest_network(session, progress)
    for name, digest in digests.items():
        if imported["tables"][name]["sha256"] != digest.sha256:
            raise Invalid(f"the table {name} differs from the file after the import: nothing was imported")
    _index_messages(session, progress)
    return {"schema": schema, "sha256": imported["sha256"], "rows": sum(digest.rows for digest in digests.values())}


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    try:
        while line := file.readline(LINE_BYTES):
            if not line.endswith(b"\n"):
                raise _damaged("it ends in the middle of a line, or is not a text file")
            yield line[:-1]
    except (EOFError, OSError, ValueError, zlib.error) as error:  # what gzip raises
        raise _damaged(str(error)) from None


def _check_header(header: dict[str, Any], schema: str) -> None:
    if header.get("format") != FORMAT:
        raise Invalid("the file is not an export of a network: make one with 'flask network export'")
    if header.get("version") != FORMAT_VERSION:
        raise Conflict(
            f"the file has version {header.get('version')} of the format, and this code reads {FORMAT_VERSION}: "
            "import it with the version of Gossip that exported it"
        )
    if header.get("schema") != schema:
        raise Conflict(
            f"the file has schema {header.get('schema')}, and this code needs {schema}: "
            "bring both networks to the same version of Gossip, migrate them, and export again"
        )


def _lock(session: Session) -> None:
    """Keep everybody else from writing. On SQLite, the transaction does."""
    if session.get_bind().dialect.name == "postgresql":
        names = ", ".join(table.name for table in tables.list_tables())
        try:
            session.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))
        except OperationalError as error:
            if is_busy(error):
                raise Conflict("others use the database: stop the site and all workers first") from None
            raise


def _require_empty(session: Session) -> None:
    for table in tables.list_tables():
        statement = select(table)
        if table.name in NEW_ROWS:
            is_new = (table.columns[name].is_not_distinct_from(value) for name, value in NEW_ROWS[table.name].items())
            statement = statement.where(~and_(*is_new))
        if session.execute(statement.limit(1)).first() is not None:
            raise Conflict(
                f"the database is not empty: {table.name} has rows. Create a new database, run 'flask db upgrade', "
                "and start nothing else before the import"
            )


def _read_table(
    session: Session, lines: Iterator[bytes], table: Table, progress: Callable[[str, int], None]
) -> TableDigest:
    if _object(next(lines, b"")) != {"table": table.name, "columns": tables.column_names(table)}:
        raise _damaged(f"the table {table.name} is missing, or has other columns")
    if table is ReasonPreset.__table__:
        session.connection().execute(delete(table))  # admins may have deleted some of the new ones
    digest = Digest()
    batch: list[dict[str, Any]] = []
    for line in lines:
        value = _json(line)
        if not isinstance(value, list):
            break
        digest.add(line)
        try:
            batch.append(tables.decode_row(table, value))
        except ValueError as error:
            raise _damaged(f"{table.name}, row {digest.rows}: {error}") from None
        if len(batch) == tables.ROWS_AT_ONCE:
            _insert(session, table, batch, digest.rows - len(batch))
            progress(table.name, digest.rows)
            batch = []
    else:
        raise _damaged(f"it ends within the table {table.name}")
    _insert(session, table, batch, digest.rows - len(batch))
    result = digest.result()
    if value != {"rows": result.rows, "sha256": result.sha256}:
        raise _damaged(f"the digest of {table.name} is wrong")
    return result


def _insert(session: Session, table: Table, batch: list[dict[str, Any]], before: int) -> None:
    """Insert rows. If the database refuses them, insert them one by one to find the one that is at fault."""
    if not batch:
        return
    try:
        with session.begin_nested():
            _insert_rows(session, table, batch)
    except (DBAPIError, OverflowError) as error:
        if isinstance(error, DBAPIError) and is_unavailable(error):
            raise
        if len(batch) > 1:
            for number, row in enumerate(batch):
                _insert(session, table, [row], before + number)
        reason = describe_error(error)
        raise Invalid(
            f"{table.name}, row {before + 1}: the database refuses it ({reason}); nothing was imported"
        ) from None


def _insert_rows(session: Session, table: Table, batch: list[dict[str, Any]]) -> None:
    connection = session.connection()
    if table.name not in NEW_ROWS:
        connection.execute(insert(table), batch)
        return
    for row in batch:
        same = and_(*(column == row[column.name] for column in table.primary_key))
        if connection.execute(update(table).where(same).values(row)).rowcount == 0:
            connection.execute(insert(table), row)


def _read_sequences(session: Session, lines: Iterator[bytes]) -> TableDigest:
    if _object(next(lines, b"")) != {"table": SEQUENCES, "columns": SEQUENCE_COLUMNS}:
        raise _damaged("the sequences are missing")
    digest = Digest()
    sequences: dict[str, int] = {}
    for line in lines:
        value = _json(line)
        if not isinstance(value, list):
            break
        digest.add(line)
        name, last = value if len(value) == 2 else (None, None)
        if not isinstance(name, str) or not isinstance(last, int):
            raise _damaged("the sequences are not what they should be")
        sequences[name] = last
    else:
        raise _damaged("it ends within the sequences")
    result = digest.result()
    names = {table.name for table in tables.numbered_tables()}
    if value != {"rows": result.rows, "sha256": result.sha256} or sequences.keys() != names:
        raise _damaged("the sequences are not what they should be")
    tables.set_sequences(session, sequences)
    return result


def _index_messages(session: Session, progress: Callable[[str, int], None]) -> None:
    """Index the messages for the search, which each database does in its own way."""
    done = 0
    while indexed := text_search.index_batch(session, limit=tables.ROWS_AT_ONCE):
        done += indexed
        progress("search index", done)


def _json(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except _NOT_JSON as error:
        raise _damaged(str(error)) from None


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(line)
    except _NOT_JSON:
        return {}
    return value if isinstance(value, dict) else {}


def _damaged(reason: str) -> Invalid:
    return Invalid(f"the file is damaged: {reason}; nothing was imported")
