"""The addresses of JavaScript modules, which import each other by relative paths.

A module's address contains a digest of all modules, so browsers may keep it for a year, and the modules that it imports
have the same digest. No build step writes versions into them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Blueprint, Flask, Response, send_from_directory, url_for

FOLDER = Path(__file__).parent / "static" / "modules"


def init_app(app: Flask) -> None:
    """Serve the modules, and let templates link to them with `module(name)` and `modules(folder)`."""
    paths = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js"))
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.encode() + b"\0" + (FOLDER / path).read_bytes())
    mark = digest.hexdigest()[:10]
    bp = Blueprint("modules", __name__)

    @bp.get("/static/modules/<digest>/<path:name>")
    def serve(digest: str, name: str) -> Response:
        """Return a module. A page of another version of the site gets this one's, but must ask again next time."""
        response = send_from_directory(FOLDER, name, mimetype="text/javascript")
        if digest != mark:
            response.headers["Cache-Control"] = "no-cache"
        return response

    app.register_blueprint(bp)
    app.add_template_global(lambda name: url_for("modules.serve", digest=mark, name=name), "module")
    app.add_template_global(lambda folder: [path for path in paths if path.startswith(f"{folder}/")], "modules")
