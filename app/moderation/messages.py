"""The history: search it, show a message in its context, redact a message."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.arguments import page_number
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.moderation.forms import ReasonForm, SearchForm
from app.templating import form_page
from shared.services.moderation import messages, records

bp = Blueprint("messages", __name__, url_prefix="/messages")
PER_PAGE = 50


@bp.get("")
def index() -> ResponseReturnValue:
    """List messages that match the search, newest first."""
    form = SearchForm(formdata=request.args)
    form.validate()
    with actor_reading() as (session, actor):
        page = messages.search(session, actor, **form.criteria(), page=page_number(), per_page=PER_PAGE)
        return render_template(
            "moderation/messages.html",
            form=form,
            page=page,
            most=messages.MATCHES_AT_MOST,
            names=records.channel_names(session, page.items),
            is_search=any(field.data for field in form),
        )


@bp.get("/<id:message_id>")
def show(message_id: int) -> ResponseReturnValue:
    """Show a message with its context and reports. This is its permanent address."""
    return _page(message_id, ReasonForm())


@bp.post("/<id:message_id>/redact")
def redact(message_id: int) -> ResponseReturnValue:
    """Delete the text of a message."""
    form = ReasonForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                messages.redact(session, actor, message_id=message_id, reason=form.reason.data or "")
            flash("The text has been permanently deleted. The redaction is in the audit trail.", "success")
            return redirect(url_for(".show", message_id=message_id), 303)
    return _page(message_id, form)


def _page(message_id: int, form: ReasonForm) -> ResponseReturnValue:
    with actor_reading() as (session, actor):
        around = messages.context(session, actor, message_id=message_id)
        return form_page(
            "moderation/message.html",
            form,
            message=next(message for message in around if message.id == message_id),
            around=around,
            names=records.channel_names(session, around),
            reports=records.list_reports_of_message(session, actor, message_id),
        )
