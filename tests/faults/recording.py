"""What clients sent and received during a run. Plain values; times are those of `time.monotonic`."""

from __future__ import annotations

from dataclasses import dataclass, field

SUCCESS = "success"


@dataclass
class Line:
    """A line that a game has sent. Its text is unique.

    Attributes:
        outcome: SUCCESS, the failure's code, or None if the answer never came.
    """

    text: str
    channel: str
    game: str
    player: str
    socket: int
    sent_at: float
    outcome: str | None = None
    answered_at: float = 0.0


@dataclass
class Received:
    """A line that a socket or a reader has received."""

    id: int | None
    channel: str
    game: str
    player: str
    text: str


@dataclass
class Socket:
    """One authenticated socket of a game.

    Attributes:
        notices: Players that other games' sign-in and sign-out notices named, as (event, game, player).
        closed_at: None while it is open.
    """

    number: int
    game: str
    channels: frozenset[str]
    opened_at: float
    closed_at: float | None = None
    lines: list[Received] = field(default_factory=list)
    tells: list[str] = field(default_factory=list)
    notices: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class Reader:
    """What a game that catches up after each lost connection shows to its players of one channel, in order.

    Attributes:
        since: When the first line arrived. Earlier lines may be missing.
    """

    game: str
    channel: str
    since: float = float("inf")
    lines: list[Received] = field(default_factory=list)


@dataclass
class Edit:
    """An edit of a game's description, which becomes `edit NUMBER`. `is_committed` is None if no answer came."""

    game: str
    number: int
    is_committed: bool | None = None


@dataclass
class Mute:
    """A mute of a player, from the moderator's answer until the request to lift it (None: never)."""

    game: str
    player: str
    imposed_at: float
    lifted_at: float | None = None


@dataclass
class Copy:
    """What a replica holds at the end.

    Attributes:
        descriptions: By game.
        digest: Of all its records.
    """

    name: str
    descriptions: dict[str, str | None]
    channels: set[str]
    digest: str


@dataclass
class Recording:
    """Everything that the clients of a run have noted.

    Attributes:
        history: The lines of each channel at the end, oldest first.
        online: The players that each worker lists at the end, by worker and game; None for an offline game.
        expected_online: The players of each game that is connected at the end, and None for those that are gone.
        created_channels: Channels whose creation was acknowledged.
        faults: Mistakes that clients noticed themselves.
    """

    lines: dict[str, Line] = field(default_factory=dict)
    sockets: list[Socket] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    tells: dict[str, str | None] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)
    mutes: list[Mute] = field(default_factory=list)
    created_channels: set[str] = field(default_factory=set)
    history: dict[str, list[Received]] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    online: dict[str, dict[str, set[str] | None]] = field(default_factory=dict)
    expected_online: dict[str, set[str] | None] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def open_socket(self, game: str, channels: frozenset[str], now: float) -> Socket:
        """Note a socket that has authenticated."""
        socket = Socket(len(self.sockets), game, channels, now)
        self.sockets.append(socket)
        return socket
