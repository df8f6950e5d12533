"""Write an export as a zip file: a JSON file for each part, and a README that says what is in them."""

from __future__ import annotations

import zipfile
from datetime import datetime
from typing import IO

import msgspec
from sqlalchemy.orm import Session

from shared.services.exports.parts import Export, Part

ROWS_AT_ONCE = 500
COMPRESSION = 3  # takes half the time of the default, for files that are 10 % larger


def write_archive(session: Session, export: Export, file: IO[bytes], *, now: datetime) -> dict[str, int]:
    """Write the archive, reading a few rows at a time. Return the number of records in each file."""
    counts: dict[str, int] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as archive:
        for part in export.parts:
            # Without `force_zip64`, a file could have at most 2 GiB, since its size is not known yet.
            with archive.open(f"{part.name}.json", "w", force_zip64=True) as file_in_archive:
                counts[part.name] = _write_part(session, part, file_in_archive)
        archive.writestr("README.txt", _readme(export, counts, now))
    return counts


def _write_part(session: Session, part: Part, file: IO[bytes]) -> int:
    count = 0
    result = session.execute(part.statement(), execution_options={"yield_per": ROWS_AT_ONCE})
    names = list(map("".join, result.keys()))  # msgspec does not encode SQLAlchemy's names
    file.write(b"[")
    for rows in result.partitions():
        lines = [_encode(dict(zip(names, row, strict=True))) for row in rows]
        file.write((b",\n" if count else b"\n") + b",\n".join(lines))
        count += len(lines)
    file.write(b"\n]\n")
    return count


_encode = msgspec.json.Encoder().encode


def _readme(export: Export, counts: dict[str, int], now: datetime) -> str:
    lines = [
        f"Everything that is stored about {export.about}",
        f"Exported at {now:%Y-%m-%d %H:%M} UTC. All times are UTC.",
        "",
        "In this archive",
        "---------------",
    ]
    for part in export.parts:
        records = "1 record" if counts[part.name] == 1 else f"{counts[part.name]:,} records"
        lines.append(f"{part.name}.json ({records}): {part.title}")
        lines += [f"    left out: {column} ({why})" for column, why in part.left_out.items()]
    lines += ["", "Not in this archive", "-------------------"]
    lines += [f"{what}: {why}" for what, why in export.not_included.items()]
    return "\n".join(lines) + "\n"
