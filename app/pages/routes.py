"""Home, conduct."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from shared.db import reading
from shared.services import channels, games

bp = Blueprint("pages", __name__)
SHOWN_GAMES = 6


@bp.get("/")
def home() -> ResponseReturnValue:
    """What this is, and what is on it."""
    with reading() as session:
        return render_template(
            "pages/home.html",
            page=games.list_public_games(session, page=1, per_page=SHOWN_GAMES),
            channels=channels.list_public_channels(session),
        )


@bp.get("/conduct")
def conduct() -> ResponseReturnValue:
    """How people behave here."""
    return render_template("pages/conduct.html")


@bp.get("/favicon.ico")
def favicon() -> ResponseReturnValue:
    """Where browsers look that do not read the page's link to its icon."""
    return redirect(url_for("static", filename="favicon.svg"), 301)
