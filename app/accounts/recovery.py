"""Resetting a password, and the pages that links in mails open."""

from __future__ import annotations

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app import known_browsers
from app.accounts import mails
from app.accounts.forms import ResetForm, ResetRequestForm
from app.accounts.identity import keep_session
from app.accounts.links import CHANGE_EMAIL, RESET, VERIFY, Link, Purpose, read_link
from app.errors import add_error, errors_on
from app.forms import sentence
from app.templating import form_page
from shared.db import reading, transaction
from shared.errors import Conflict
from shared.mail import MailUnavailable
from shared.services import accounts

bp = Blueprint("links", __name__)


@bp.after_request
def keep_private(response: Response) -> Response:
    """Keep these pages out of caches, since their addresses hold a token."""
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.route("/reset", methods=["GET", "POST"])
def request_reset() -> ResponseReturnValue:
    """Request a reset link by mail. The response is the same for every address."""
    form = ResetRequestForm()
    if form.validate_on_submit():
        email = form.email.data or ""
        with reading() as session:
            mail = mails.reset(session, email)
        try:
            mails.send(mail)
        except MailUnavailable as error:
            add_error(form, error)
            return render_template("accounts/reset_request.html", form=form), 503
        return render_template("accounts/reset_sent.html", email=email)
    return form_page("accounts/reset_request.html", form)


@bp.route("/reset/<token>", methods=["GET", "POST"])
def reset(token: str) -> ResponseReturnValue:
    """Choose a new password, with the link from the mail."""
    form = ResetForm()
    try:
        link = read_link(RESET, token)
        with reading() as session:
            user = accounts.get_linked(session, user_id=link.user_id, mark=link.mark)
        if form.validate_on_submit():
            with errors_on(form):
                with transaction() as session:
                    user = accounts.reset_password(
                        session, user_id=link.user_id, email=link.email, mark=link.mark, new=form.password.data or ""
                    )
                mails.send_if_possible(mails.password_changed(user))
                known_browsers.remember(user)  # so that failed attempts by strangers do not lock the owner out
                flash(
                    "Your password has been changed, and you are signed out everywhere. Sign in with the new password.",
                    "success",
                )
                return redirect(url_for("accounts.sign_in"), 303)
    except accounts.LinkUsed as error:
        return _unusable_link(error, again=url_for(".request_reset"))
    return form_page("accounts/reset.html", form, user=user)


@bp.route("/account/verify/<token>", methods=["GET", "POST"])
def verify(token: str) -> ResponseReturnValue:
    """Verify an address: at once in a browser that is signed in, with a button in any other."""
    return _verify(VERIFY, token)


@bp.route("/account/email/<token>", methods=["GET", "POST"])
def change_email(token: str) -> ResponseReturnValue:
    """Change to the address that the mail was sent to."""
    return _verify(CHANGE_EMAIL, token)


def _verify(purpose: Purpose, token: str) -> ResponseReturnValue:
    """Follow a link that verifies an address.

    A signed-out browser must confirm with a button, because mail scanners open links but press no buttons.
    """
    try:
        link = read_link(purpose, token)
        with reading() as session:
            before = accounts.get_linked(session, user_id=link.user_id, mark=link.mark, email=link.email)
        if before.is_verified and before.email == link.email:
            flash(f"{before.email} is already verified for the account {before.username}.", "notice")
            return redirect(url_for("account.show" if _is_signed_in_as(link) else "accounts.sign_in"), 303)
        if request.method != "POST" and not _is_signed_in_as(link):
            return render_template("accounts/verify.html", user=before, email=link.email)
        with transaction() as session:
            user = accounts.verify_email(session, user_id=link.user_id, email=link.email, mark=link.mark)
    except (accounts.LinkUsed, Conflict) as error:
        return _unusable_link(error, again=url_for("account.show"))
    if before.is_verified and before.address_key != user.address_key:
        mails.send_if_possible(mails.email_changed(user, before.email))
    flash(f"{user.email} is now verified for the account {user.username}.", "success")
    if _is_signed_in_as(link):
        keep_session(user)
        return redirect(url_for("account.show"), 303)
    return redirect(url_for("accounts.sign_in"), 303)


def _is_signed_in_as(link: Link) -> bool:
    return bool(current_user.is_authenticated) and current_user.id == link.user_id


def _unusable_link(error: accounts.LinkUsed | Conflict, *, again: str) -> ResponseReturnValue:
    status = 409 if isinstance(error, Conflict) else 404
    return render_template("accounts/link_used.html", reason=sentence(error.message), again=again), status
