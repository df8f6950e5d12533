"""Filters: list, edit, switch, delete, and try on what was said last."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.moderation.forms import FilterForm
from app.templating import form_page
from shared.models.moderation import Filter
from shared.services.moderation import filters, records

bp = Blueprint("filters", __name__, url_prefix="/filters")
SHOWN_HITS = 100


@bp.get("")
def index() -> ResponseReturnValue:
    """All filters, those that are on first."""
    with actor_reading() as (session, _actor):
        return render_template("moderation/filters.html", filters=filters.list_filters(session))


@bp.route("/new", methods=["GET", "POST"])
def new() -> ResponseReturnValue:
    """Make a filter, or try one; it is off until it is switched on."""
    form = FilterForm()
    if form.validate_on_submit():
        if form.try_it.data:
            return _tried(form, None)
        with errors_on(form):
            with actor_transaction() as (session, actor):
                made = filters.create_filter(session, actor, **form.values(), note=form.note.data or "")
            flash("The filter is made. It is off: switch it on when it does what it should.", "success")
            return redirect(url_for(".show", filter_id=made.id), 303)
    return form_page("moderation/filter.html", form, filter=None, tried=None)


@bp.route("/<id:filter_id>", methods=["GET", "POST"])
def show(filter_id: int) -> ResponseReturnValue:
    """Change a filter, or try it changed."""
    with actor_reading() as (session, _actor):
        found = filters.get_filter(session, filter_id)
    form = FilterForm(
        data={
            "kind": found.kind,
            "action": found.action,
            "text": found.text,
            "count": found.count if found.kind not in ("word", "pattern") else None,
            "seconds": found.seconds or None,
            "note": found.note,
        }
    )
    if form.validate_on_submit():
        if form.try_it.data:
            return _tried(form, found)
        with errors_on(form):
            with actor_transaction() as (session, actor):
                filters.update_filter(session, actor, filter_id=filter_id, **form.values(), note=form.note.data or "")
            flash("The filter is saved.", "success")
            return redirect(url_for(".show", filter_id=filter_id), 303)
    return form_page("moderation/filter.html", form, filter=found, tried=None)


@bp.post("/<id:filter_id>/on")
def switch_on(filter_id: int) -> ResponseReturnValue:
    """Let it work on what is said from now on."""
    return _switch(filter_id, True)


@bp.post("/<id:filter_id>/off")
def switch_off(filter_id: int) -> ResponseReturnValue:
    """Let it rest."""
    return _switch(filter_id, False)


@bp.post("/<id:filter_id>/delete")
def delete(filter_id: int) -> ResponseReturnValue:
    """Delete it; the audit trail keeps what it was."""
    with actor_transaction() as (session, actor):
        filters.delete_filter(session, actor, filter_id=filter_id)
    flash("The filter is deleted.", "success")
    return redirect(url_for(".index"), 303)


def _switch(filter_id: int, is_on: bool) -> ResponseReturnValue:
    with actor_transaction() as (session, actor):
        filters.switch_filter(session, actor, filter_id=filter_id, is_on=is_on)
    flash(f"The filter is {'on, everywhere and at once' if is_on else 'off'}.", "success")
    return redirect(url_for(".index"), 303)


def _tried(form: FilterForm, found: Filter | None) -> ResponseReturnValue:
    """The form as it was sent, with what the filter would have done. Nothing is saved."""
    with actor_reading() as (session, actor):
        tried = None
        with errors_on(form):
            looked_at, hits = filters.preview(session, actor, **form.values())
            tried = {
                "looked_at": looked_at,
                "total": len(hits),
                "hits": hits[:SHOWN_HITS],
                "names": records.channel_names(session, [hit.message for hit in hits[:SHOWN_HITS]]),
            }
        page = render_template("moderation/filter.html", form=form, filter=found, tried=tried)
    return page, 200 if tried is not None else 422
