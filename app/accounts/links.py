"""Signed links in mails. Each expires, and works once: its mark matches only the account's state when it was made."""

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
    """What a link is for.

    Attributes:
        endpoint: The view that the link opens. It takes the token.
        lifetime: `seconds` in words, for the mail.
    """

    name: str
    endpoint: str
    seconds: int
    lifetime: str


VERIFY = Purpose("verify", "links.verify", 7 * 24 * HOUR, "a week")
CHANGE_EMAIL = Purpose("change-email", "links.change_email", 24 * HOUR, "a day")
RESET = Purpose("reset", "links.reset", 2 * HOUR, "two hours")


@dataclass(frozen=True)
class Link:
    """The content of a link.

    Attributes:
        email: The address that the link was sent to.
        mark: The state of the account when the link was made, see `accounts.mark_of`.
    """

    user_id: int
    email: str
    mark: str


def make_link(purpose: Purpose, user: User, *, email: str | None = None) -> str:
    """Return a full address on this site. It is not built from the Host header, which clients can forge."""
    token = _serializer(purpose).dumps([user.id, email or user.email, accounts.mark_of(user)])
    settings: Settings = current_app.extensions["settings"]
    return settings.public_origin + url_for(purpose.endpoint, token=token)


def read_link(purpose: Purpose, token: str) -> Link:
    """Return the content of a token.

    Raises:
        LinkUsed: The token is damaged, expired, or for another purpose.
    """
    try:
        content: Any = _serializer(purpose).loads(token, max_age=purpose.seconds)
        user_id, email, mark = content
        return Link(int(user_id), str(email), str(mark))
    except (BadData, ValueError, TypeError):
        raise accounts.LinkUsed("this link has expired or is incomplete") from None


def _serializer(purpose: Purpose) -> URLSafeTimedSerializer:
    settings: Settings = current_app.extensions["settings"]
    return URLSafeTimedSerializer(settings.signing_keys, salt=f"link:{purpose.name}")
