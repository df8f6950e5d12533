"""Filters: list, edit, switch on and off, delete, and test on recent messages."""

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
    """List all filters, active ones first."""
    with actor_reading() as (session, _actor):
        return render_template("moderation/filters.html", filters=filters.list_filters(session))


@bp.route("/new", methods=["GET", "POST"])
def new() -> ResponseReturnValue:
    """Create a filter, or test one without saving it. A new filter is off."""
    form = FilterForm()
    if form.validate_on_submit():
        if form.try_it.data:
            return _preview(form, None)
        with errors_on(form):
            with actor_transaction() as (session, actor):
                created = filters.create_filter(session, actor, **form.values(), note=form.note.data or "")
            flash("The filter has been created, but is still off. Switch it on when it works as intended.", "success")
            return redirect(url_for(".show", filter_id=created.id), 303)
    return form_page("moderation/filter.html", form, filter=None, preview=None)


@bp.route("/<id:filter_id>", methods=["GET", "POST"])
def show(filter_id: int) -> ResponseReturnValue:
    """Change a filter, or test the changes without saving them."""
    with actor_reading() as (session, _actor):
        saved = filters.get_filter(session, filter_id)
    form = FilterForm(data=FilterForm.values_of(saved))
    if form.validate_on_submit():
        if form.try_it.data:
            return _preview(form, saved)
        with errors_on(form):
            with actor_transaction() as (session, actor):
                form.merge(form.values_of(filters.get_filter(session, filter_id)))
                filters.update_filter(session, actor, filter_id=filter_id, **form.values(), note=form.note.data or "")
            flash("The filter has been saved.", "success")
            return redirect(url_for(".show", filter_id=filter_id), 303)
    return form_page("moderation/filter.html", form, filter=saved, preview=None)


@bp.post("/<id:filter_id>/on")
def switch_on(filter_id: int) -> ResponseReturnValue:
    """Apply the filter to new messages from now on."""
    return _switch(filter_id, True)


@bp.post("/<id:filter_id>/off")
def switch_off(filter_id: int) -> ResponseReturnValue:
    """Stop applying the filter."""
    return _switch(filter_id, False)


@bp.post("/<id:filter_id>/delete")
def delete(filter_id: int) -> ResponseReturnValue:
    """Delete the filter. The audit trail keeps its definition."""
    with actor_transaction() as (session, actor):
        filters.delete_filter(session, actor, filter_id=filter_id)
    flash("The filter has been deleted.", "success")
    return redirect(url_for(".index"), 303)


def _switch(filter_id: int, is_on: bool) -> ResponseReturnValue:
    with actor_transaction() as (session, actor):
        filters.switch_filter(session, actor, filter_id=filter_id, is_on=is_on)
    flash(f"The filter is now {'on' if is_on else 'off'}.", "success")
    return redirect(url_for(".index"), 303)


def _preview(form: FilterForm, saved: Filter | None) -> ResponseReturnValue:
    """Return the form with what the filter would have done to recent messages. Saves nothing."""
    with actor_reading() as (session, actor):
        preview = None
        with errors_on(form):
            examined, hits = filters.preview(session, actor, **form.values())
            preview = {
                "examined": examined,
                "total": len(hits),
                "hits": hits[:SHOWN_HITS],
                "names": records.channel_names(session, [hit.message for hit in hits[:SHOWN_HITS]]),
            }
        page = render_template("moderation/filter.html", form=form, filter=saved, preview=preview)
    return page, 200 if preview is not None else 422
