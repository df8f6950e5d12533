"""Account settings: address, password, privacy, sessions, deletion."""

from __future__ import annotations

from datetime import datetime
from typing import IO

from flask import Blueprint, flash, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts import mails
from app.accounts.forms import ChangeEmailForm, ChangePasswordForm, DeleteAccountForm, PrivacyForm
from app.accounts.identity import keep_session, login_required
from app.archives import send_archive
from app.current_actor import actor_reading, actor_transaction, current_actor
from app.errors import add_error, errors_on
from app.templating import form_page
from shared import validation
from shared.db import reading, transaction
from shared.errors import Forbidden
from shared.mail import MailUnavailable
from shared.services import accounts, characters, games
from shared.services.exports import person
from shared.services.moderation import sanctions

bp = Blueprint("account", __name__, url_prefix="/account")


@bp.get("")
@login_required
def show() -> ResponseReturnValue:
    """Show all settings and the sanctions in force."""
    with reading() as database:
        user = accounts.get_account(database, current_user.id)
        in_force = [item for item in sanctions.list_of_user(database, user.id) if item.state == "in force"]
        form = PrivacyForm(data=PrivacyForm.values_of(user))
        return render_template(
            "accounts/show.html",
            user=user,
            form=form,
            sanctions=in_force,
            for_admins=sanctions.for_admins_alone(database, in_force),
        )


@bp.get("/welcome")
@login_required
def welcome() -> ResponseReturnValue:
    """Show a new account what to do next."""
    return render_template("accounts/welcome.html")


@bp.post("/verify")
@login_required
def send_verification() -> ResponseReturnValue:
    """Send the verification mail again."""
    if current_user.is_verified:
        flash("Your address is already verified.", "notice")
        return redirect(url_for(".show"), 303)
    if not current_user.email:
        flash("Your account has no email address yet. Set one first.", "notice")
        return redirect(url_for(".change_email"), 303)
    with reading() as database:
        mail = mails.verification(database, accounts.get_account(database, current_user.id))
    if mails.send_if_possible(mail):
        flash(f"A mail is on its way to {current_user.email}.", "success")
    else:
        flash("The mail could not be sent because our mail server did not accept it. Please try again later.", "notice")
    return redirect(url_for(".show"), 303)


@bp.route("/email", methods=["GET", "POST"])
@login_required
def change_email() -> ResponseReturnValue:
    """Request a change of address. The link in a mail to the new address completes it."""
    with reading() as database:
        form = ChangeEmailForm(data={"email": accounts.get_account(database, current_user.id).pending_email})
    if form.validate_on_submit():
        try:
            with errors_on(form):
                with actor_transaction() as (database, actor):
                    user = accounts.ask_for_email(
                        database,
                        actor,
                        password=form.current_password.data or "",
                        email=form.email.data or "",
                    )
                with reading() as database:
                    mail = mails.change_of_email(database, user)
                mails.send(mail)
                if user.is_verified and validation.address_key(user.pending_email or "") != user.address_key:
                    mails.send_if_possible(mails.email_change_asked(user))
                flash(f"A mail is on its way to {mail.to}. Follow its link to confirm the address.", "success")
                return redirect(url_for(".show"), 303)
        except Forbidden as error:
            add_error(form, error)
        except MailUnavailable as error:
            with actor_transaction() as (database, actor):
                accounts.cancel_email(database, actor)
            add_error(form, error)
            return render_template("accounts/change_email.html", form=form), 503
    return form_page("accounts/change_email.html", form)


@bp.post("/email/cancel")
@login_required
def cancel_email() -> ResponseReturnValue:
    """Cancel the change of address."""
    with actor_transaction() as (database, actor):
        accounts.cancel_email(database, actor)
    flash("Your address stays as it is. The link in our mail no longer works.", "success")
    return redirect(url_for(".show"), 303)


@bp.route("/password", methods=["GET", "POST"])
@login_required
def change_password() -> ResponseReturnValue:
    """Change the password. Every other session ends."""
    form = ChangePasswordForm()
    if form.validate_on_submit():
        try:
            with errors_on(form):
                actor = current_actor()
                with transaction() as database:
                    user = accounts.change_password(
                        database,
                        actor,
                        current=form.current_password.data or "",
                        new=form.password.data or "",
                    )
                keep_session(user)
                mails.send_if_possible(mails.password_changed(user))
                flash("Your password has been changed. You are signed out everywhere else.", "success")
                return redirect(url_for(".show"), 303)
        except Forbidden as error:
            add_error(form, error)
    return form_page("accounts/change_password.html", form)


@bp.post("/privacy")
@login_required
def set_privacy() -> ResponseReturnValue:
    """Set what others can see."""
    form = PrivacyForm()
    with actor_transaction() as (database, actor):
        form.merge(form.values_of(accounts.get_account(database, actor.require_account())))
        accounts.set_privacy(
            database,
            actor,
            is_profile_hidden=form.hide_profile.data,
            is_online_hidden=form.hide_online.data,
        )
    flash("Your privacy settings have been saved.", "success")
    return redirect(url_for(".show"), 303)


@bp.post("/sessions")
@login_required
def end_sessions() -> ResponseReturnValue:
    """End all other sessions."""
    with actor_transaction() as (database, actor):
        user = accounts.end_sessions(database, actor)
    keep_session(user)
    flash("You are signed out everywhere else.", "success")
    return redirect(url_for(".show"), 303)


@bp.post("/export")
@login_required
def export() -> ResponseReturnValue:
    """Send everything that is stored about the account as a zip file."""

    def write(file: IO[bytes], now: datetime) -> str:
        with actor_reading() as (database, actor):
            return person.export_person(database, actor, file, now=now).username

    return send_archive(write)


@bp.route("/delete", methods=["GET", "POST"])
@login_required
def delete() -> ResponseReturnValue:
    """Explain what deleting the account means, then delete it."""
    form = DeleteAccountForm()
    if form.validate_on_submit():
        try:
            with errors_on(form):
                with actor_transaction() as (database, actor):
                    accounts.delete_account(database, actor, password=form.current_password.data or "")
                session.clear()
                flash("Your account has been deleted.", "success")
                return redirect(url_for("pages.home"), 303)
        except Forbidden as error:
            add_error(form, error)
    with reading() as database:
        return form_page(
            "accounts/delete.html",
            form,
            games=games.list_games_of(database, current_user.id),
            characters=characters.list_characters_of(database, current_user.id),
        )
