"""Write an export as a zip file: a JSON file for each part, and a README that says what is in them."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import date, datetime
from typing import IO, Any

from sqlalchemy.orm import Session

from shared.services.exports.parts import Export, Part

ROWS_AT_ONCE = 500


def write_archive(session: Session, export: Export, file: IO[bytes], *, now: datetime) -> dict[str, int]:
    """Write the archive, reading a few rows at a time. Return the number of records in each file."""
    counts: dict[str, int] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in export.parts:
            with archive.open(_entry(f"{part.name}.json", now), "w") as raw, io.TextIOWrapper(raw, "utf-8") as text:
                counts[part.name] = _write_part(session, part, text)
        archive.writestr(_entry("README.txt", now), _readme(export, counts, now))
    return counts


def _entry(name: str, now: datetime) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (now.year, now.month, now.day, now.hour, now.minute, now.second))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


def _write_part(session: Session, part: Part, text: IO[str]) -> int:
    count = 0
    text.write("[")
    rows = session.execute(part.statement(), execution_options={"yield_per": ROWS_AT_ONCE})
    for row in rows.mappings():
        text.write(",\n" if count else "\n")
        json.dump(dict(row), text, ensure_ascii=False, default=_plain)
        count += 1
    text.write("\n]\n")
    return count


def _plain(value: Any) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"cannot export {type(value).__name__}")


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
