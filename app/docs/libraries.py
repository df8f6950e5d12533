"""The Python libraries, to install from the site: `pip install <site>/docs/libraries/gossip-client.zip`.

Owners get the version that this network was tested with, whether or not a package index has it.
"""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path

from flask import Blueprint, abort
from flask.typing import ResponseReturnValue

from app.docs.files import public_file

bp = Blueprint("libraries", __name__, url_prefix="/docs/libraries")

FOLDER = Path(__file__).resolve().parent.parent.parent / "libraries"
NAMES = ("gossip-client", "gossip-backbone")
PARTS = ("pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "src/**/*.py", "src/**/py.typed", "examples/*.py")
FILE_TIME = (1980, 1, 1, 0, 0, 0)
"""The time of every file in an archive. It is constant, so that every process makes the same archive and ETag."""


@bp.get("/<name>.zip")
def archive(name: str) -> ResponseReturnValue:
    """Return the source archive of a library, which pip can install."""
    if name not in NAMES or not (FOLDER / name).is_dir():
        abort(404)
    return public_file(source_archive(name), "application/zip")


@cache
def source_archive(name: str) -> bytes:
    """Return a zip of the files that make up the package, in one top-level folder."""
    library = FOLDER / name
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        for path in sorted(path for part in PARTS for path in library.glob(part)):
            entry = zipfile.ZipInfo(f"{name}/{path.relative_to(library).as_posix()}", FILE_TIME)
            files.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()
