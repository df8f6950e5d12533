"""Browsers that have signed in to an account before. Failed attempts by strangers do not lock them out.

A signed cookie lists the logins that succeeded in this browser, as digests that only the site can compute, so a copy of
it names no email address. It is separate from the session, survives signing out, and gives no access.
"""

from __future__ import annotations

import hmac

from flask import Response, after_this_request, current_app, g, request
from itsdangerous import BadData, URLSafeTimedSerializer

from shared import validation
from shared.models import User
from shared.settings import Settings

COOKIE = "gossip_known"
SECONDS = 365 * 24 * 3600
ACCOUNTS = 5


def login_key(login: str) -> str:
    """Return the same key for all spellings of a login that the forms and services treat as equal."""
    return validation.address_key(login.replace("\0", ""))[:254]


def remember(user: User) -> None:
    """Add the account to this browser's cookie."""
    # An unverified address may belong to somebody else.
    logins = [user.username, *([user.email] if user.is_verified else [])]
    *fallbacks, key = _signing_keys()
    marks = [_mark(login, key) for login in logins]
    replaced = {*marks, *(_mark(login, fallback) for login in logins for fallback in fallbacks)}
    marks += [mark for mark in _known_marks() if mark not in replaced]
    value = _serializer().dumps(marks[: 2 * ACCOUNTS])

    @after_this_request
    def set_cookie(response: Response) -> Response:
        response.set_cookie(
            COOKIE,
            value,
            max_age=SECONDS,
            path=str(current_app.config["SESSION_COOKIE_PATH"] or "/"),
            httponly=True,
            secure=bool(current_app.config["SESSION_COOKIE_SECURE"]),
            samesite="Lax",
        )
        return response


def knows(login: str) -> bool:
    """Return whether this browser has signed in with this login before."""
    return any(_mark(login, key) in _known_marks() for key in _signing_keys())


def _mark(login: str, key: str) -> str:
    return hmac.new(key.encode(), f"known-login:{login_key(login)}".encode(), "sha256").hexdigest()[:32]


def _known_marks() -> list[str]:
    if "known_marks" not in g:
        try:
            value = _serializer().loads(request.cookies.get(COOKIE, ""), max_age=SECONDS)
        except BadData:
            value = []
        g.known_marks = [mark for mark in value if isinstance(mark, str)] if isinstance(value, list) else []
    marks: list[str] = g.known_marks
    return marks


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(_signing_keys(), salt="known-logins")


def _signing_keys() -> list[str]:
    settings: Settings = current_app.extensions["settings"]
    return settings.signing_keys
