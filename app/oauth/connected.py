"""Account, Connected games: what each game may see, and taking that back."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.accounts.identity import login_required
from app.current_actor import actor_reading, actor_transaction
from shared.services.oauth import grants

bp = Blueprint("connected", __name__, url_prefix="/account/connected")


@bp.get("")
@login_required
def index() -> ResponseReturnValue:
    """List the games and applications that the person signs in to."""
    with actor_reading() as (session, actor):
        return render_template("oauth/connected.html", grants=grants.list_grants(session, actor))


@bp.post("/<id:grant_id>/remove")
@login_required
def remove(grant_id: int) -> ResponseReturnValue:
    """Remove one. It cannot see anything any more."""
    with actor_transaction() as (session, actor):
        client = grants.remove_grant(session, actor, grant_id=grant_id)
    flash(f"{client.name} is no longer connected to your account.", "success")
    return redirect(url_for(".index"), 303)
