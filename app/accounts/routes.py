"""Registering, signing in, signing out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded

from app import limits
from app.accounts import mails
from app.accounts.forms import RegisterForm, SignInForm
from app.accounts.identity import end_session, note_return, start_session
from app.errors import add_error, errors_on, limited_form
from app.security import is_local_path
from app.templating import form_page
from shared.db import reading, transaction
from shared.errors import InvalidCredentials
from shared.models import User
from shared.services import characters, games, users
from shared.services.authority.actors import Role
from shared.services.authority.permissions import RULES, Act

bp = Blueprint("accounts", __name__)


@bp.route("/register", methods=["GET", "POST"])
def register() -> ResponseReturnValue:
    """Create an account and sign it in. The response is the same whether or not another account has the address."""
    form = RegisterForm()
    if form.validate_on_submit():
        with errors_on(form):
            with transaction() as database:
                user = users.sign_up(
                    database,
                    username=form.username.data or "",
                    email=form.email.data or "",
                    password=form.password.data or "",
                )
            with reading() as database:
                mail = mails.verification(database, user)
            start_session(user)
            flash(f"Welcome, {user.username}. Your account is ready, and you are signed in.", "success")
            if not mails.send_if_possible(mail):
                flash(
                    "The mail to your address could not be sent. Your account is ready: request the mail again later.",
                    "notice",
                )
            return redirect(_next_page("account.welcome"), 303)
    return form_page("accounts/register.html", form)


@bp.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    """Start a session, then go to the page that required it."""
    form = SignInForm()
    if form.validate_on_submit():
        try:
            with errors_on(form):
                with reading() as database:
                    user = users.authenticate_user(
                        database, login=form.login.data or "", password=form.password.data or "", **_guess_limits()
                    )
                return _signed_in(user)
        except InvalidCredentials as error:
            add_error(form, error)
    return form_page("accounts/sign_in.html", form)


def _guess_limits() -> dict[str, Callable[[User], Any]]:
    guesses = limits.guesses()
    return {} if guesses is None else {"is_open": guesses.are_allowed, "count_failure": guesses.count}


def _signed_in(user: User) -> ResponseReturnValue:
    note_return(user)
    start_session(user)
    flash(f"You are signed in as {user.username}.", "success")
    return redirect(_next_page(_start_page(user)), 303)


@bp.errorhandler(RateLimitExceeded)
def rate_limited(error: RateLimitExceeded) -> ResponseReturnValue:
    """Show the form again with a hint when to retry."""
    if request.endpoint == f"{bp.name}.{register.__name__}":
        return limited_form(error, RegisterForm(), "accounts/register.html")
    return limited_form(error, SignInForm(), "accounts/sign_in.html")


@bp.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End this session."""
    end_session()
    return redirect(url_for("pages.home"), 303)


def _start_page(user: User) -> str:
    """Return the page that this user most likely wants to see."""
    with reading() as database:
        if games.list_games_of(database, user.id):
            return "manage.index"
        if Role(user.role) in RULES[Act.SEE]:
            return "moderation.overview.index"
        return "characters.index" if characters.list_characters_of(database, user.id) else "pages.home"


def _next_page(default: str) -> str:
    target = request.args.get("next", "")
    return target if is_local_path(target) else url_for(default)
