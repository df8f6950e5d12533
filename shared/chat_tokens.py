"""The token with which a page signs in at a worker's socket for browsers. Source: docs/browser-chat.md.

The site makes it, for who is signed in; a worker reads it, once. It is good for a minute, and for the account as it is
now: it holds a digest of the session token, which changes when all sessions of the account end, and the number of the
session that the page is of.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

from shared.db import utc_now
from shared.errors import InvalidCredentials

LIFETIME_SECONDS = 60  # and as much leeway for clocks that differ
SALT = "chat-socket"


@dataclass(frozen=True, slots=True)
class ChatToken:
    """What a token says. mark: of the account's sessions; number: of this token, so that it can be used up;
    session_number: of the session that it was made in."""

    user_id: int
    mark: str
    number: str
    session_number: str


def session_mark(session_token: str) -> str:
    """A digest of a session token, which scripts on the page may see."""
    return hashlib.sha256(session_token.encode()).hexdigest()[:32]


def make_token(secret_key: str, *, user_id: int, session_token: str, session_number: str = "") -> str:
    """A token for this account and this session of it, as text."""
    parts = [user_id, session_mark(session_token), secrets.token_hex(16), session_number]
    return _serializer(secret_key).dumps(parts)


def read_token(secret_key: str, text: str, *, now: datetime | None = None) -> ChatToken:
    """What a token says. Raises InvalidCredentials if it is forged, damaged or too old."""
    try:
        found: Any
        found, made_at = _serializer(secret_key).loads(text, return_timestamp=True)
        user_id, mark, number, session_number = found
        token = ChatToken(int(user_id), str(mark), str(number), str(session_number))
    except (BadData, ValueError, TypeError):
        raise InvalidCredentials("this token is not valid") from None
    # Not the library's own check: it takes a token from a clock that is a second ahead for one that never was.
    if abs(((now or utc_now()) - made_at).total_seconds()) > LIFETIME_SECONDS:
        raise InvalidCredentials("this token is too old")
    return token


def _serializer(secret_key: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret_key, salt=SALT)
