"""The signed-in user's characters. The page polls for changes every two seconds."""

from __future__ import annotations

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.identity import login_required
from app.current_actor import actor_transaction
from app.templating import secret_page
from shared.db import reading
from shared.services import accounts, characters

bp = Blueprint("characters", __name__, url_prefix="/manage/characters")


@bp.get("")
@login_required
def index() -> ResponseReturnValue:
    """Show the key, what to type in a game, and the characters claimed so far."""
    with reading() as session:
        user = accounts.get_account(session, current_user.id)
        claimed = characters.list_characters_of(session, user.id)
        mark = characters.state_mark(user, claimed)
        return secret_page(render_template("characters/index.html", user=user, characters=claimed, mark=mark))


@bp.get("/live")
def live() -> ResponseReturnValue:
    """Return the part of the page that changes; 304 if it is unchanged, 401 if the session has ended."""
    if not current_user.is_authenticated:
        return Response(status=401)
    with reading() as session:
        user = accounts.get_account(session, current_user.id)
        claimed = characters.list_characters_of(session, user.id)
        mark = characters.state_mark(user, claimed)
        if request.if_none_match.contains(mark):
            response = Response(status=304)
        else:
            response = secret_page(render_template("characters/live.html", user=user, characters=claimed))
    response.set_etag(mark)
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.post("/<int:character_id>/approve")
@login_required
def approve(character_id: int) -> ResponseReturnValue:
    """Approve a character."""
    with actor_transaction() as (session, actor):
        character = characters.approve_character(session, actor, character_id=character_id)
    flash(f"{character.name} is yours and now appears on your profile.", "success")
    return redirect(url_for(".index"), 303)


@bp.post("/<int:character_id>/deny")
@login_required
def deny(character_id: int) -> ResponseReturnValue:
    """Deny a pending character."""
    with actor_transaction() as (session, actor):
        character = characters.deny_character(session, actor, character_id=character_id)
    flash(f"{character.name} has been denied. The name is free again.", "success")
    return redirect(url_for(".index"), 303)


@bp.post("/<int:character_id>/delete")
@login_required
def delete(character_id: int) -> ResponseReturnValue:
    """Remove a character."""
    with actor_transaction() as (session, actor):
        character = characters.delete_character(session, actor, character_id=character_id)
    flash(f"{character.name} has been removed. The name is free again.", "success")
    return redirect(url_for(".index"), 303)


@bp.post("/key")
@login_required
def replace_key() -> ResponseReturnValue:
    """Replace the key, for example after somebody else saw it."""
    with actor_transaction() as (session, actor):
        accounts.replace_registration_key(session, actor)
    flash("Your key has been replaced. The old one no longer works.", "success")
    return redirect(url_for(".index"), 303)
