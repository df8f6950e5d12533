"""What the site does with somebody who is banned of everything: they may sign in, read, look after what is theirs, and
appeal. Every page with a form is closed to them but those named here, so that a new one is closed without anybody
thinking of it. What they say in chat, their sockets' workers refuse.
"""

from __future__ import annotations

from flask import Flask, make_response, render_template, request
from flask.typing import ResponseReturnValue

from app.accounts.identity import viewer_id
from shared.db import reading
from shared.services.moderation import sanctions

OPEN_BLUEPRINTS = frozenset(["accounts", "account", "links", "standing", "ignores", "mutes"])
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


def init_app(app: Flask) -> None:
    """Ask before each request for a page with a form."""
    app.before_request(refuse_banned)


def is_open(endpoint: str) -> bool:
    """True if the banned may use this page's form."""
    return endpoint in OPEN_ENDPOINTS or endpoint.partition(".")[0] in OPEN_BLUEPRINTS


def refuse_banned() -> ResponseReturnValue | None:
    """403, with the ban, its reason and its end, where somebody is banned and may not be."""
    rule = request.url_rule
    if rule is None or "POST" not in (rule.methods or ()) or is_open(rule.endpoint):
        return None
    user_id = viewer_id()
    if user_id is None:
        return None
    with reading() as session:
        ban = sanctions.find_site_ban(session, user_id)
    return None if ban is None else make_response(render_template("standing/banned.html", sanction=ban), 403)
