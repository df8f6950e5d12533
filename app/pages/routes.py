"""The home page and the rules of conduct."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.online import online_now
from app.pages.live import messages_today
from app.templating import fixed_page
from shared.db import reading, utc_now
from shared.services import channels, game_lists

bp = Blueprint("pages", __name__)
SHOWN_GAMES = 6
SHOWN_CHANNELS = 24


@bp.get("/")
def home() -> ResponseReturnValue:
    """Show what the network is, and what is happening on it now."""
    now = online_now()
    with reading() as session:
        ids = game_lists.find_public_ids(session, now.games)
        return render_template(
            "pages/home.html",
            online=now.games,
            games_total=game_lists.count_public_games(session),
            games_online=len(ids),
            players_online=now.count_players(ids),
            messages_today=messages_today(session, now=utc_now()),
            picked=game_lists.pick_game(session, ids),
            games=game_lists.list_newest_games(session, limit=SHOWN_GAMES),
            channels=channels.list_public_channels(session),
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
