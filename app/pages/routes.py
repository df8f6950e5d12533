"""The home page and the rules of conduct."""

from __future__ import annotations

import random

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.games.overview import read_overview
from app.online import online_now
from app.pages.live import messages_today
from app.templating import fixed_page
from shared.db import reading, utc_now

bp = Blueprint("pages", __name__)
SHOWN_CHANNELS = 24


@bp.get("/")
def home() -> ResponseReturnValue:
    """Show what the network is, and what is happening on it now."""
    now = online_now()
    with reading() as session:
        overview = read_overview(session, now)
        previous = request.args.get("not", "").lower()
        others = [game for game in overview.picked if game.short_name.lower() != previous]
        return render_template(
            "pages/home.html",
            online=now.games,
            games_total=len(overview.ids),
            games_online=len(overview.online),
            players_online=overview.players_online,
            messages_today=messages_today(session, now=utc_now()),
            picked=random.choice(others or overview.picked) if overview.picked else None,
            can_pick_another=len(overview.picked) > 1,
            games=overview.public.newest,
            channels=overview.channels,
            channels_shown=SHOWN_CHANNELS,
        )


@bp.get("/conduct")
def conduct() -> ResponseReturnValue:
    """Show the rules of conduct."""
    return fixed_page("pages/conduct.html")


@bp.get("/favicon.ico")
def favicon() -> ResponseReturnValue:
    """Redirect browsers that ignore the page's link to its icon."""
    return redirect(url_for("static", filename="favicon.svg"), 301)
