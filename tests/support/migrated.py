"""Keep migrated databases between test runs, so that the migrations run only when something has changed."""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
KEPT_SECONDS = 86_400


def keep_migrated(folder: Path, kind: str, create: Callable[[Path], None]) -> Path:
    """Return the path of a file with a migrated database: a SQLite database or a dump. Nobody may change it.

    Args:
        folder: Where such files are kept; test runs and the processes of one run share it.
        kind: The end of the file's name, different for each kind of database.
        create: Migrates an empty database and writes it to a path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_fingerprint()}-{kind}"
    with (folder / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if not path.exists():
            for old in folder.glob(f"*-{kind}"):
                if old.stat().st_mtime < time.time() - KEPT_SECONDS:  # not while an earlier run may still copy it
                    old.unlink()
            draft = folder / f"draft-{kind}"
            draft.unlink(missing_ok=True)
            create(draft)
            draft.rename(path)
    return path


def _fingerprint() -> str:
    """Return a hash of everything that the result depends on."""
    sources = [*sorted((ROOT / "migrations").rglob("*.py")), ROOT / "shared/db.py", ROOT / "requirements.txt"]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.relative_to(ROOT)}\0".encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:20]
