"""The stable words for what went wrong, and their sentences. Source: docs/protocol.md, §2. Pure: no I/O, no clock."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple


class Code(StrEnum):
    """The `code` of a failure. Programs rely on it; it never changes."""

    INVALID = "invalid"
    UNKNOWN_EVENT = "unknown-event"
    NOT_JSON = "not-json"
    UNAUTHENTICATED = "unauthenticated"
    ALREADY_AUTHENTICATED = "already-authenticated"
    INVALID_CREDENTIALS = "invalid-credentials"
    MISSING_SUPPORT = "missing-support"
    NOT_SUBSCRIBED = "not-subscribed"
    CHANNEL_REFUSED = "channel-refused"
    CHANNEL_PAUSED = "channel-paused"
    MUTED = "muted"
    BANNED = "banned"
    RATE_LIMITED = "rate-limited"
    UNKNOWN_GAME = "unknown-game"
    GAME_OFFLINE = "game-offline"
    PLAYER_OFFLINE = "player-offline"
    NOT_SUPPORTED = "not-supported"
    NOT_AN_APPLICATION = "not-an-application"
    MISSING_SCOPE = "missing-scope"
    FILTERED = "filtered"
    NOT_FOUND = "not-found"
    FORBIDDEN = "forbidden"
    CONFLICT = "conflict"
    INTERNAL = "internal"


SENTENCES: dict[Code, tuple[str, ...]] = {
    Code.INVALID: ('invalid payload: "name" is missing',),
    Code.UNKNOWN_EVENT: ("unknown event",),
    Code.NOT_JSON: ("not JSON",),
    Code.UNAUTHENTICATED: ("not authenticated",),
    Code.ALREADY_AUTHENTICATED: ("already authenticated",),
    Code.INVALID_CREDENTIALS: ("invalid credentials",),
    Code.MISSING_SUPPORT: ('missing support for "players"', "missing supports", "must support channels"),
    Code.NOT_SUBSCRIBED: ("not subscribed to 'gossip'",),
    Code.CHANNEL_REFUSED: ("Could not subscribe to 'no good name'",),
    Code.CHANNEL_PAUSED: ("channel is paused", "channel is closed"),
    Code.MUTED: ("muted until 2026-11-23T06:15:44Z: flooding", "muted: flooding"),
    Code.BANNED: ("banned until 2026-11-23T06:15:44Z: flooding", "banned: flooding"),
    Code.RATE_LIMITED: ("rate limit exceeded", "rate limit exceeded, goodbye"),
    Code.UNKNOWN_GAME: ("unknown game",),
    Code.GAME_OFFLINE: ("game offline",),
    Code.PLAYER_OFFLINE: ("sending player offline", "receiving player offline"),
    Code.NOT_SUPPORTED: ("not supported",),
    Code.NOT_AN_APPLICATION: ("not an application",),
    Code.MISSING_SCOPE: ('missing scope "moderate"',),
    Code.FILTERED: (
        "this message is not allowed here: it holds a word or a pattern that the moderators refuse",
        "too many links in one message",
        "too many messages in a short time",
        "the same message too often",
    ),
    Code.NOT_FOUND: ("there is no such sanction",),
    Code.FORBIDDEN: ("only admins may sanction a moderator or an admin",),
    Code.CONFLICT: ("this sanction is lifted already",),
    Code.INTERNAL: ("internal error",),
}
"""Every code with the sentences that go with it; names and times in them are examples."""

COMMON = (Code.INVALID, Code.UNAUTHENTICATED, Code.RATE_LIMITED, Code.INTERNAL)
"""What any event may meet. Events that belong to a flag may also meet `missing-support`."""


class CloseMeaning(NamedTuple):
    """meaning: why the worker closes. advice: what a client does then."""

    meaning: str
    advice: str


CLOSE_CODES: dict[int, CloseMeaning] = {
    1002: CloseMeaning("the client violated the WebSocket protocol", "fix the client"),
    1003: CloseMeaning("the client sent a binary message", "send text"),
    1007: CloseMeaning("the client sent a message that is not UTF-8", "send UTF-8"),
    1009: CloseMeaning("a message was too big, or had too many fragments", "send less at once"),
    1011: CloseMeaning("an error in the worker; its log has the details", "reconnect"),
    1012: CloseMeaning("the worker is restarting; it sent a `restart` event first", "reconnect after the downtime"),
    4000: CloseMeaning(
        "authentication failed, or rate limits were abused", "read the reason; wait longer before each attempt"
    ),
    4001: CloseMeaning("heartbeats were not answered, or the client did not authenticate in time", "reconnect"),
    4002: CloseMeaning("the client reads too slowly: too much is queued for this socket", "reconnect, and read faster"),
    4003: CloseMeaning(
        "the credentials were revoked, the game was deleted, or a moderator disconnected it", "see the owner's page"
    ),
}
"""Every code that the worker closes with."""

MISSING_SUPPORTS = "missing supports"
MUST_SUPPORT_CHANNELS = "must support channels"
SENDING_PLAYER_OFFLINE = "sending player offline"
RECEIVING_PLAYER_OFFLINE = "receiving player offline"


def sentence(code: Code) -> str:
    """The code's first sentence, for those that have but one."""
    return SENTENCES[code][0]


def missing_support(flag: str) -> str:
    """Said of an event whose flag the socket did not declare."""
    return f'missing support for "{flag}"'


def missing_scope(scope: str) -> str:
    """Said of an event that the application has no scope for."""
    return f'missing scope "{scope}"'


def sanctioned(code: Code, until: datetime | None, reason: str) -> str:
    """Said of what a muted or banned one tries to do. until: the end, None for good."""
    end = "" if until is None else f" until {until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f"{code}{end}: {reason}"


def not_subscribed(channel: str) -> str:
    """Said of a message to a channel that the socket is not subscribed to."""
    return f"not subscribed to '{_short(channel)}'"


def could_not_subscribe(channel: str) -> str:
    """Said of a channel that is refused."""
    return f"Could not subscribe to '{_short(channel)}'"


def _short(name: str) -> str:
    return name if len(name) <= 100 else name[:100] + "…"
