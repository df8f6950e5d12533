"""Internal notes about players, games and site users, and deleting notes."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.forms import sentence
from app.moderation.forms import NoteForm
from shared.services.moderation import notes, targets

bp = Blueprint("notes", __name__, url_prefix="/notes")
_PAGES = {"player": ("player", "name"), "game": ("game", "short_name"), "user": ("user", "username")}
"""The endpoint of a target's record, and its argument."""


@bp.post("")
def add() -> ResponseReturnValue:
    """Add a note about the target that the form names, and return to its record."""
    form = NoteForm()
    kind, name = request.form.get("target_kind", ""), request.form.get("target", "")[:100]
    with actor_reading() as (session, _actor):
        target = targets.parse(session, kind if kind in _PAGES else "player", name)
    if form.validate_on_submit():
        with errors_on(form), actor_transaction() as (session, actor):
            notes.add_note(session, actor, about=target.id, text=form.text.data or "")
    problems = [*form.form_errors, *form.text.errors]
    flash(sentence(str(problems[0])) if problems else "The note was added.", "notice" if problems else "success")
    endpoint, argument = _PAGES[target.kind]
    values: dict[str, Any] = {argument: target.name}
    return redirect(url_for(f"moderation.records.{endpoint}", _anchor="notes", **values), 303)


@bp.post("/<id:note_id>/delete")
def delete(note_id: int) -> ResponseReturnValue:
    """Delete a note, and return to where it was shown."""
    with actor_transaction() as (session, actor):
        about = notes.delete_note(session, actor, note_id=note_id).about
    flash("The note was deleted.", "success")
    kind, _, number = about.partition(":")
    if kind == "report":
        return redirect(url_for("moderation.reports.show", report_id=int(number)), 303)
    return redirect(url_for("moderation.records.index"), 303)
