"""An author's requests for network applications, and the credentials of those that were approved."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app import one_time_secrets
from app.accounts.identity import login_required
from app.applications.forms import RequestForm
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.templating import form_page, secret_page
from shared.services import application_requests

bp = Blueprint("applications", __name__, url_prefix="/account/applications")


@bp.get("")
@login_required
def index() -> ResponseReturnValue:
    """List the author's requests, with credentials that have just been made."""
    with actor_reading() as (session, actor):
        requests = application_requests.list_own_requests(session, actor)
        secrets = {request.id: one_time_secrets.take(_subject(request.id)) for request in requests}
        return secret_page(render_template("applications/index.html", requests=requests, secrets=secrets))


@bp.route("/new", methods=["GET", "POST"])
@login_required
def new() -> ResponseReturnValue:
    """Ask for an application."""
    form = RequestForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                application_requests.create_request(
                    session,
                    actor,
                    name=form.name.data or "",
                    short_name=form.short_name.data or "",
                    purpose=form.purpose.data or "",
                )
            flash("Your request has been sent. An admin will decide, and the answer will appear here.", "success")
            return redirect(url_for(".index"), 303)
    return form_page("applications/new.html", form)


@bp.post("/<int:request_id>/withdraw")
@login_required
def withdraw(request_id: int) -> ResponseReturnValue:
    """Withdraw a request that is not decided yet."""
    with actor_transaction() as (session, actor):
        application_requests.withdraw_request(session, actor, request_id=request_id)
    flash("The request has been withdrawn.", "success")
    return redirect(url_for(".index"), 303)


@bp.post("/<int:request_id>/credentials")
@login_required
def credentials(request_id: int) -> ResponseReturnValue:
    """Make credentials for an approved application, and show the secret once."""
    with actor_transaction() as (session, actor):
        request, made = application_requests.make_credentials(session, actor, request_id=request_id)
    flash("New credentials have been made. Earlier ones no longer work.", "success")
    if one_time_secrets.keep(_subject(request_id), made.client_secret):
        return redirect(url_for(".index"), 303)
    with actor_reading() as (session, actor):
        requests = application_requests.list_own_requests(session, actor)
        page = render_template("applications/index.html", requests=requests, secrets={request.id: made.client_secret})
    return secret_page(page)


def _subject(request_id: int) -> str:
    return f"application-request:{request_id}"
