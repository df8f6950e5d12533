"""The events of a client, one class each, and the answers of servers. All are plain frozen values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from gossip_client.frames import Frame, Ref, text_or_none

LONGEST_DOWNTIME = 3600.0  # seconds


@dataclass(frozen=True)
class Event:
    """The base of all events. `flag` is the support flag that a client must declare to get the event; empty if none."""

    flag: ClassVar[str] = ""


# The connection


@dataclass(frozen=True)
class Connected(Event):
    """The server accepted this client.

    Attributes:
        version: The server's protocol version.
        refused_channels: Channels that the server did not subscribe the client to.
        ignored_flags: Support flags that the server does not know.
        is_again: Whether the client was connected before.
        counts: For applications: about how many records of each kind are in the whole state that follows. Empty if no
            whole state follows, or if the server does not say.
    """

    version: str
    refused_channels: Sequence[str] = ()
    ignored_flags: Sequence[str] = ()
    is_again: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Disconnected(Event):
    """The connection is gone, or could not be made.

    Attributes:
        reason: Why, in one sentence.
        code: The WebSocket close code, if the server sent one.
        retry_in: Seconds until the next attempt; None if the client has been closed.
    """

    reason: str
    code: int | None = None
    retry_in: float | None = None


@dataclass(frozen=True)
class AuthenticationRefused(Event):
    """The server refused this client. The next attempt waits long, since a person must act first.

    A server that fails to authenticate (`internal`, `rate-limited` …) has not refused: that is a lost connection.
    """

    error: str
    code: str | None


@dataclass(frozen=True)
class Restarting(Event):
    """The server will be away for `downtime` seconds (an hour at most). The client reconnects automatically."""

    downtime: float


@dataclass(frozen=True)
class SendDropped(Event):
    """The client gave up a send. `reason` is that of `gossip_client.Dropped`, or the server's sentence."""

    event: str
    payload: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class ErrorReported(Event):
    """The server reported an error that belongs to no pending request."""

    error: str
    code: str | None = None


# Channels


@dataclass(frozen=True)
class ChannelMessage(Event):
    """A player of another game said something on a channel.

    Attributes:
        channel: The channel's name.
        game: The other game's short name.
        name: The player's name.
        message: Plain text.
        id: The message's number on the channel; None from servers before 2.4.0.
        sent_at: When it was said; None from servers before 2.4.0.
        is_missed: Whether it was said while this client had no connection, and read from the history.
    """

    channel: str
    game: str
    name: str
    message: str
    id: int | None = None
    sent_at: datetime | None = None
    is_missed: bool = False


@dataclass(frozen=True)
class GapRemains(Event):
    """This client did not read everything from the history that was said on a channel while it was away.

    Nothing is missing up to the message `after_id`.
    """

    channel: str
    after_id: int


@dataclass(frozen=True)
class HistoryPage:
    """The answer to `history`, oldest message first. `more` says whether there are more in the requested direction."""

    channel: str
    messages: Sequence[ChannelMessage]
    more: bool


# Players


@dataclass(frozen=True)
class PlayerSignedIn(Event):
    """A player of another game came online."""

    flag: ClassVar[str] = "players"
    game: str
    name: str


@dataclass(frozen=True)
class PlayerSignedOut(Event):
    """A player of another game left."""

    flag: ClassVar[str] = "players"
    game: str
    name: str


@dataclass(frozen=True)
class PlayersStatus:
    """Who is online in one game."""

    game: str
    players: Sequence[str]


# Tells


@dataclass(frozen=True)
class TellReceived(Event):
    """A player of another game sent a tell to a player here."""

    flag: ClassVar[str] = "tells"
    from_game: str
    from_name: str
    to_name: str
    message: str
    sent_at: datetime | None = None


# Games


@dataclass(frozen=True)
class GameConnected(Event):
    """Another game came online."""

    flag: ClassVar[str] = "games"
    game: str


@dataclass(frozen=True)
class GameDisconnected(Event):
    """Another game went offline."""

    flag: ClassVar[str] = "games"
    game: str


@dataclass(frozen=True)
class GameStatus:
    """What the server says about a game. `extra` has the fields that this library does not know."""

    game: str
    display_name: str | None = None
    description: str | None = None
    homepage_url: str | None = None
    user_agent: str | None = None
    user_agent_url: str | None = None
    connections: Sequence[Mapping[str, Any]] = ()
    supports: Sequence[str] = ()
    channels: Sequence[str] = ()
    players_online_count: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


# Sync, for network applications


@dataclass(frozen=True)
class SyncRecords(Event):
    """New and changed records of one kind, and the ids of deleted ones. Apply the deletions first.

    Attributes:
        kind: The kind of the records, such as `games`.
        records: The records, as docs/protocol.md describes them.
        deleted: Ids of deleted records.
        cursor: The position in the log of changes; None while a whole state is being sent.
        ref: The ref of the `sync` request that these records answer, if they answer one.
    """

    kind: str
    records: Sequence[dict[str, Any]]
    deleted: Sequence[int] = ()
    cursor: int | None = None
    ref: Ref | None = None


@dataclass(frozen=True)
class SyncComplete(Event):
    """The server has sent everything up to `cursor`.

    Attributes:
        cursor: The position in the log of changes.
        counts: How many records of each kind the whole state has at the cursor.
        digests: The digest of the records of each kind at the cursor.
        is_reset: Whether the server sent the whole state because it no longer has the requested changes.
        ref: The ref of the `sync` request that this answers, if it answers one.
    """

    cursor: int
    counts: Mapping[str, int]
    digests: Mapping[str, str]
    is_reset: bool = False
    ref: Ref | None = None


