"""The rate limits of the socket protocol (docs/protocol.md, §9): names, defaults, and the setting LIMITS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.numbers import decimal_number, whole_number

APPLICATION_FACTOR = 10  # an application's limits are this many times as high
SOCKETS_FACTOR = 5  # all sockets of a game together have this many times the limits of one socket
PLAYER_BYTES = 128 * 1024  # of the names that a game lists, as a JSON list


@dataclass(frozen=True, slots=True)
class Limit:
    """A token bucket: `burst` at once, then `per_second`."""

    burst: int
    per_second: float


@dataclass(frozen=True, slots=True)
class PlayerLimit:
    """How many players a game may list over all its sockets, and the size of their names as a JSON list."""

    count: int = 5_000
    nbytes: int = PLAYER_BYTES


EVENTS = "events:socket"
GAMES_STATUS = "games/status:socket"
PLAYERS_STATUS = "players/status:socket"
SUBSCRIPTIONS = "channels/subscribe:socket"
NEW_CHANNELS = "channels/create:game"
SIGN_INS = "players/sign-in:game"
MESSAGES_OF_PLAYER = "channels/send:player"
MESSAGES_OF_GAME = "channels/send:game"
TELLS_OF_GAME = "tells/send:game"
TELLS_OF_PLAYER = "tells/send:player"
REPORTS = "reports/create:socket"

DEFAULTS: Mapping[str, Limit] = {
    EVENTS: Limit(400, 20),
    GAMES_STATUS: Limit(10, 0.2),
    PLAYERS_STATUS: Limit(10, 0.2),
    SIGN_INS: Limit(400, 20),
    MESSAGES_OF_PLAYER: Limit(10, 2),
    MESSAGES_OF_GAME: Limit(100, 20),
    SUBSCRIPTIONS: Limit(60, 2),
    NEW_CHANNELS: Limit(100, 0.1),
    TELLS_OF_PLAYER: Limit(10, 2),
    TELLS_OF_GAME: Limit(100, 20),
    REPORTS: Limit(10, 0.1),
}


def parse_limits(text: str) -> dict[str, Limit]:
    """Return all limits, changed as `text` says: `channels/send:player=10/2,events:socket=400/20`.

    A limit is a burst and a refill per second. Raises ValueError with a message for people.
    """
    limits = dict(DEFAULTS)
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in DEFAULTS:
            raise ValueError(f"there is no limit {name!r}, only {', '.join(DEFAULTS)}")
        burst, _, refill = (piece.strip() for piece in value.partition("/"))
        size, per_second = whole_number(burst), decimal_number(refill)
        if size is None or per_second is None:
            raise ValueError(f"{part[:100]!r} must be a name, =, the burst, / and the refill per second")
        if not (1 <= size <= 1_000_000 and 0.001 <= per_second <= 1_000_000):
            raise ValueError(f"{part[:100]!r}: the burst must be 1 to 1000000, the refill 0.001 to 1000000 per second")
        limits[name] = Limit(size, per_second)
    return limits
