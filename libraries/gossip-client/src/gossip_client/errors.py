"""What can go wrong, as exceptions. All derive from GossipError."""

from __future__ import annotations

# Servers before 2.4.0 send no codes: these sentences of theirs mean the same.
_CODES = {
    "invalid credentials": "invalid-credentials",
    "rate limit exceeded": "rate-limited",
    "unknown game": "unknown-game",
    "game offline": "game-offline",
    "player offline": "player-offline",
    "sending player offline": "player-offline",
    "receiving player offline": "player-offline",
    "not supported": "not-supported",
    "already authenticated": "already-authenticated",
    "missing supports": "missing-support",
    "must support channels": "missing-support",
}


def code_of(text: str) -> str | None:
    """The code of a failure's sentence, for servers that send none; None for one that is not known."""
    known = _CODES.get(text.strip().lower())
    if known is None and text.startswith("Could not subscribe"):
        return "channel-refused"
    return known


class GossipError(Exception):
    """Any failure of this library."""


class RequestFailed(GossipError):
    """The server said no.

    text: its sentence. code: the short word for programs (`rate-limited`); None where an old server's sentence is not
    known. retry_after: seconds, where the server names a time.
    """

    def __init__(self, event: str, text: str, *, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(f"{event}: {text}")
        self.event = event
        self.text = text
        self.code = code if code is not None else code_of(text)
        self.retry_after = retry_after


class AuthenticationFailed(RequestFailed):
    """The server did not take the credentials, or what was declared with them."""

    @property
    def is_about_credentials(self) -> bool:
        """Whether the client id or the secret is wrong, rather than what was declared with them."""
        return self.code != "missing-support" and "support" not in self.text.lower()


class RequestTimedOut(GossipError):
    """No answer came in time. Whether the request was carried out is not known."""


class NotConnected(GossipError):
    """There is no connection now, and this request does not wait for one."""


class ConnectFailed(GossipError):
    """The server cannot be reached, or is none of this network. The text says which, in one line."""


class Dropped(GossipError):
    """A send that waited for the connection was given up.

    reason: `queue-full`, `too-old`, `cancelled` (whoever waited for it does so no longer), `closed` (the client was
    closed), or `connection-lost` (it had been sent, but the connection went before its answer came: it may or may not
    have arrived).
    """

    def __init__(self, event: str, reason: str) -> None:
        super().__init__(f"{event} was dropped: {reason}")
        self.event = event
        self.reason = reason
