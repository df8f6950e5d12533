"""The signed-in person's characters; the page asks every two seconds whether something changed."""

from __future__ import annotations

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from app.current_actor import actor_transaction
from app.templating import secret_page
from shared.db import reading
from shared.services import accounts, characters

bp = Blueprint("characters", __name__, url_prefix="/manage/characters")


@bp.get("")
@login_required
def index() -> ResponseReturnValue:
    """The key, what to type in a game, and who was claimed so far."""
    with reading() as session:
        user = accounts.get_account(session, current_user.id)
        own = characters.list_characters_of(session, user.id)
        mark = characters.state_mark(user, own)
        return secret_page(render_template("characters/index.html", user=user, characters=own, mark=mark))


@bp.get("/live")
def live() -> ResponseReturnValue:
    """The part of the page that changes: 304 while it is as the asker has it, 401 once the session ended."""
    if not current_user.is_authenticated:
        return Response(status=401)
    with reading() as session:
        user = accounts.get_account(session, current_user.id)
        own = characters.list_characters_of(session, user.id)
        mark = characters.state_mark(user, own)
        if request.if_none_match.contains(mark):
            response = Response(status=304)
        else:
            response = secret_page(render_template("characters/live.html", user=user, characters=own))
    response.set_etag(mark)
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.post("/<int:character_id>/approve")
@login_required
def approve(character_id: int) -> ResponseReturnValue:
    """Say that a character is one's own."""
    with actor_transaction() as (session, actor):
        character = characters.approve_character(session, actor, character_id=character_id)
    flash(f"{character.name} is yours, and on your profile.", "success")
    return redirect(url_for(".index"), 303)


@bp.post("/<int:character_id>/deny")
@login_required
def deny(character_id: int) -> ResponseReturnValue:
    """Refuse a character that waits."""
    with actor_transaction() as (session, actor):
        character = characters.deny_character(session, actor, character_id=character_id)
    flash(f"{character.name} is refused. The name is free again.", "success")
    return redirect(url_for(".index"), 303)


@bp.post("/<int:character_id>/delete")
@login_required
def delete(character_id: int) -> ResponseReturnValue:
    """Remove a character."""
    with actor_transaction() as (session, actor):
        character = characters.delete_character(session, actor, character_id=character_id)
    flash(f"{character.name} is removed. The name is free again.", "success")
    return redirect(url_for(".index"), 303)


@bp.post("/key")
@login_required
def replace_key() -> ResponseReturnValue:
    """Make a new key, for who showed the old one to somebody."""
    with actor_transaction() as (session, actor):
        accounts.replace_registration_key(session, actor)
    flash("Your key is new. The old one registers nothing.", "success")
    return redirect(url_for(".index"), 303)
