"""Browsers that an account signed in with before. What strangers try against the account does not keep them out.

A signed cookie of its own, apart from the session: it outlives signing out, opens nothing, and says only which logins
were right here once.
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
    """What all spellings of a login have in common, as the forms and the services read it."""
    return validation.address_key(login.replace("\0", ""))[:254]


def remember(user: User) -> None:
    """Note in the answer to this request that the account's person uses this browser."""
    # An address that nobody proved may be somebody else's.
    own = [user.username.lower(), *([login_key(user.email)] if user.is_verified else [])]
    known = [*own, *(key for key in _known() if key not in own)][: 2 * ACCOUNTS]
    value = _serializer().dumps(known)

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
    """True if this browser has signed in with this login before."""
    return login_key(login) in _known()


def _known() -> list[str]:
    if "known_logins" not in g:
        try:
            found = _serializer().loads(request.cookies.get(COOKIE, ""), max_age=SECONDS)
        except BadData:
            found = []
        g.known_logins = [key for key in found if isinstance(key, str)] if isinstance(found, list) else []
    known: list[str] = g.known_logins
    return known


def _serializer() -> URLSafeTimedSerializer:
    app: Flask = current_app
    return URLSafeTimedSerializer(str(app.secret_key), salt="known-browser")
