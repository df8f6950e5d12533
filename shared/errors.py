"""The tree of domain errors: what went wrong in words of the domain, knowing nothing of HTTP or sockets.

Each error has a `code`, stable and part of the socket protocol (docs/protocol.md, §2), a sentence for people, the
form field at fault where there is one, and details for programs. `app/errors.py` maps the kinds to HTTP statuses,
`worker/dispatch.py` makes failure frames of them.
"""

from __future__ import annotations


class DomainError(Exception):
    """Something a person or a peer did that the rules do not allow.

    message: one sentence for people, without a full stop at the end. field: the name of the form's field at fault.
    details: further facts for programs; they travel in failure frames (as `retry_after_ms` does).
    """

    code = "invalid"

    def __init__(self, message: str, *, field: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.details = details


class NotFound(DomainError):
    """No such record, or none that the asker may know of."""

    code = "not-found"


class Forbidden(DomainError):
    """The asker is known, and may not do this."""

    code = "forbidden"


class Invalid(DomainError):
    """A value breaks a rule."""

    code = "invalid"


class Conflict(DomainError):
    """The value is fine by itself, but another record is in its way."""

    code = "conflict"


class Unavailable(DomainError):
    """The other side is not there now."""

    code = "unavailable"


class TooMany(DomainError):
    """A limit is used up; `retry_after_ms` says when to try again."""

    code = "rate-limited"


class NameTaken(Conflict):
    """The name is in use, or was used and stays reserved."""

    code = "name-taken"


class InvalidCredentials(Forbidden):
    """The sign-in, or the client id and secret, do not match. Which half was wrong is never said."""

    code = "invalid-credentials"


class Unauthenticated(Forbidden):
    """Only for those who have authenticated."""

    code = "unauthenticated"


class AlreadyAuthenticated(Conflict):
    """A second `authenticate` on one socket."""

    code = "already-authenticated"


class MissingSupport(Forbidden):
    """The socket did not declare the support flag that the event belongs to."""

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
    """Moderators let nobody speak on the channel now."""

    code = "channel-paused"


class Muted(Forbidden):
    """The player, the game, the person or the address may not speak; the sentence says why and until when."""

    code = "muted"


class Banned(Forbidden):
    """The same, shut out altogether."""

    code = "banned"


class Filtered(Invalid):
    """A filter of the moderators refuses the message."""

    code = "filtered"


class MissingScope(Forbidden):
    """The application was not given this power."""

    code = "missing-scope"


class UnknownGame(NotFound):
    """There is no game of that name."""

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
