"""What a client can hear, one class an event, and what servers answer. All are plain frozen values."""

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
    """Base of all events. flag: the support flag that a client must declare to get it; empty for none."""

    flag: ClassVar[str] = ""


# The connection


@dataclass(frozen=True)
class Connected(Event):
    """The server let this client in. version: the server's protocol version.

    refused_channels: those of the client's list that cannot be subscribed to. is_again: it is not the first time.
    counts: for applications, about how many records of each kind the whole state has that follows; empty where none
    does, or where the server does not say.
    """

    version: str
    refused_channels: Sequence[str] = ()
    ignored_flags: Sequence[str] = ()
    is_again: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Disconnected(Event):
    """The connection is gone, or none could be made. retry_in: seconds until the next attempt; None for no more."""

    reason: str
    code: int | None = None
    retry_in: float | None = None


@dataclass(frozen=True)
class AuthenticationRefused(Event):
    """The server refused this client. The next attempt waits long: asking again at once would not help."""

    error: str
    code: str | None


@dataclass(frozen=True)
class Restarting(Event):
    """The server is about to go away for so many seconds (an hour at most); the client comes back by itself."""

    downtime: float


@dataclass(frozen=True)
class SendDropped(Event):
    """A send was given up. reason: see `gossip_client.Dropped`; or what the server said to it."""

    event: str
    payload: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class ErrorReported(Event):
    """The server found fault with something whose answer nobody waits for."""

    error: str
    code: str | None = None


# Channels


@dataclass(frozen=True)
class ChannelMessage(Event):
    """Somebody of another game said something.

    id, sent_at: from servers of 2.4.0 on. is_missed: said while this client was away, and read from the history.
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
    """More was said on a channel while this client was away than it read from the history.

    after_id: up to there everything was heard.
    """

    channel: str
    after_id: int


@dataclass(frozen=True)
class HistoryPage:
    """The answer to `history`: oldest message first. more: there are others in the direction asked for."""

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
    """A player of another game told one of ours something."""

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
    """Another game is offline."""

    flag: ClassVar[str] = "games"
    game: str


@dataclass(frozen=True)
class GameStatus:
    """What is known of a game. extra: fields of the payload that this library does not know."""

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
    """Records of one kind that are new or have changed, and ids of those deleted (deletes apply first).

    cursor: the position in the log of changes; None while a whole state is being sent. ref: that of `sync`, if these
    answer one.
    """

    kind: str
    records: Sequence[dict[str, Any]]
    deleted: Sequence[int] = ()
    cursor: int | None = None
    ref: Ref | None = None


@dataclass(frozen=True)
class SyncComplete(Event):
    """Everything up to `cursor` has been sent. counts and digests, by kind, describe the whole state there.

    is_reset: the changes asked for could not be had; what came before this was the whole state.
    """

    cursor: int
    counts: Mapping[str, int]
    digests: Mapping[str, str]
    is_reset: bool = False
    ref: Ref | None = None


@dataclass(frozen=True)
class UnknownEvent(Event):
    """Something that this library does not know, from a later server."""

    event: str
    payload: Any
    ref: Ref | None = None


# Reading them


def read_event(frame: Frame) -> Event | None:
    """The event that a frame of the server tells; None where it lacks what it must have, or is nothing to tell."""
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
    """An event of the sync; None where it is malformed."""
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
    """Numbers of records, by kind; what is none is left out."""
    if not isinstance(value, dict):
        return {}
    return {kind: count for kind, count in value.items() if type(count) is int and count >= 0}


def read_message(fields: Mapping[str, Any], *, channel: str | None = None, is_missed: bool = False) -> ChannelMessage:
    """A message of a broadcast, or of the history of `channel`. Raises KeyError where something is missing."""
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
    """The payload of a `players/status`. Raises KeyError without a game."""
    return PlayersStatus(str(fields["game"]), tuple(_texts(fields.get("players"))))


_STATUS_FIELDS = ("display_name", "description", "homepage_url", "user_agent", "user_agent_url")
_STATUS_TWICE = ("user_agent_repo_url", "player_online_count")  # the same again under the names of older servers


def read_game(fields: Mapping[str, Any]) -> GameStatus:
    """The payload of a `games/status`. Raises KeyError without a game."""
    count = fields.get("players_online_count", fields.get("player_online_count"))
    known = {name: text_or_none(fields.get(name)) for name in _STATUS_FIELDS}
    known["user_agent_url"] = known["user_agent_url"] or text_or_none(fields.get("user_agent_repo_url"))
    ways = fields.get("connections")
    lists = ("game", "connections", "supports", "channels", "players_online_count")
    return GameStatus(
        game=str(fields["game"]),
        **known,
        connections=tuple(way for way in ways if isinstance(way, dict)) if isinstance(ways, list) else (),
        supports=tuple(_texts(fields.get("supports"))),
        channels=tuple(_texts(fields.get("channels"))),
        players_online_count=count if isinstance(count, int) else None,
        extra={name: value for name, value in fields.items() if name not in {*_STATUS_FIELDS, *_STATUS_TWICE, *lists}},
    )


def read_time(value: object) -> datetime | None:
    """A time as the protocol writes it, aware; None for what is none."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _downtime(frame: Frame) -> Restarting:
    try:
        downtime = float(frame.fields.get("downtime") or 0)
    except OverflowError:
        downtime = 0.0
    return Restarting(min(max(downtime, 0.0), LONGEST_DOWNTIME) if math.isfinite(downtime) else 0.0)


def _tell(frame: Frame) -> TellReceived:
    fields = frame.fields
    return TellReceived(
        from_game=str(fields["from_game"]),
        from_name=str(fields["from_name"]),
        to_name=str(fields["to_name"]),
        message=str(fields["message"]),
        sent_at=read_time(fields.get("sent_at")),
    )


_READERS: Mapping[str, Callable[[Frame], Event | None]] = {
    "restart": _downtime,
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
    "tells/receive": _tell,
    "games/connect": lambda frame: GameConnected(str(frame.fields["game"])),
    "games/disconnect": lambda frame: GameDisconnected(str(frame.fields["game"])),
    "games/status": lambda frame: None,
    "authenticate": lambda frame: None,
    "heartbeat": lambda frame: None,
}
