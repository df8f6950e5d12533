"""Browsers that have signed in to an account before. Failed attempts by strangers do not lock them out.

A signed cookie lists the logins that succeeded in this browser. It is separate from the session, survives signing out,
and gives no access.
"""

from __future__ import annotations

from flask import Flask, Response, after_this_request, current_app, g, request
from itsdangerous import BadData, URLSafeTimedSerializer

from shared.models import User
from shared.services import validation

COOKIE = "gossip_known"
SECONDS = 365 * 24 * 3600
ACCOUNTS = 5


def login_key(login: str) -> str:
    """Return the same key for all spellings of a login that the forms and services treat as equal."""
    return validation.address_key(login.replace("\0", ""))[:254]


def remember(user: User) -> None:
    """Add the account to this browser's cookie."""
    # An unverified address may belong to somebody else.
    logins = [user.username.lower(), *([login_key(user.email)] if user.is_verified else [])]
    logins += [key for key in _known_logins() if key not in logins]
    value = _serializer().dumps(logins[: 2 * ACCOUNTS])

    @after_this_request
    def set_cookie(response: Response) -> Response:
        response.set_cookie(
            COOKIE,
            value,
            max_age=SECONDS,
            httponly=True,
            secure=bool(current_app.config["SESSION_COOKIE_SECURE"]),
            samesite="Lax",
        )
        return response


def knows(login: str) -> bool:
    """Return whether this browser has signed in with this login before."""
    return login_key(login) in _known_logins()


def _known_logins() -> list[str]:
    if "known_logins" not in g:
        try:
            value = _serializer().loads(request.cookies.get(COOKIE, ""), max_age=SECONDS)
        except BadData:
            value = []
        g.known_logins = [key for key in value if isinstance(key, str)] if isinstance(value, list) else []
    logins: list[str] = g.known_logins
    return logins


def _serializer() -> URLSafeTimedSerializer:
    app: Flask = current_app
    return URLSafeTimedSerializer(str(app.secret_key), salt="known-browser")
