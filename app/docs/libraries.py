"""The Python libraries to install from this very network: `pip install <site>/docs/libraries/gossip-client.zip`.

So every owner gets the version that the network was tested with, whether or not a package index has it.
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
WHEN = (1980, 1, 1, 0, 0, 0)  # the same for every process and start, so that caches know it for the same


@bp.get("/<name>.zip")
def archive(name: str) -> ResponseReturnValue:
    """A library's source, as pip installs it."""
    if name not in NAMES or not (FOLDER / name).is_dir():
        abort(404)
    return public_file(source_of(name), "application/zip")


@cache
def source_of(name: str) -> bytes:
    """The files that make the package, in a zip with one folder, as source archives are."""
    library = FOLDER / name
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        for path in sorted(path for part in PARTS for path in library.glob(part)):
            entry = zipfile.ZipInfo(f"{name}/{path.relative_to(library).as_posix()}", WHEN)
            files.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()
