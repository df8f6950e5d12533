"""New games as an Atom feed (RFC 4287)."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, render_template

from shared.db import reading
from shared.services import game_lists
from shared.settings import Settings

bp = Blueprint("feed", __name__, url_prefix="/games")
NEWEST = 30
CACHE_SECONDS = 600


@bp.get("/feed.atom")
def newest() -> Response:
    """Return the most recently registered games that are displayed."""
    settings: Settings = current_app.extensions["settings"]
    with reading() as session:
        body = render_template(
            "games/feed.xml",
            games=game_lists.list_newest_games(session, limit=NEWEST),
            authority=urlsplit(settings.public_url).hostname,
        )
    response = Response(body, mimetype="application/atom+xml")
    response.headers["Cache-Control"] = f"public, max-age={CACHE_SECONDS}"
    return response
