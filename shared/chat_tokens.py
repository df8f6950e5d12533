"""The token with which a page signs in at a worker's socket for browsers. Source: docs/browser-chat.md.

The site makes one for a signed-in user, and a worker accepts it once, within a minute. It ends with the session: it
holds the number of the page's session and a digest of the session token, which changes when all sessions of the
account end.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

from shared.db import utc_now
from shared.errors import InvalidCredentials

LIFETIME_SECONDS = 60  # in either direction, since clocks differ
SALT = "chat-socket"


@dataclass(frozen=True, slots=True)
class ChatToken:
    """The content of a token.

    Attributes:
        mark: the `session_mark` of the account.
        number: identifies this token, so that it can be used only once.
        session_number: the session in which it was made.
    """

    user_id: int
    mark: str
    number: str
    session_number: str


def session_mark(session_token: str) -> str:
    """Return a digest of a session token. Unlike the token, scripts on the page may see it."""
    return hashlib.sha256(session_token.encode()).hexdigest()[:32]


def make_token(signing_keys: list[str], *, user_id: int, session_token: str, session_number: str = "") -> str:
    """Return a token for this account and this session of it. See `Settings.signing_keys`."""
    parts = [user_id, session_mark(session_token), secrets.token_hex(16), session_number]
    return _serializer(signing_keys).dumps(parts)


def read_token(signing_keys: list[str], text: str) -> ChatToken:
    """Return the content of a token. Raises InvalidCredentials if it is forged, damaged or too old."""
    try:
        parts: Any
        parts, made_at = _serializer(signing_keys).loads(text, return_timestamp=True)
        user_id, mark, number, session_number = parts
        token = ChatToken(int(user_id), str(mark), str(number), str(session_number))
    except (BadData, ValueError, TypeError):
        raise InvalidCredentials("this token is not valid") from None
    # The library's own check does not allow for a clock that is a second ahead.
    if abs((utc_now() - made_at).total_seconds()) > LIFETIME_SECONDS:
        raise InvalidCredentials("this token is too old")
    return token


def _serializer(signing_keys: list[str]) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(signing_keys, salt=SALT)
