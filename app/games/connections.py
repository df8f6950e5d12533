"""The owner's forms for ways to connect: how players reach a game."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, url_for
from flask.typing import ResponseReturnValue

from app.accounts.identity import login_required
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.games.forms import ConnectionForm
from app.templating import form_page
from shared.services import games

bp = Blueprint("connections", __name__, url_prefix="/manage")


@bp.route("/games/<short_name>/connections", methods=["GET", "POST"])
@login_required
def new(short_name: str) -> ResponseReturnValue:
    """Add a way to connect."""
    with actor_reading() as (session, actor):
        game = games.get_own_game(session, actor, short_name=short_name)
    form = ConnectionForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                games.add_connection(session, actor, short_name=short_name, **form.way())
            flash("The way to connect has been added.", "success")
            return redirect(url_for("manage.show", short_name=game.short_name), 303)
    return form_page("games/connection.html", form, game=game, connection=None)


@bp.route("/connections/<connection_id>", methods=["GET", "POST"])
@login_required
def edit(connection_id: str) -> ResponseReturnValue:
    """Change a way to connect."""
    with actor_reading() as (session, actor):
        connection = games.get_own_connection(session, actor, connection_id=connection_id)
        game = connection.game
    form = ConnectionForm(data=ConnectionForm.values_of(connection))
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                current = games.get_own_connection(session, actor, connection_id=connection_id)
                form.merge(form.values_of(current))
                games.update_connection(session, actor, connection_id=connection_id, **form.way())
            flash("The way to connect has been saved.", "success")
            return redirect(url_for("manage.show", short_name=game.short_name), 303)
    return form_page("games/connection.html", form, game=game, connection=connection)


@bp.post("/connections/<connection_id>/delete")
@login_required
def delete(connection_id: str) -> ResponseReturnValue:
    """Delete a way to connect."""
    with actor_transaction() as (session, actor):
        game = games.delete_connection(session, actor, connection_id=connection_id)
    flash("The way to connect has been removed.", "success")
    return redirect(url_for("manage.show", short_name=game.short_name), 303)


@bp.post("/games/<short_name>/check")
@login_required
def check(short_name: str) -> ResponseReturnValue:
    """Ask a worker to check all ways to connect to a game now."""
    with actor_transaction() as (session, actor):
        count = games.check_connections(session, actor, short_name=short_name)
        total = len(games.get_own_game(session, actor, short_name=short_name).connections)
    if 0 < count < total:
        flash(
            f"{count} of your {total} ways to connect {'is' if count == 1 else 'are'} being checked."
            " The others must wait: your games had too many checks within an hour.",
            "notice",
        )
    elif count:
        flash("Your ways to connect are being checked. The results will appear below in a moment.", "success")
    else:
        flash("There is nothing to check yet. Add a way to connect first.", "notice")
    return redirect(url_for("manage.show", short_name=short_name, _anchor="ways"), 303)
