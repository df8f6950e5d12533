"""The sanctions against a user or their games, and appeals."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.identity import login_required
from app.arguments import number_argument
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.safety.forms import AppealForm
from app.templating import form_page
from shared.errors import NotFound
from shared.models.moderation import Sanction
from shared.services import games
from shared.services.moderation import appeals, sanctions

bp = Blueprint("safety", __name__)


@bp.get("/account/sanctions")
@login_required
def own() -> ResponseReturnValue:
    """List the sanctions against the viewer's account, name on the site, and characters."""
    with actor_reading() as (session, _actor):
        own_sanctions = sanctions.list_of_user(session, current_user.id)
        return render_template(
            "safety/own.html",
            sanctions=own_sanctions,
            for_admins=sanctions.for_admins_alone(session, _in_force(own_sanctions)),
            appeals={appeal.sanction_id: appeal for appeal in appeals.list_appeals_of(session, current_user.id)},
        )


@bp.get("/manage/games/<short_name>/sanctions")
@login_required
def of_game(short_name: str) -> ResponseReturnValue:
    """List the sanctions against a game and its players."""
    with actor_reading() as (session, actor):
        game = games.get_own_game(session, actor, short_name=short_name)
        game_sanctions = sanctions.list_of_game(session, game.id)
        return render_template(
            "safety/game.html",
            game=game,
            sanctions=game_sanctions,
            for_admins=sanctions.for_admins_alone(session, _in_force(game_sanctions)),
            appeals={appeal.sanction_id: appeal for appeal in appeals.list_appeals_of(session, current_user.id)},
        )


@bp.route("/appeals/new", methods=["GET", "POST"])
@login_required
def appeal() -> ResponseReturnValue:
    """Appeal the sanction in the query (`?sanction=3`)."""
    sanction_id = number_argument("sanction")
    if sanction_id is None:
        raise NotFound("there is no such sanction")
    with actor_reading() as (session, _actor):
        sanction = sanctions.get_sanction(session, sanction_id)
        if not sanctions.concerns(session, sanction, current_user.id):
            raise NotFound("there is no such sanction")
    form = AppealForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                appeals.create_appeal(session, actor, sanction_id=sanction_id, text=form.text.data or "")
            flash(
                "Your appeal has been sent. It will be decided by someone who did not impose the sanction.", "success"
            )
            return redirect(url_for(".appealed"), 303)
    return form_page("safety/appeal.html", form, sanction=sanction)


@bp.get("/account/appeals")
@login_required
def appealed() -> ResponseReturnValue:
    """List the viewer's appeals and their outcomes."""
    with actor_reading() as (session, _actor):
        return render_template("safety/appeals.html", appeals=appeals.list_appeals_of(session, current_user.id))


def _in_force(all_sanctions: list[Sanction]) -> list[Sanction]:
    return [sanction for sanction in all_sanctions if sanction.state == "in force"]
