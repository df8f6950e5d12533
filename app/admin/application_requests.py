"""Requests for network applications, for an admin to decide."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, url_for
from flask.typing import ResponseReturnValue

from app.accounts.identity import admin_required
from app.accounts.mails import application_decided, send_if_possible
from app.admin.forms import DecideForm
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.templating import form_page
from shared.services import application_requests

bp = Blueprint("admin_application_requests", __name__, url_prefix="/admin/applications/requests")


@bp.route("/<int:request_id>", methods=["GET", "POST"])
@admin_required
def show(request_id: int) -> ResponseReturnValue:
    """Show a request, and decide it. The author gets a mail if their address is verified."""
    form = DecideForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                request = application_requests.decide_request(
                    session,
                    actor,
                    request_id=request_id,
                    is_approved=form.decision.data == "approve",
                    answer=form.answer.data or "",
                )
                mail = application_decided(request) if request.user.is_verified else None
            if mail is not None:
                send_if_possible(mail)
            flash(f"The request for {request.name} is {request.state}.", "success")
            return redirect(url_for("admin_applications.index"), 303)
    with actor_reading() as (session, actor):
        wanted = application_requests.get_request(session, actor, request_id)
        return form_page("admin/application_request.html", form, wanted=wanted)
