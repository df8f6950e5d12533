"""Links in mails: signed, good for a while, and for one use (the mark in them is that of the account as it was)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import current_app, url_for
from itsdangerous import BadData, URLSafeTimedSerializer

from shared.models import User
from shared.services import accounts
from shared.settings import Settings

HOUR = 3600


@dataclass(frozen=True)
class Purpose:
    """What a link is for. endpoint: the page it opens, which is given the token; lifetime: as people are told."""

    name: str
    endpoint: str
    seconds: int
    lifetime: str


VERIFY = Purpose("verify", "links.verify", 7 * 24 * HOUR, "a week")
CHANGE_EMAIL = Purpose("change-email", "links.change_email", 24 * HOUR, "a day")
RESET = Purpose("reset", "links.reset", 2 * HOUR, "two hours")


@dataclass(frozen=True)
class Link:
    """What a link says: for which account, to which address it was sent, and how the account was."""

    user_id: int
    email: str
    mark: str


def make_link(purpose: Purpose, user: User, *, email: str | None = None) -> str:
    """A full address on this site. Never built from the request's Host, which anyone can make up."""
    token = _serializer(purpose).dumps([user.id, email or user.email, accounts.mark_of(user)])
    settings: Settings = current_app.extensions["settings"]
    return settings.public_url + url_for(purpose.endpoint, token=token)


def read_link(purpose: Purpose, token: str) -> Link:
    """What a token says. Raises LinkUsed if it is damaged, too old, or not for this."""
    try:
        found: Any = _serializer(purpose).loads(token, max_age=purpose.seconds)
        user_id, email, mark = found
        return Link(int(user_id), str(email), str(mark))
    except (BadData, ValueError, TypeError):
        raise accounts.LinkUsed("this link is too old, or was cut short on its way") from None


def _serializer(purpose: Purpose) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt=f"link:{purpose.name}")
