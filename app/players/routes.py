"""Profiles of users."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.current_actor import actor_reading
from app.online import online_players
from shared.services import profiles

bp = Blueprint("players", __name__, url_prefix="/players")


@bp.get("/<username>")
def show(username: str) -> ResponseReturnValue:
    """Show a user's profile: their characters in each game."""
    online = online_players()
    with actor_reading() as (session, actor):
        profile = profiles.get_profile(session, actor, username=username, online=online)
        return render_template("players/show.html", profile=profile, user=profile.user)
