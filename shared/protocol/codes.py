"""The codes of failures and their sentences. Source: docs/protocol.md, §2. Pure: no I/O, no clock."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple


class Code(StrEnum):
    """The `code` of a failure. Clients rely on it, so it never changes."""

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


FIXED_SENTENCES = {
    Code.UNKNOWN_EVENT: "unknown event",
    Code.NOT_JSON: "not JSON",
    Code.UNAUTHENTICATED: "unauthenticated",
    Code.ALREADY_AUTHENTICATED: "already authenticated",
    Code.INVALID_CREDENTIALS: "invalid credentials",
    Code.CHANNEL_PAUSED: "channel is paused",
    Code.RATE_LIMITED: "rate limit exceeded",
    Code.UNKNOWN_GAME: "unknown game",
    Code.GAME_OFFLINE: "game offline",
    Code.NOT_SUPPORTED: "not supported",
    Code.NOT_AN_APPLICATION: "not an application",
    Code.INTERNAL: "internal error",
}
"""The usual sentence of each code whose sentence has no details."""

MISSING_SUPPORTS = "missing supports"
MUST_SUPPORT_CHANNELS = "must support channels"
CHANNEL_CLOSED = "channel is closed"
RAID = "raid protection: only approved characters, and players of games and accounts older than a day, may speak now"
RATE_LIMITED_GOODBYE = "rate limit exceeded, goodbye"
SENDING_PLAYER_OFFLINE = "sending player offline"
RECEIVING_PLAYER_OFFLINE = "receiving player offline"
REFUSED_TEXT = "this message is not allowed here: it contains a word or phrase that the moderators have blocked"
TOO_MANY_LINKS = "too many links in one message"
TOO_MANY_MESSAGES = "too many messages in a short time"
REPEATED_MESSAGE = "the same message too often"
NEWCOMER_LINK = "new accounts and games may not send links yet"


def sentence(code: Code) -> str:
    """Return the fixed sentence of a code. Raises KeyError for a code whose sentences have details."""
    return FIXED_SENTENCES[code]


def missing_support(flag: str) -> str:
    """Return the refusal of an event whose flag the socket did not declare."""
    return f'missing support for "{flag}"'


def missing_scope(scope: str) -> str:
    """Return the refusal of an event for which the application lacks the scope."""
    return f'missing scope "{scope}"'


def sanctioned(code: Code, until: datetime | None, reason: str) -> str:
    """Return the refusal of what someone muted or banned tries to do. until: None for a sanction without an end."""
    end = "" if until is None else f" until {until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f"{code}{end}: {reason}"


def not_subscribed(channel: str) -> str:
    """Return the refusal of a message to a channel that the socket is not subscribed to."""
    return f"not subscribed to '{_shorten(channel)}'"


def could_not_subscribe(channel: str) -> str:
    """Return the refusal of a subscription."""
    return f"Could not subscribe to '{_shorten(channel)}'"


def _shorten(name: str) -> str:
    return name if len(name) <= 100 else name[:100] + "…"


_UNTIL = datetime(2026, 11, 23, 6, 15, 44, tzinfo=UTC)

SENTENCES: dict[Code, tuple[str, ...]] = {
    Code.INVALID: ('invalid payload: "name" is missing',),
    Code.UNKNOWN_EVENT: (sentence(Code.UNKNOWN_EVENT),),
    Code.NOT_JSON: (sentence(Code.NOT_JSON),),
    Code.UNAUTHENTICATED: (sentence(Code.UNAUTHENTICATED),),
    Code.ALREADY_AUTHENTICATED: (sentence(Code.ALREADY_AUTHENTICATED),),
    Code.INVALID_CREDENTIALS: (sentence(Code.INVALID_CREDENTIALS),),
    Code.MISSING_SUPPORT: (missing_support("players"), MISSING_SUPPORTS, MUST_SUPPORT_CHANNELS),
    Code.NOT_SUBSCRIBED: (not_subscribed("gossip"),),
    Code.CHANNEL_REFUSED: (could_not_subscribe("no good name"),),
    Code.CHANNEL_PAUSED: (sentence(Code.CHANNEL_PAUSED), CHANNEL_CLOSED, RAID),
    Code.MUTED: (sanctioned(Code.MUTED, _UNTIL, "flooding"), sanctioned(Code.MUTED, None, "flooding")),
    Code.BANNED: (sanctioned(Code.BANNED, _UNTIL, "flooding"), sanctioned(Code.BANNED, None, "flooding")),
    Code.RATE_LIMITED: (sentence(Code.RATE_LIMITED), RATE_LIMITED_GOODBYE),
    Code.UNKNOWN_GAME: (sentence(Code.UNKNOWN_GAME),),
    Code.GAME_OFFLINE: (sentence(Code.GAME_OFFLINE),),
    Code.PLAYER_OFFLINE: (SENDING_PLAYER_OFFLINE, RECEIVING_PLAYER_OFFLINE),
    Code.NOT_SUPPORTED: (sentence(Code.NOT_SUPPORTED),),
    Code.NOT_AN_APPLICATION: (sentence(Code.NOT_AN_APPLICATION),),
    Code.MISSING_SCOPE: (missing_scope("moderate"),),
    Code.FILTERED: (REFUSED_TEXT, TOO_MANY_LINKS, TOO_MANY_MESSAGES, REPEATED_MESSAGE, NEWCOMER_LINK),
    Code.NOT_FOUND: ("there is no such sanction",),
    Code.FORBIDDEN: ("only admins may sanction a moderator or an admin",),
    Code.CONFLICT: ("this sanction is already lifted",),
    Code.INTERNAL: (sentence(Code.INTERNAL),),
}
"""The sentences of every code, for the documents. Names, reasons and times in them are examples."""

COMMON = (Code.INVALID, Code.UNAUTHENTICATED, Code.RATE_LIMITED, Code.INTERNAL)
"""The codes that any event may be answered with. Events of a support flag may also get `missing-support`."""


class CloseMeaning(NamedTuple):
    """Why the worker closes with a code, and what the client should do."""

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
