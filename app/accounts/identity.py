"""Who is signed in. Each request that asks reads the account from the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import ParamSpec, cast

from flask import Flask, abort, current_app, flash, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user, login_user
from flask_login import login_required as flask_login_required
from sqlalchemy.exc import SQLAlchemyError

from app import known_browsers
from app.occasional_log import log_failure
from shared.db import reading, transaction, utc_now
from shared.errors import Conflict
from shared.models import User
from shared.services import accounts, sessions, users
from shared.services.authority.actors import Role
from shared.services.authority.permissions import RULES, Act

P = ParamSpec("P")
RETURN_AFTER = timedelta(days=1)
"""An account that is used this long after it was registered counts as returned."""
RENEWED_KEY = "renewed"
SIGNED_IN_KEY = "signed_in_at"


class SignedIn(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """The signed-in account. Its cookie holds the session token, so a new token on the account ends all sessions.

    Attributes:
        session_number: Identifies this one session. Empty in cookies from before sessions had numbers.
    """

    def __init__(self, user: User, session_number: str) -> None:
        self.id = user.id
        self.username = user.username
        self.email = user.email
        self.is_verified = user.is_verified
        self.role = user.role
        self.session_token = user.session_token
        self.session_number = session_number

    @property
    def is_admin(self) -> bool:
        """Whether the account may open the admin pages."""
        return self.role == "admin"

    @property
    def is_moderator(self) -> bool:
        """Whether the account may open the moderators' pages."""
        return Role(self.role) in RULES[Act.SEE]

    def get_id(self) -> str:
        """Return the text that the session cookie stores for this account."""
        return f"{self.id}:{self.session_token}:{self.session_number}"


def init_app(app: Flask) -> None:
    """Tell Flask-Login how to load an account and where to send visitors who must sign in."""
    manager = LoginManager()
    # Its own context processor would load the account for every page, even for the error page of a lost database.
    manager.init_app(app, add_context_processor=False)
    app.context_processor(lambda: {"current_user": current_user})
    manager.session_protection = "basic"
    manager.user_loader(load)
    manager.unauthorized_handler(ask_to_sign_in)


def load(cookie_id: str) -> SignedIn | None:
    """Return the account for a cookie; None if the account is deleted or the session has ended."""
    user_id, token, session_number = [*cookie_id.split(":"), "", ""][:3]
    if not user_id.isdecimal():
        return None
    with reading() as database:
        user = users.find_user(database, int(user_id))
        has_ended = bool(sessions.list_ended(database, [session_number]))
    if user is None or user.session_token != token or has_ended:
        session.pop("_user_id", None)  # do not write the ended session into a new cookie
        return None
    if utc_now() - user.created_at > RETURN_AFTER:
        note_return(user)
    renew_session()
    return SignedIn(user, session_number)


def note_return(user: User) -> None:
    """Store that the person came back after registering. Happens once per account. If it fails, the next page tries."""
    if user.returned_at is not None:
        return
    try:
        with transaction() as database:
            accounts.note_return(database, user_id=user.id, at=utc_now())
    except (SQLAlchemyError, Conflict) as error:
        log_failure(current_app, "could not store that an account returned", error)


def renew_session() -> None:
    """Extend a session in use, once a day."""
    today = utc_now().date().isoformat()
    if session.get(RENEWED_KEY) != today:
        session[RENEWED_KEY] = today


def ask_to_sign_in() -> ResponseReturnValue:
    """Redirect to the sign-in page, which leads back to the requested page if that was a GET."""
    flash("Please sign in first.", "notice")
    target = request.script_root + request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("accounts.sign_in", next=target), 303)


def start_session(user: User) -> None:
    """Sign an account in with a new session. Nothing of the old one is kept, not even its CSRF token."""
    session.clear()
    session.permanent = True
    session[SIGNED_IN_KEY] = int(utc_now().timestamp())
    renew_session()
    login_user(SignedIn(user, sessions.new_number()))
    known_browsers.remember(user)


def signed_in_at() -> datetime | None:
    """Return when the person proved who they are. None in sessions from before this was noted."""
    moment = session.get(SIGNED_IN_KEY)
    return None if moment is None else datetime.fromtimestamp(moment, UTC)


def keep_session(user: User) -> None:
    """Keep this browser signed in while all other sessions of the account end."""
    login_user(SignedIn(user, sessions.new_number()))


def end_session() -> None:
    """End this session, here and in every copy of its cookie. Its open chats close."""
    user_id, number = viewer_id(), getattr(current_user, "session_number", "")
    session.clear()
    if user_id is not None and number:
        try:
            with transaction() as database:
                sessions.end(database, number, user_id=user_id)
        except SQLAlchemyError as error:
            log_failure(current_app, "could not store that a session has ended", error)
            flash(
                "You are signed out in this browser. Copies of the session elsewhere may stay active for now.", "notice"
            )
            return
    flash("You are signed out.", "success")


def login_required(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Restrict a view to signed-in users: Flask-Login's decorator, with types."""
    return cast(Callable[P, ResponseReturnValue], flask_login_required(view))


def admin_required(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Restrict a view to admins. Others get 403, signed-out visitors the sign-in page."""

    @wraps(view)
    @login_required
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        if not current_user.is_admin:
            abort(403)
        return view(*args, **kwargs)

    return guarded


def viewer_id() -> int | None:
    """Return the id of the signed-in account; None for a visitor."""
    return current_user.id if current_user.is_authenticated else None
