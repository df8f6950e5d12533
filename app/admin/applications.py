"""Network applications: create, set scopes, regenerate credentials, delete."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app import one_time_secrets
from app.accounts.identity import admin_required
from app.admin.forms import ApplicationForm, ScopesForm
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.oauth.forms import SignInSettingsForm
from app.templating import form_page, secret_page
from shared import peer_keys
from shared.db import reading
from shared.models import Application
from shared.models.credentials import Credentials
from shared.services import application_requests, applications
from shared.services.oauth import clients

bp = Blueprint("admin_applications", __name__, url_prefix="/admin/applications")


@bp.get("")
@admin_required
def index() -> ResponseReturnValue:
    """List all applications by name."""
    with actor_reading() as (session, actor):
        return render_template(
            "admin/applications.html",
            applications=applications.list_applications(session),
            requests=application_requests.list_open_requests(session, actor),
        )


@bp.route("/new", methods=["GET", "POST"])
@admin_required
def new() -> ResponseReturnValue:
    """Create an application. Its page shows the secret once."""
    form = ApplicationForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                application, credentials = applications.create_application(
                    session,
                    actor,
                    name=form.name.data or "",
                    short_name=form.short_name.data or "",
                    scopes=form.scopes(),
                )
            flash(f"{application.name} has been created.", "success")
            return _with_secret(application, credentials, status=201)
    return form_page("admin/application_new.html", form)


@bp.get("/<short_name>")
@admin_required
def show(short_name: str) -> ResponseReturnValue:
    """Show an application and its credentials."""
    with reading() as session:
        application = applications.get_application(session, short_name)
    return secret_page(_page(application, one_time_secrets.take(peer_keys.of_application(application.id))))


@bp.post("/<short_name>/scopes")
@admin_required
def set_scopes(short_name: str) -> ResponseReturnValue:
    """Set the scopes of an application. They apply to its sockets at once."""
    form = ScopesForm()
    with actor_transaction() as (session, actor):
        form.merge(form.values_of(applications.get_application(session, short_name)))
        application = applications.set_scopes(session, actor, short_name=short_name, scopes=form.scopes())
    flash(f"The scopes of {application.name} have been saved and are in effect.", "success")
    return redirect(url_for(".show", short_name=application.short_name), 303)


@bp.route("/<short_name>/sign-in", methods=["GET", "POST"])
@admin_required
def sign_in(short_name: str) -> ResponseReturnValue:
    """Set where people return to after they have signed in to an application."""
    with reading() as session:
        application = applications.get_application(session, short_name)
    form = SignInSettingsForm.of(application)
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                form.merge(form.values_of(applications.get_application(session, short_name)))
                clients.update_application(session, actor, short_name=short_name, settings=form.settings())
            flash(f"Signing in to {application.name} has been saved.", "success")
            return redirect(url_for(".show", short_name=application.short_name), 303)
    return form_page(
        "oauth/settings.html",
        form,
        client=application,
        is_game=False,
        back=url_for(".show", short_name=application.short_name),
    )


@bp.post("/<short_name>/regenerate")
@admin_required
def regenerate(short_name: str) -> ResponseReturnValue:
    """Create new credentials. The old ones stop working at once, and sockets that used them close."""
    with actor_transaction() as (session, actor):
        credentials = applications.regenerate_credentials(session, actor, short_name=short_name)
        application = applications.get_application(session, short_name)
    flash("The credentials have been regenerated. The old ones no longer work.", "success")
    return _with_secret(application, credentials)


@bp.post("/<short_name>/delete")
@admin_required
def delete(short_name: str) -> ResponseReturnValue:
    """Delete an application."""
    with actor_transaction() as (session, actor):
        applications.delete_application(session, actor, short_name=short_name)
    flash("The application has been deleted.", "success")
    return redirect(url_for(".index"), 303)


def _with_secret(application: Application, credentials: Credentials, *, status: int = 200) -> ResponseReturnValue:
    """Redirect to the application's page, which shows the secret once. While Redis is down, return that page itself."""
    if one_time_secrets.keep(peer_keys.of_application(application.id), credentials.client_secret):
        return redirect(url_for(".show", short_name=application.short_name), 303)
    return secret_page(_page(application, credentials.client_secret), status)


def _page(application: Application, client_secret: str | None) -> str:
    form = ScopesForm(formdata=None, data=ScopesForm.values_of(application))
    return render_template("admin/application.html", application=application, client_secret=client_secret, form=form)
