"""What two processes say to each other while one takes over from the other: the state of a worker, in one format.

`FORMAT` is the number of the format. A new field needs a default, and unknown fields are ignored, so the number only
changes if that is not enough. `Hello`, `Welcome` and `Refused` are the same in all formats: with them the two processes
find out, before anything moves, whether they understand each other.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from shared.peer_keys import PeerKey
from shared.services.chat_accounts import ChatAccount
from shared.services.connection_checks import Target
from shared.services.game_clients import ClientSoftware
from worker.chat.browser_notices import BrowserNoticesState
from worker.chat.catch_up import RemoteLinesState
from worker.diagnostics.recorder import DiagnosticsState
from worker.moderation.view import ModerationState
from worker.network.notices import NoticesState
from worker.network.presence import PresenceState
from worker.network.replicas import ReplicaState
from worker.signals import Mark
from worker.sockets.connection import ConnectionState
from worker.sockets.heartbeats import HeartbeatsState
from worker.sockets.limits import PeerLimitsState, SocketLimitsState
from worker.wire.transport import TransportState

FORMAT = 1


class Message(Struct, tag_field="message", omit_defaults=True):
    """The base of all messages."""


class Hello(Message, tag="hello"):
    """New → old. The first message. formats: those that the new process understands."""

    formats: list[int]
    version: str


class Welcome(Message, tag="welcome"):
    """Old → new. The format that will be used, and the identity that passes over."""

    format: int
    worker_id: str
    version: str


class Refused(Message, tag="refused"):
    """Either → the other. The takeover ends, and the old process keeps everything."""

    reason: str


class Ready(Message, tag="ready"):
    """New → old. The new process has read all it can, and listens to Redis."""


class Listeners(Message, tag="listeners"):
    """Old → new, with the descriptors of the listening sockets. names: of the servers, in the same order."""

    names: list[str]


class BrowserState(Struct, omit_defaults=True):
    """What a browser's connection has beside the state of every connection."""

    chatter: ChatAccount | None = None
    session_number: str = ""


class SocketState(Struct, omit_defaults=True):
    """One socket. browser: None for games and applications."""

    transport: TransportState
    connection: ConnectionState
    limits: SocketLimitsState
    browser: BrowserState | None = None


class Sockets(Message, tag="sockets"):
    """Old → new, with the descriptors of the sockets, in the same order."""

    sockets: list[SocketState]


class WorkerState(Message, tag="state"):
    """Old → new. Everything else, after all sockets.

    Attributes:
        mark: Up to where the old process has handled the signals from Redis. None if unknown.
        queue: Redis commands that were not sent.
        job: A job of the network that this worker has claimed and not finished.
    """

    mark: Mark | None
    feed_position: int
    queue: list[list[Any]] = []
    presence: PresenceState = PresenceState()
    notices: NoticesState = NoticesState()
    browser_notices: BrowserNoticesState = BrowserNoticesState()
    banned_players: list[tuple[PeerKey, str]] = []
    moderation: ModerationState = ModerationState()
    remote_lines: RemoteLinesState = RemoteLinesState()
    heartbeats: HeartbeatsState = HeartbeatsState()
    limits: list[PeerLimitsState] = []
    failures: list[tuple[str, int, float]] = []
    diagnostics: DiagnosticsState = DiagnosticsState()
    replicas: list[ReplicaState] = []
    read_marks: list[tuple[int, int, int]] = []
    tells: dict[str, int] = {}
    clients: dict[int, ClientSoftware] = {}
    job: str | None = None
    checks: list[Target] = []


class Prepared(Message, tag="prepared"):
    """New → old. The new process could serve at once."""


class Commit(Message, tag="commit"):
    """Old → new. The sockets are yours."""


class Serving(Message, tag="serving"):
    """New → old. The new process serves from now on. Until here it has touched no socket, and the old one can go on."""


class Late(Message, tag="late"):
    """Old → new, with a descriptor. A connection whose handshake the old process has finished after `Serving`.

    Attributes:
        path: The endpoint.
        early: What the client sent after its handshake.
        request_id: The id of the handshake.
    """

    path: str
    address: str
    early: bytes = b""
    request_id: str = ""


AnyMessage = Hello | Welcome | Refused | Ready | Listeners | Sockets | WorkerState | Prepared | Commit | Serving | Late

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(AnyMessage).decode
