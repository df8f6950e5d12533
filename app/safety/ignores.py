"""The players that a user ignores."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.identity import login_required
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.safety.forms import IgnoreForm
from app.templating import form_page
from shared.services.moderation import ignores

bp = Blueprint("ignores", __name__, url_prefix="/account/ignores")


@bp.route("", methods=["GET", "POST"])
@login_required
def index() -> ResponseReturnValue:
    """List the viewer's ignores, and add one."""
    form = IgnoreForm()
    if form.validate_on_submit():
        with errors_on(form, names=("pattern", "target")):
            with actor_transaction() as (session, actor):
                ignore = ignores.add_ignore(
                    session, actor, pattern=form.pattern.data or "", is_person=form.is_person.data
                )
                name = ignores.name_of(session, ignore)
            flash(f"You now ignore {name}.", "success")
            return redirect(url_for(".index"), 303)
    with actor_reading() as (session, _actor):
        named = [
            (ignore, ignores.name_of(session, ignore)) for ignore in ignores.list_ignores(session, current_user.id)
        ]
        return form_page("safety/ignores.html", form, ignores=named)


@bp.post("/<id:ignore_id>/delete")
@login_required
def delete(ignore_id: int) -> ResponseReturnValue:
    """Stop ignoring."""
    with actor_transaction() as (session, actor):
        name = ignores.name_of(session, ignores.delete_ignore(session, actor, ignore_id=ignore_id))
    flash(f"You no longer ignore {name}.", "success")
    return redirect(url_for(".index"), 303)