@dataclass(frozen=True)
class UnknownEvent(Event):
    """An event that this library does not know, from a later server."""

    event: str
    payload: Any
    ref: Ref | None = None


# Reading frames


def read_event(frame: Frame) -> Event | None:
    """Return the event in a frame; None if the frame is malformed, or contains no event to report."""
    if frame.event.startswith("sync/"):
        return read_sync(frame)
    reader = _READERS.get(frame.event)
    if reader is None:
        return UnknownEvent(frame.event, frame.payload, frame.ref)
    if frame.is_failure and frame.event != "error":
        return ErrorReported(frame.error or f"{frame.event} failed", frame.code)
    try:
        return reader(frame)
    except (KeyError, TypeError, ValueError):
        return None


def read_sync(frame: Frame) -> SyncRecords | SyncComplete | None:
    """Return the sync event in a frame, or None if the frame is malformed."""
    kind, fields = frame.event.removeprefix("sync/"), frame.fields
    cursor = fields.get("cursor")
    if kind == "complete":
        if not isinstance(cursor, int):
            return None
        digests = fields.get("digests")
        return SyncComplete(
            cursor,
            read_counts(fields.get("counts")),
            {name: text for name, text in digests.items() if isinstance(text, str)}
            if isinstance(digests, dict)
            else {},
            fields.get("reset") is True,
            frame.ref,
        )
    records, deleted = fields.get(kind), fields.get("deleted")
    return SyncRecords(
        kind,
        records if isinstance(records, list) else (),
        deleted if isinstance(deleted, list) else (),
        cursor if isinstance(cursor, int) else None,
        frame.ref,
    )


def read_counts(value: object) -> dict[str, int]:
    """Return the number of records of each kind. Skip invalid numbers."""
    if not isinstance(value, dict):
        return {}
    return {kind: count for kind, count in value.items() if type(count) is int and count >= 0}


def read_message(fields: Mapping[str, Any], *, channel: str | None = None, is_missed: bool = False) -> ChannelMessage:
    """Return a message of a broadcast, or of the history of `channel`. Raises KeyError if a field is missing."""
    number = fields.get("id")
    return ChannelMessage(
        channel=channel if channel is not None else str(fields["channel"]),
        game=str(fields["game"]),
        name=str(fields["name"]),
        message=str(fields["message"]),
        id=number if isinstance(number, int) else None,
        sent_at=read_time(fields.get("sent_at")),
        is_missed=is_missed,
    )


def read_players(fields: Mapping[str, Any]) -> PlayersStatus:
    """Read the payload of a `players/status`. Raises KeyError if it names no game."""
    return PlayersStatus(str(fields["game"]), tuple(_strings(fields.get("players"))))


_STATUS_FIELDS = ("display_name", "description", "homepage_url", "user_agent", "user_agent_url")
_OLD_NAMES = ("user_agent_repo_url", "player_online_count")  # how older servers name two of the fields


def read_game(fields: Mapping[str, Any]) -> GameStatus:
    """Read the payload of a `games/status`. Raises KeyError if it names no game."""
    count = fields.get("players_online_count", fields.get("player_online_count"))
    texts = {name: text_or_none(fields.get(name)) for name in _STATUS_FIELDS}
    texts["user_agent_url"] = texts["user_agent_url"] or text_or_none(fields.get("user_agent_repo_url"))
    connections = fields.get("connections")
    other_fields = ("game", "connections", "supports", "channels", "players_online_count")
    return GameStatus(
        game=str(fields["game"]),
        **texts,
        connections=tuple(item for item in connections if isinstance(item, dict))
        if isinstance(connections, list)
        else (),
        supports=tuple(_strings(fields.get("supports"))),
        channels=tuple(_strings(fields.get("channels"))),
        players_online_count=count if isinstance(count, int) else None,
        extra={
            name: value for name, value in fields.items() if name not in {*_STATUS_FIELDS, *_OLD_NAMES, *other_fields}
        },
    )


def read_time(value: object) -> datetime | None:
    """Return a time of the protocol as an aware datetime, or None if it is invalid."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _read_restart(frame: Frame) -> Restarting:
    try:
        downtime = float(frame.fields.get("downtime") or 0)
    except OverflowError:
        downtime = 0.0
    return Restarting(min(max(downtime, 0.0), LONGEST_DOWNTIME) if math.isfinite(downtime) else 0.0)


def _read_tell(frame: Frame) -> TellReceived:
    fields = frame.fields
    return TellReceived(
        from_game=str(fields["from_game"]),
        from_name=str(fields["from_name"]),
        to_name=str(fields["to_name"]),
        message=str(fields["message"]),
        sent_at=read_time(fields.get("sent_at")),
    )


_READERS: Mapping[str, Callable[[Frame], Event | None]] = {
    "restart": _read_restart,
    "error": lambda frame: ErrorReported(frame.error or "the server reported an error", frame.code),
    "channels/broadcast": lambda frame: read_message(frame.fields),
    "channels/subscribe": lambda frame: None,
    "channels/unsubscribe": lambda frame: None,
    "channels/send": lambda frame: None,
    "channels/history": lambda frame: None,
    "players/sign-in": lambda frame: PlayerSignedIn(str(frame.fields["game"]), str(frame.fields["name"])),
    "players/sign-out": lambda frame: PlayerSignedOut(str(frame.fields["game"]), str(frame.fields["name"])),
    "players/status": lambda frame: None,
    "tells/send": lambda frame: None,
    "tells/receive": _read_tell,
    "games/connect": lambda frame: GameConnected(str(frame.fields["game"])),
    "games/disconnect": lambda frame: GameDisconnected(str(frame.fields["game"])),
    "games/status": lambda frame: None,
    "authenticate": lambda frame: None,
    "heartbeat": lambda frame: None,
}
