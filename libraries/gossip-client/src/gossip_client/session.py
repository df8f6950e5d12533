"""The client's session with the server: authentication, silence, and when to connect again. Pure."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any

from gossip_client import events
from gossip_client.config import PROTOCOL_VERSION, Config
from gossip_client.errors import AuthenticationFailed
from gossip_client.events import AuthenticationRefused, Connected, Disconnected, Restarting
from gossip_client.frames import Frame, dump, encode

_LATE_RESTART_SECONDS = 60.0
_MAX_EARLY_NAMES = 8_000  # bytes
_log = logging.getLogger("gossip_client")


class State(Enum):
    """The state of a client.

    Attributes:
        AWAY: There is no connection.
        OPENING: The client has sent `authenticate` and is waiting for the answer.
        READY: The client can send requests.
        CLOSED: The client has been closed and does not reconnect.
    """

    AWAY = auto()
    OPENING = auto()
    READY = auto()
    CLOSED = auto()


class Session:
    """Authenticates each connection, notices when a server has gone silent, and says when to reconnect.

    Attributes:
        state: See `State`.
        server_version: The server's protocol version; None before the first successful authentication.
        reconnect_at: The time of the next attempt to connect; None while there is a connection, or after `shut`.
        close_reason: Why the driver should close the connection now; None if it should not.
        refusal: The server's refusal of the last authentication, if it refused.
        flags: The support flags to declare.
        offered_channels: The channels that the last `authenticate` named.
        received_at: When the last frame arrived.
    """

    def __init__(self, config: Config, rng: random.Random) -> None:
        self.state = State.AWAY
        self.server_version: str | None = None
        self.reconnect_at: float | None = 0.0
        self.close_reason: str | None = None
        self.refusal: AuthenticationFailed | None = None
        self.flags = ["channels", *sorted(set(config.supports) - {"channels"})]
        self.offered_channels: list[str] = []
        self.received_at = 0.0
        self._config = config
        self._rng = rng
        self._was_connected = False
        self._ready_at: float | None = None
        self._answer_until = 0.0
        self._restart_until: float | None = None

    @property
    def has_history(self) -> bool:
        """Whether the server keeps a history (2.4.0 and later)."""
        return _version_numbers(self.server_version) >= (2, 4)

    def open(self, channels: list[str], now: float) -> str | None:
        """Begin to authenticate on a new connection.

        Returns:
            The `authenticate` frame, or None (with `close_reason` set) if the application failed to say what to sync.
        """
        config = self._config
        self.state = State.OPENING
        self.close_reason = self.refusal = None
        self.reconnect_at = None
        self.received_at = now
        self._answer_until = now + 2 * config.answer_seconds
        self.offered_channels = channels
        payload: dict[str, Any] = {
            "client_id": config.client_id,
            "client_secret": config.client_secret,
            "supports": self.flags,
            "channels": channels,
            "version": PROTOCOL_VERSION,
        }
        if config.user_agent:
            payload["user_agent"] = config.user_agent
        players = names_of(config.players)
        # A long list waits for the first heartbeat, since servers accept only short messages before.
        if players is not None and cut_names(players, _MAX_EARLY_NAMES) == players:
            payload["players"] = players
        try:
            if config.sync is not None and (sync := config.sync()) is not None:
                payload["sync"] = sync
            return encode("authenticate", payload)
        except Exception:  # its database may be unavailable for a moment
            _log.exception("the application failed to say what to sync")
            self.close_reason = "the application failed to say what to sync"
            return None

    def authenticated(self, frame: Frame, now: float) -> Connected | AuthenticationRefused | None:
        """Handle the answer to `authenticate`.

        Returns:
            The event to report; None if the client tries again, with fewer flags or after a passing fault.
        """
        if frame.status != "success":
            return self._refused(AuthenticationFailed("authenticate", frame.error or "refused", code=frame.code))
        version = frame.fields.get("version")
        self.server_version = version if isinstance(version, str) else "1.0.0"
        self.state = State.READY
        self._ready_at = now
        self._config.backoff.lasted(0.0)
        is_again, self._was_connected = self._was_connected, True
        return Connected(
            self.server_version,
            _strings(frame.fields.get("refused_channels")),
            _strings(frame.fields.get("ignored")),
            is_again,
            events.read_counts(frame.fields.get("counts")),
        )

    def announce_restart(self, restart: Restarting, now: float) -> None:
        """Remember when the server will be back."""
        self._restart_until = now + restart.downtime

    def lose(self, now: float, reason: str, code: int | None) -> Disconnected:
        """Note that the connection is gone, or could not be made. Sets `reconnect_at`."""
        backoff = self._config.backoff
        if self._ready_at is not None:
            backoff.lasted(now - self._ready_at)
        self.state = State.AWAY
        self._ready_at = None
        if self.refusal is not None:
            wait = backoff.refused(self._rng)
        elif self._restart_until is not None and now < self._restart_until + _LATE_RESTART_SECONDS:
            wait = max(0.0, self._restart_until - now) + self._rng.uniform(0.0, 1.0)
        else:
            wait = backoff.lost(self._rng)
        self._restart_until = None
        self.reconnect_at = now + wait
        event = Disconnected(self.close_reason or reason, code, wait)
        self.close_reason = None
        return event

    def shut(self) -> Disconnected:
        """Close the session: it never reconnects."""
        self.state = State.CLOSED
        self.reconnect_at = None
        return Disconnected("closed", None, None)

    def tick(self, now: float) -> None:
        """Set `close_reason` if the server has been silent for too long."""
        if self.state is State.OPENING and now >= self._answer_until:
            self.close_reason = "the server did not answer the authentication"
        if self.state is State.READY and now >= self.received_at + self._config.silence_seconds:
            self.close_reason = f"the server said nothing for {self._config.silence_seconds:g} s"

    def wakes_at(self) -> float | None:
        """Return when `tick` is due, or None."""
        if self.state is State.OPENING:
            return self._answer_until
        return self.received_at + self._config.silence_seconds if self.state is State.READY else None

    def _refused(self, failure: AuthenticationFailed) -> AuthenticationRefused | None:
        if not failure.is_about_credentials and len(self.flags) > 1:
            self.flags = ["channels"]  # the oldest servers refuse flags that they do not know
            self.close_reason = f"the server refused the flags ({failure.text}); trying again without them"
            return None
        if not failure.is_final:
            self.close_reason = f"the server could not authenticate this client: {failure.text}"
            return None
        self.refusal = failure
        self.close_reason = f"the server refused the authentication: {failure.text}"
        return AuthenticationRefused(failure.text, failure.code)


def names_of(players: Callable[[], Iterable[str] | None] | None) -> list[str] | None:
    """Call the game's `players` function. Return None if there is none, or if it fails."""
    if players is None:
        return None
    try:
        names = players()
        if isinstance(names, str):
            raise TypeError(f"players must return a list of names, not a single string: {names!r}")
        return None if names is None else [str(name) for name in names]
    except Exception:
        _log.exception("the game failed to say who is online; the server keeps its last list")
        return None


def cut_names(names: list[str], max_bytes: int) -> list[str]:
    """Return as many names as fit into this many bytes of JSON."""
    size = 0
    for position, name in enumerate(names):
        size += len(dump(name)) + 1
        if size > max_bytes:
            return names[:position]
    return names


def _strings(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _version_numbers(text: str | None) -> tuple[int, ...]:
    """Return the numbers of a version. Reads a malformed version as 1.0.0."""
    numbers = []
    for part in (text or "1.0.0").split(".")[:3]:
        if not part.isdecimal() or len(part) > 9:
            break
        numbers.append(int(part))
    return tuple(numbers) or (1, 0, 0)
