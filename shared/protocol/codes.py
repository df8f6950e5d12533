"""The stable words for what went wrong, and their sentences. Source: docs/protocol.md, §2. Pure: no I/O, no clock."""

from enum import StrEnum


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
    Code.CHANNEL_PAUSED: ("channel is paused",),
    Code.MUTED: ("muted until 2026-11-23T06:15:44Z: flooding", "muted: flooding"),
    Code.BANNED: ("banned until 2026-11-23T06:15:44Z: flooding", "banned: flooding"),
    Code.RATE_LIMITED: ("rate limit exceeded", "rate limit exceeded, goodbye"),
    Code.UNKNOWN_GAME: ("unknown game",),
    Code.GAME_OFFLINE: ("game offline",),
    Code.PLAYER_OFFLINE: ("sending player offline", "receiving player offline"),
    Code.NOT_SUPPORTED: ("not supported",),
    Code.NOT_AN_APPLICATION: ("not an application",),
    Code.MISSING_SCOPE: ('missing scope "moderate"',),
    Code.INTERNAL: ("internal error",),
}
"""Every code with the sentences that go with it; names and times in them are examples."""

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


def not_subscribed(channel: str) -> str:
    """Said of a message to a channel that the socket is not subscribed to."""
    return f"not subscribed to '{_short(channel)}'"


def could_not_subscribe(channel: str) -> str:
    """Said of a channel that is refused."""
    return f"Could not subscribe to '{_short(channel)}'"


def _short(name: str) -> str:
    return name if len(name) <= 100 else name[:100] + "…"
