"""The domain errors. They know nothing of HTTP or sockets.

Each has a `code`, which is stable and part of the socket protocol (docs/protocol.md, §2), a sentence for people, the
form field at fault if there is one, and details for programs. `app/errors.py` maps the classes to HTTP statuses, and
`worker/dispatch.py` turns errors into failure frames.
"""

from __future__ import annotations


class DomainError(Exception):
    """The rules do not allow what a user or a peer asked for.

    Attributes:
        message: one sentence for people, without a full stop.
        field: the name of the form field at fault.
        details: more facts for programs, which failure frames include (such as `retry_after_ms`).
    """

    code = "invalid"

    def __init__(self, message: str, *, field: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.details = details


class NotFound(DomainError):
    """There is no such record, or the caller may not know of it."""

    code = "not-found"


class Forbidden(DomainError):
    """The caller is known, but may not do this."""

    code = "forbidden"


class Invalid(DomainError):
    """A value breaks a rule."""

    code = "invalid"


class Conflict(DomainError):
    """The value is valid, but conflicts with another record."""

    code = "conflict"


class Unavailable(DomainError):
    """The other side cannot be reached now."""

    code = "unavailable"


class Busy(Unavailable):
    """The process has too much of this work already. `retry_after_ms` says when to try again."""


class TooMany(DomainError):
    """A limit is exceeded. `retry_after_ms` says when to try again."""

    code = "rate-limited"


class NameTaken(Conflict):
    """The name is in use, or was used and is reserved."""

    code = "name-taken"


class InvalidCredentials(Forbidden):
    """The sign-in, or the client id and secret, do not match. The message never says which half was wrong."""

    code = "invalid-credentials"


class Unauthenticated(Forbidden):
    """The socket has not authenticated."""

    code = "unauthenticated"


class AlreadyAuthenticated(Conflict):
    """The socket has authenticated already."""

    code = "already-authenticated"


class MissingSupport(Forbidden):
    """The socket did not declare the support flag of the event."""

    code = "missing-support"


class NotAnApplication(Forbidden):
    """Only network applications may do this."""

    code = "not-an-application"


class NotSubscribed(Forbidden):
    """The socket is not subscribed to the channel."""

    code = "not-subscribed"


class ChannelRefused(Invalid):
    """The channel cannot be subscribed to."""

    code = "channel-refused"


class ChannelPaused(Unavailable):
    """Moderators have paused or closed the channel."""

    code = "channel-paused"


class Muted(Forbidden):
    """The player, game, person or address is muted. The message says why and until when."""

    code = "muted"


class Banned(Forbidden):
    """The player, game, person or address is banned. The message says why and until when."""

    code = "banned"


class Filtered(Invalid):
    """A filter refused the message."""

    code = "filtered"


class MissingScope(Forbidden):
    """The application does not have the scope."""

    code = "missing-scope"


class UnknownGame(NotFound):
    """There is no game of this name."""

    code = "unknown-game"


class GameOffline(Unavailable):
    """The game has no socket on the network."""

    code = "game-offline"


class PlayerOffline(Unavailable):
    """The player is not online there."""

    code = "player-offline"


class NotSupported(Unavailable):
    """The receiving game did not declare the flag."""

    code = "not-supported"
