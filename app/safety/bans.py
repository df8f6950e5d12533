"""What banned users can do on the site: sign in, read, manage what is theirs, and appeal.

Every form is closed to them unless it is listed here, so a new form is closed by default. Nobody can register from a
banned address. Bans of addresses do not stop signed-in moderators and admins, who could not lift them otherwise. The
workers refuse what banned users say in chat.
"""

from __future__ import annotations

from flask import Flask, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_limiter.util import get_remote_address
from flask_login import current_user

from app.accounts.identity import viewer_id
from shared.db import reading
from shared.services.moderation import sanctions

OPEN_BLUEPRINTS = frozenset(["accounts", "account", "links", "safety", "ignores", "mutes"])
OPEN_ENDPOINTS = frozenset(
    [
        "characters.delete",
        "characters.deny",
        "characters.replace_key",
        "connections.delete",
        "manage.delete",
        "manage.export",
        "manage.regenerate",
    ]
)
"""Forms that only remove things, keep them safe, or let people take their data along. (The blueprints above are for
signing in, accounts and appeals.)"""

REGISTER = "accounts.register"


def init_app(app: Flask) -> None:
    """Check each request to a page with a form."""
    app.before_request(refuse_banned)


def is_open(endpoint: str) -> bool:
    """Return whether banned users may use this page's form."""
    return endpoint in OPEN_ENDPOINTS or endpoint.partition(".")[0] in OPEN_BLUEPRINTS


def refuse_banned() -> ResponseReturnValue | None:
    """Return 403 with the ban, its reason and its end if a banned user opens a closed page; otherwise None."""
    rule = request.url_rule
    if rule is None or "POST" not in (rule.methods or ()):
        return None
    if is_open(rule.endpoint) and rule.endpoint != REGISTER:
        return None
    user_id = viewer_id()
    with reading() as session:
        ban = None if user_id is None else sanctions.find_site_ban(session, user_id)
        if ban is None and not (current_user.is_authenticated and current_user.is_moderator):
            ban = sanctions.find_address_ban(session, get_remote_address())
    return None if ban is None else make_response(render_template("safety/banned.html", sanction=ban), 403)
