"""What the site does with somebody who is banned of everything: they may sign in, read, look after what is theirs, and
appeal. From a banned address nobody may register either. Every page with a form is closed to them but those named here,
so that a new one is closed without anybody thinking of it. What they say in chat, their sockets' workers refuse.
"""

from __future__ import annotations

from flask import Flask, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_limiter.util import get_remote_address

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
        "manage.regenerate",
    ]
)
"""Signing in and out, one's account, appeals; and what makes things less, or safe."""


REGISTER = "accounts.register"


def init_app(app: Flask) -> None:
    """Ask before each request for a page with a form."""
    app.before_request(refuse_banned)


def is_open(endpoint: str) -> bool:
    """True if the banned may use this page's form."""
    return endpoint in OPEN_ENDPOINTS or endpoint.partition(".")[0] in OPEN_BLUEPRINTS


def refuse_banned() -> ResponseReturnValue | None:
    """403, with the ban, its reason and its end, where somebody is banned and may not be."""
    rule = request.url_rule
    if rule is None or "POST" not in (rule.methods or ()):
        return None
    if is_open(rule.endpoint) and rule.endpoint != REGISTER:
        return None
    user_id = viewer_id()
    with reading() as session:
        ban = None if user_id is None else sanctions.find_site_ban(session, user_id)
        ban = ban or sanctions.find_address_ban(session, get_remote_address())
    return None if ban is None else make_response(render_template("safety/banned.html", sanction=ban), 403)
