"""Find the programs of other projects that tests run: databases, a browser, proxies and monitoring."""

from __future__ import annotations

import glob
import os
import shutil
from pathlib import Path

MARIADB_PROGRAMS = ("mariadbd", "mariadb-install-db", "my_print_defaults")
OPERATING_PROGRAMS = ("nginx", "caddy", "haproxy", "promtool", "pg_dump", "pg_restore", "systemd-analyze")
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin")
_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def missing_programs() -> dict[str, str]:
    """Return why tests with a marker cannot run here, by the name of the marker."""
    missing = {}
    if not os.environ.get("TEST_DATABASE_URL", "").strip() and find_postgres() is None:
        missing["postgres"] = "no PostgreSQL here (initdb, postgres; or set TEST_DATABASE_URL)"
    if not all(find_program(name) for name in MARIADB_PROGRAMS):
        missing["mariadb"] = f"no MariaDB here ({', '.join(MARIADB_PROGRAMS)})"
    if not all(find_program(name) for name in OPERATING_PROGRAMS):
        missing["operating"] = f"not all of these are here: {', '.join(OPERATING_PROGRAMS)}"
    if find_chromium() is None:
        missing["browser"] = "no Chromium here (or name it with CHROMIUM)"
    return missing


def find_postgres() -> Path | None:
    """Return the folder of `initdb` and `postgres`: the one on the PATH, else Debian's newest."""
    candidates = []
    if initdb := shutil.which("initdb"):
        candidates.append(Path(initdb).parent)
    debian_folders = [Path(path) for path in glob.glob("/usr/lib/postgresql/*/bin")]
    candidates += sorted(debian_folders, key=lambda folder: float(folder.parent.name), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


def find_program(name: str) -> str | None:
    """Return the path of a program. Servers are often not on a user's PATH."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_SYSTEM_FOLDERS))


def find_chromium() -> str | None:
    """Return the program named by CHROMIUM, else the first known name on the PATH."""
    if chosen := os.environ.get("CHROMIUM", "").strip():
        return chosen
    return next((path for name in _CHROMIUM_NAMES if (path := shutil.which(name))), None)
