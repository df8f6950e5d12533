"""The token with which a page opens a play session at the gateway. Source: docs/play.md.

The site makes one for a person, or for a guest where the game's owner allows it. The gateway accepts it once, within a
minute. It names the game, so that a token of one game opens no other.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

from shared.chat_tokens import session_mark
from shared.db import utc_now
from shared.errors import InvalidCredentials

LIFETIME_SECONDS = 60  # in either direction, since clocks differ
SALT = "play-socket"


@dataclass(frozen=True, slots=True)
class PlayToken:
    """The content of a token.

    Attributes:
        user_id: None for a guest.
        mark: the `session_mark` of the account; empty for a guest.
        session_number: the session in which it was made; empty for a guest.
        number: identifies this token, so that it can be used only once.
    """

    game_id: int
    user_id: int | None
    mark: str
    session_number: str
    number: str


def make_token(
    signing_keys: list[str],
    *,
    game_id: int,
    user_id: int | None = None,
    session_token: str = "",
    session_number: str = "",
) -> str:
    """Return a token for this game and this session of an account, or for a guest. See `Settings.signing_keys`."""
    mark = "" if user_id is None else session_mark(session_token)
    return _serializer(signing_keys).dumps([game_id, user_id, mark, session_number, secrets.token_hex(16)])


def read_token(signing_keys: list[str], text: str) -> PlayToken:
    """Return the content of a token. Raises InvalidCredentials if it is forged, damaged or too old."""
    try:
        parts: Any
        parts, made_at = _serializer(signing_keys).loads(text, return_timestamp=True)
        game_id, user_id, mark, session_number, number = parts
        token = PlayToken(
            int(game_id), None if user_id is None else int(user_id), str(mark), str(session_number), str(number)
        )
    except (BadData, ValueError, TypeError):
        raise InvalidCredentials("this token is not valid") from None
    # The library's own check does not allow for a clock that is a second ahead.
    if abs((utc_now() - made_at).total_seconds()) > LIFETIME_SECONDS:
        raise InvalidCredentials("this token is too old")
    return token


def _serializer(signing_keys: list[str]) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(signing_keys, salt=SALT)
