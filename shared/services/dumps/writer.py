"""Write a whole network into a file: one JSON value per line.

```text
{"format": "gossip-network", "version": 1, "schema": "0014", …}
{"table": "users", "columns": ["id", "uid", …]}     for each table
[1, "0eaed916-…", …]                                a row
{"rows": 1, "sha256": "…"}                          after the rows: over their lines, each with its line feed
{"table": "sequences", "columns": ["table", "last"]}
["users", 1]
{"rows": 1, "sha256": "…"}
{"end": true, "sha256": "…"}                        over all tables
```
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy.orm import Session

from shared.errors import Conflict
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require
from shared.services.dumps import tables
from shared.services.dumps.tables import SEQUENCES, Digest, TableDigest

FORMAT = "gossip-network"
FORMAT_VERSION = 1
SEQUENCE_COLUMNS = ["table", "last"]


class ByteSink(Protocol):
    """A file that is open for writing bytes."""

    def write(self, data: bytes, /) -> Any: ...


def export_network(
    session: Session,
    actor: Actor,
    file: ByteSink,
    *,
    schema: str,
    now: datetime,
    progress: Callable[[str, int], None] = lambda table, rows: None,
) -> dict[str, Any]:
    """Write all tables, as they are at one moment, in bounded memory. For the operator.

    Args:
        session: A reading session, which sees one state of the database.
        schema: The revision of the schema that this code needs.
        progress: Called with the table and its rows so far, every few hundred rows.

    Returns:
        The digests, as `digest_network` does.

    Raises:
        Forbidden.
        Conflict: The database has another schema.
        Invalid: The database contains something that it should not.
    """
    require(actor, Act.MOVE_NETWORK)
    require_schema(session, schema)
    tables.lift_timeouts(session)
    columns = {table.name: tables.column_names(table) for table in tables.list_tables()}
    columns[SEQUENCES] = SEQUENCE_COLUMNS
    header = {"format": FORMAT, "version": FORMAT_VERSION, "schema": schema, "exported_at": now.isoformat()}
    _write(file, header)
    digests: dict[str, TableDigest] = {}
    for name, lines in tables.sections(session):
        _write(file, {"table": name, "columns": columns[name]})
        digest = Digest()
        for line in lines:
            digest.add(line)
            file.write(line + b"\n")
            if digest.rows % tables.ROWS_AT_ONCE == 0:
                progress(name, digest.rows)
        digests[name] = digest.result()
        _write(file, {"rows": digest.rows, "sha256": digests[name].sha256})
    sha256 = tables.combined(digests)
    _write(file, {"end": True, "sha256": sha256})
    return {"schema": schema, "sha256": sha256, "rows": sum(digest.rows for digest in digests.values())}


def require_schema(session: Session, schema: str) -> None:
    """Raise Conflict if the database is not at the revision that this code needs."""
    current = tables.read_schema(session)
    if current != schema:
        raise Conflict(
            f"the database is at schema {current}, and this code needs {schema}: run 'flask db upgrade' first"
        )


def _write(file: ByteSink, value: dict[str, Any]) -> None:
    file.write(tables.to_line(value))
