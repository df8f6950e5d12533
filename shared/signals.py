"""The signals that processes send each other through Redis: every topic, and the payloads on it.

A signal is a nudge that is safe to lose (`shared/bus.py`). Workers of two versions run side by side during an upgrade,
so a signal keeps its topic and its JSON keys, a new key needs a default, and unknown keys are ignored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from shared.peer_keys import PeerKey
from shared.presence import SocketPresence

TOPIC_PREFIX = "gossip:"

S = TypeVar("S", bound="Signal")


class Signal(Struct, frozen=True, omit_defaults=True):
    """The base of all signals. Several may share a topic: their required keys tell them apart."""

    topic: ClassVar[str]


class VersionsLogged(Signal, frozen=True):
    """Site or worker → workers. The log of changes has grown up to this cursor."""

    topic = "versions"

    cursor: int


class RestartAnnounced(Signal, frozen=True):
    """Site → workers. Send `restart` to every socket. Delivered at most once: a lost notice is not repeated."""

    topic = "network"

    downtime_seconds: int = field(name="restart")


class CredentialsRevoked(Signal, frozen=True):
    """Site → workers. The credentials of a peer are no longer valid, or the peer was deleted."""

    topic = "network"

    peer: PeerKey = field(name="revoked")


class AccountChanged(Signal, frozen=True):
    """Site → workers. Check whether the account may still chat in the browser, and under which name."""

    topic = "network"

    user_id: int = field(name="user")


class TakeoverMarked(Signal, frozen=True):
    """Worker → itself and the process that takes over from it, which receive it between the same two signals.

    The worker handles what comes before it, and the other process what comes after it.

    Attributes:
        worker: The worker. Others ignore this signal.
        topics: Those whose signals have one order with this one: all, or in a cluster those of one shard. In a cluster
            it is also published on other topics than its own.
    """

    topic = "takeover"

    mark: str = field(name="takeover_mark")
    worker: str
    topics: Sequence[str]


class ChecksDue(Signal, frozen=True):
    """Site → workers. Connection checks are due."""

    topic = "checks"


@dataclass(frozen=True, slots=True)
class Line:
    """A chat line: the peer key and the short name of its game, the player's name, and the cleaned text."""

    channel_id: int
    peer: PeerKey
    game: str
    name: str
    text: str
    sent_at: datetime


class StoredLine(Struct, frozen=True):
    """A line of the history, with its id."""

    id: int
    line: Line


class LinesStored(Signal, frozen=True):
    """Worker or site → workers. Deliver these stored lines.

    Attributes:
        worker: The worker that received the lines and has delivered them. Not a worker's id if the site sent the lines.
        has_missed: Whether signals of this worker may have been lost, so that the others must read the history.
    """

    topic = "messages"

    worker: str
    lines: Sequence[StoredLine] = ()
    has_missed: bool = False


class PresenceChanged(Signal, frozen=True):
    """Worker → workers. The worker is alive, and some of its sockets opened, changed or closed.

    Attributes:
        sockets: The sockets that opened or changed.
        gone: The ids of the sockets that closed.
        is_leaving: Whether the worker is stopping.
        is_again: Whether the sockets are repeated because signals were lost, and so are not new.
        count: How many sockets the worker has announced in all, including this signal. None if it does not say.
    """

    topic = "presence"

    worker: str
    sockets: Sequence[SocketPresence] = ()
    gone: Sequence[str] = ()
    is_leaving: bool = False
    is_again: bool = False
    count: int | None = None


class PlayerSigned(Signal, frozen=True):
    """Worker → workers. A player of a game signed in or out.

    Attributes:
        is_announced: Whether sockets of other games are notified. False if the game is not displayed or the player is
            banned.
    """

    topic = "players"

    worker: str
    op: Literal["in", "out"]
    peer: PeerKey
    game: str
    name: str
    is_announced: bool = field(name="is_told")


class TellAccepted(Signal, frozen=True):
    """Worker → workers. A worker has accepted a tell: count it for the limits, and deliver it.

    Attributes:
        peer: The sender's peer key.
        player: The sender's player key.
        to_sockets: The ids of the receiving sockets, which are connected to other workers.
        frame: The frame to send to them. None if the sender's worker has delivered it.
    """

    topic = "tells"

    worker: str
    peer: PeerKey
    player: str
    to_sockets: Sequence[str] = ()
    frame: str | None = None


class ChannelsCreated(Signal, frozen=True):
    """Worker → workers. A peer created channels by subscribing to them: count them for the limits."""

    topic = "channels-created"

    worker: str
    peer: PeerKey
    count: int


class ModerationChanged(Signal, frozen=True):
    """Site or worker → workers. Read these parts of the moderation view again, or all if a revision was missed."""

    topic = "moderation"

    revision: int
    parts: Sequence[str]


class SystemTell(Struct, frozen=True):
    """A tell from `system` to the player with this peer key and player key."""

    peer: PeerKey
    player: str
    text: str


class PlayersWarned(Signal, frozen=True):
    """Site or worker → workers. Deliver these warnings to players who are online."""

    topic = "moderation"

    tells: Sequence[SystemTell]


_CLASSES: dict[str, list[type[Signal]]] = defaultdict(list)
for _class in Signal.__subclasses__():
    _CLASSES[_class.topic].append(_class)


MARK_START = b'{"takeover_mark":'


def decode_mark(body: bytes) -> TakeoverMarked:
    """Return the signal in a message that begins with MARK_START."""
    return msgspec.json.decode(body, type=TakeoverMarked)


def encode(signal: Signal) -> bytes:
    """Return the JSON that is published on the signal's topic."""
    return msgspec.json.encode(signal)


def decode(topic: str, body: bytes) -> list[Signal]:
    """Return the signals in a message. The list is empty if only a newer version knows the signal.

    Raises:
        msgspec.MsgspecError: The message is not JSON, or does not belong on this topic.
    """
    classes = _CLASSES[topic]
    if len(classes) > 1:
        keys = msgspec.json.decode(body, type=dict[str, msgspec.Raw]).keys()
        classes = [cls for cls in classes if _required_keys(cls) <= keys]
    return [msgspec.json.decode(body, type=cls) for cls in classes]


def _required_keys(signal_class: type[Signal]) -> set[str]:
    return {key.encode_name for key in msgspec.structs.fields(signal_class) if key.required}
