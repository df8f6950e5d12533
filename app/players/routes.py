"""Profiles."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.accounts.identity import viewer_id
from app.online import online_players
from shared.db import reading
from shared.services import profiles

bp = Blueprint("players", __name__, url_prefix="/players")


@bp.get("/<username>")
def show(username: str) -> ResponseReturnValue:
    """Who somebody is in which game."""
    online = online_players()
    with reading() as session:
        profile = profiles.get_profile(session, username=username, viewer_id=viewer_id(), online=online)
        return render_template("players/show.html", profile=profile, user=profile.user)
