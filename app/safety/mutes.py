"""The players and games that a game mutes, managed by its owner."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, url_for
from flask.typing import ResponseReturnValue

from app.accounts.identity import login_required
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.safety.forms import PatternForm
from app.templating import form_page
from shared.services import games
from shared.services.moderation import game_mutes

bp = Blueprint("mutes", __name__, url_prefix="/manage")


@bp.route("/games/<short_name>/mutes", methods=["GET", "POST"])
@login_required
def index(short_name: str) -> ResponseReturnValue:
    """List the mutes of a game, and add one."""
    with actor_reading() as (session, actor):
        game = games.get_own_game(session, actor, short_name=short_name)
        mutes = game_mutes.list_mutes(session, game.id)
    form = PatternForm()
    if form.validate_on_submit():
        with errors_on(form, names=("pattern",)):
            with actor_transaction() as (session, actor):
                mute = game_mutes.add_mute(session, actor, short_name=short_name, pattern=form.pattern.data or "")
            flash(f"{game.name} now mutes {mute.pattern}.", "success")
            return redirect(url_for(".index", short_name=game.short_name), 303)
    return form_page("safety/mutes.html", form, game=game, mutes=mutes)


@bp.post("/mutes/<id:mute_id>/delete")
@login_required
def delete(mute_id: int) -> ResponseReturnValue:
    """Remove a mute."""
    with actor_transaction() as (session, actor):
        mute = game_mutes.delete_mute(session, actor, mute_id=mute_id)
        short_name, pattern = mute.game.short_name, mute.pattern
    flash(f"Your game no longer mutes {pattern}.", "success")
    return redirect(url_for(".index", short_name=short_name), 303)
