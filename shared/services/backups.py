"""Backups: copy an SQLite database while it is in use, and prepare a restored one for use."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL, select
from sqlalchemy.orm import Session

from shared.errors import Invalid, Unavailable
from shared.models.version import Counter
from shared.private_files import private_file
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require

PAGES_AT_ONCE = 2_000
PROGRESS_SECONDS = 2.0
STEP = 1_000_000  # more than any network does between a backup and its restoration


def back_up(
    url: URL,
    target: Path,
    *,
    now: datetime,
    is_replacing: bool = False,
    is_folder: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Copy the database at this URL, as it is at one moment. A copy that fails leaves nothing behind.

    Args:
        target: A file, or a folder in which the file is named after `now`.
        is_replacing: Overwrite an existing file.
        is_folder: The target is a folder; create it if it does not exist.
        progress: Called with the pages copied and all pages, every few seconds.

    Returns:
        The file, which only its owner can read.

    Raises:
        Invalid: The database is not SQLite.
        Conflict: The file exists.
        Unavailable: The database cannot be read, or the file cannot be written.
    """
    if url.get_backend_name() != "sqlite" or not url.database:
        raise Invalid("this backs up SQLite only: use pg_dump for PostgreSQL (docs/operating.md)")
    try:
        if is_folder:
            target.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"the folder {target} cannot be created: {error.strerror}") from None
    if target.is_dir():
        target = target / f"gossip-{now:%Y-%m-%dT%H-%M-%SZ}.db"
    with private_file(target, is_replacing=is_replacing) as draft:
        try:
            _copy(url.database, draft, progress)
        except sqlite3.Error as error:
            raise Unavailable(f"the backup {target} failed: {error}") from None
    return target


def start_over(session: Session, actor: Actor) -> dict[str, int]:
    """Move both counters past every number that may have been used since the backup. For the operator, after a restore.

    Every application's cursor is then out of range, so it gets the whole state again, and no chat line gets the number
    of a lost one.

    Returns:
        The new counters: `cursor` and `message`.
    """
    require(actor, Act.RESTORE_BACKUP)
    counters = {counter.name: counter for counter in session.scalars(select(Counter).with_for_update())}
    for counter in counters.values():
        counter.value += STEP
    versions = counters[Counter.VERSIONS]
    versions.floor = versions.value
    return {"cursor": versions.value, "message": counters[Counter.MESSAGES].value}


def _copy(source_path: str, draft: Path, progress: Callable[[int, int], None]) -> None:
    source_uri = f"{Path(source_path).absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(source_uri, uri=True, isolation_level=None)) as source,
        closing(sqlite3.connect(draft, isolation_level=None)) as copy,
    ):
        # Without a transaction, SQLite restarts the copy whenever another process writes.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        said_at = time.monotonic()

        def say(_status: int, remaining: int, total: int) -> None:
            nonlocal said_at
            if time.monotonic() - said_at > PROGRESS_SECONDS:
                said_at = time.monotonic()
                progress(total - remaining, total)

        source.backup(copy, pages=PAGES_AT_ONCE, progress=say, sleep=0)
