"""The exceptions of this library. All derive from GossipError."""

from __future__ import annotations

# Servers before 2.4.0 send no codes; each of their sentences stands for one.
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
    """Return the code of a failure's sentence, for servers that send no codes; None if the sentence is unknown."""
    code = _CODES.get(text.strip().lower())
    if code is None and text.startswith("Could not subscribe"):
        return "channel-refused"
    return code


_FINAL_CODES = frozenset(("invalid-credentials", "missing-support", "banned", "invalid"))


class GossipError(Exception):
    """The base of all exceptions of this library."""


class RequestFailed(GossipError):
    """The server refused a request.

    Attributes:
        event: The request's event, such as `channels/send`.
        text: The server's sentence.
        code: A short word for programs, such as `rate-limited`; None for an unknown sentence of an old server.
        retry_after: After how many seconds to try again; None if the server does not say.
    """

    def __init__(self, event: str, text: str, *, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(f"{event}: {text}")
        self.event = event
        self.text = text
        self.code = code if code is not None else code_of(text)
        self.retry_after = retry_after


class AuthenticationFailed(RequestFailed):
    """The server refused the credentials, or something declared with them."""

    @property
    def is_about_credentials(self) -> bool:
        """Whether the client id or the secret is wrong, rather than what was declared with them."""
        return self.code != "missing-support" and "support" not in self.text.lower()

    @property
    def is_final(self) -> bool:
        """Whether a person must act before the server accepts this client.

        Anything else is a passing fault of the server, such as `internal` or `rate-limited`.
        """
        return self.code in _FINAL_CODES or not self.is_about_credentials


class RequestTimedOut(GossipError):
    """No answer arrived in time. The server may or may not have carried out the request."""


class NotConnected(GossipError):
    """There is no connection, and this request does not wait for one."""


class ConnectFailed(GossipError):
    """The server cannot be reached, or is not a Gossip server. The text says which, in one line."""


class Dropped(GossipError):
    """The client gave up a send.

    Attributes:
        event: The request's event, such as `channels/send`.
        reason: `queue-full`; `too-old` (it waited too long for the connection); `cancelled` (its caller stopped
            waiting); `closed` (the client was closed); or `connection-lost` (the connection was lost between the send
            and its answer, so the send may or may not have arrived).
    """

    def __init__(self, event: str, reason: str) -> None:
        super().__init__(f"{event} was dropped: {reason}")
        self.event = event
        self.reason = reason
