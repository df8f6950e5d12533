"""Profiles of users, the form that fills one's own, and favourite games."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.accounts.forms import ProfileForm
from app.accounts.identity import login_required
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.online import online_players
from app.templating import form_page
from shared.services import accounts, profile_details, profiles

bp = Blueprint("players", __name__)


@bp.get("/players/<username>")
def show(username: str) -> ResponseReturnValue:
    """Show a user's profile: their characters in each game."""
    online = online_players()
    with actor_reading() as (session, actor):
        profile = profiles.get_profile(session, actor, username=username, online=online)
        return render_template("players/show.html", profile=profile, user=profile.user)


@bp.route("/account/profile", methods=["GET", "POST"])
@login_required
def edit() -> ResponseReturnValue:
    """Edit one's own profile."""
    with actor_reading() as (session, actor):
        user = accounts.get_account(session, actor.require_account())
        form = ProfileForm(data=ProfileForm.values_of(profile_details.get_details(session, user)))
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                current = accounts.get_account(session, actor.require_account())
                form.merge(form.values_of(profile_details.get_details(session, current)))
                username = profile_details.set_details(session, actor, form.details()).username
            flash("Your profile has been saved.", "success")
            return redirect(url_for(".show", username=username), 303)
    return form_page("players/edit.html", form)


@bp.post("/games/<short_name>/favourite")
@login_required
def add_favourite(short_name: str) -> ResponseReturnValue:
    """Add a game to the viewer's favourites."""
    with actor_transaction() as (session, actor):
        game = profile_details.add_favourite(session, actor, short_name=short_name)
    flash(f"{game.name} is one of your favourites. Your profile shows it.", "success")
    return redirect(url_for("games.show", short_name=game.short_name), 303)


@bp.post("/games/<short_name>/unfavourite")
@login_required
def remove_favourite(short_name: str) -> ResponseReturnValue:
    """Remove a game from the viewer's favourites."""
    with actor_transaction() as (session, actor):
        game = profile_details.remove_favourite(session, actor, short_name=short_name)
    flash(f"{game.name} is no longer one of your favourites.", "success")
    return redirect(url_for(".show", username=actor.name), 303)
