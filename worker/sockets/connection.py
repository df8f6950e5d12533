"""One socket: who it is, what it declared, what it is subscribed to, and the way to send to it.

Knows nothing of the rest of the worker: what a message or the end of the socket causes is in its `Callbacks`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import fields

from shared.peer_keys import PeerKey
from shared.protocol import fresh_ref
from shared.request_ids import start_work
from shared.services.peers import Peer
from worker.sockets.buckets import SocketLimits
from worker.sockets.newest import Newest
from worker.wire.frames import frame_text
from worker.wire.transport import Transport

DEBUG_SECONDS = 300.0
STALLED_SECONDS = 30.0
FRAME_BYTES = 1024  # of each frame in a trace; the rest is cut off
EARLY_FRAMES = 10  # in the trace of a socket that has not authenticated

Trace = Newest[tuple[float, bool, bytes]]
"""The last frames of one peer: Unix time, whether the frame came in, JSON."""


class Callbacks(NamedTuple):
    """What the worker does for the sockets of one endpoint. All of them share one object.

    Attributes:
        answer: Handles a message and returns the frames to send back, as JSON. It may block.
        admit: Charges a ping or pong as an event, and returns whether it is within the limit.
        closed: Called once, when the socket has closed, with the close code (None if the connection broke) and the
            reason.
    """

    answer: Callable[[Connection, bytes], list[bytes]]
    admit: Callable[[Connection], bool]
    closed: Callable[[Connection, int | None, str], None]


class ConnectionState(Struct, kw_only=True, omit_defaults=True):
    """The attributes of `Connection` that another process needs to continue."""

    id: str
    opened_at: float
    seen_at: float
    peer: Peer | None = None
    supports: frozenset[str] = frozenset()
    channels: dict[int, int] = {}
    history_position: int = 0
    players: dict[str, str] = {}
    variant: int = 0
    version: str = "1.0.0"
    user_agent: str | None = None
    debug_until: float = 0.0
    missed_heartbeats: int = 0
    claimed: PeerKey | None = None
    claimed_id: str = ""
    trace: list[tuple[float, bool, bytes]] = []


_STATE_FIELDS = [field.name for field in fields(ConnectionState) if field.name != "trace"]


class Connection:
    """One socket of a game or an application.

    Attributes:
        peer: None until the socket has authenticated.
        channels: the time of each subscription (Unix time), by channel id.
        players: the names this socket has listed, by player key.
        variant: 1 for clients of version 2.4.0 and later, whose broadcasts carry an id; otherwise 0.
        has_spoken: whether a line of this socket was stored (by this process).
        claimed: the peer key that an `authenticate` named, even if it failed, so that the owner can be shown why.
        claimed_id: the client id that an `authenticate` named, until the socket has authenticated.
        trace: the last frames. Once the socket has authenticated, all sockets of the peer share one.
        goodbye: the code and the reason to close with once the answers are sent.
    """

    __slots__ = (
        "callbacks",
        "channels",
        "claimed",
        "claimed_id",
        "debug_until",
        "goodbye",
        "has_spoken",
        "history_position",
        "id",
        "is_open",
        "limits",
        "missed_heartbeats",
        "opened_at",
        "peer",
        "players",
        "seen_at",
        "supports",
        "trace",
        "transport",
        "user_agent",
        "variant",
        "version",
        "__weakref__",
    )

    def __init__(self, callbacks: Callbacks, transport: Transport) -> None:
        self.callbacks = callbacks
        self.transport = transport
        self.id = fresh_ref()
        self.opened_at = self.seen_at = time.time()
        self.is_open = True
        self.peer: Peer | None = None
        self.supports: frozenset[str] = frozenset()
        self.channels: dict[int, int] = {}
        self.history_position = 0
        self.players: dict[str, str] = {}
        self.variant = 0
        self.version = "1.0.0"
        self.user_agent: str | None = None
        self.debug_until = 0.0
        self.missed_heartbeats = 0
        self.goodbye: tuple[int, str] | None = None
        self.has_spoken = False
        self.limits = SocketLimits()
        self.claimed: PeerKey | None = None
        self.claimed_id = ""
        self.trace: Trace = Newest(EARLY_FRAMES)

    def ids(self) -> Mapping[str, str]:
        """Return the ids of this socket, for log lines and statements (`shared/request_ids.py`)."""
        request_id = self.transport.request_id
        return {"connection": self.id, "request": request_id} if request_id else {"connection": self.id}

    def export_state(self) -> ConnectionState:
        """Return what another process needs to continue, without limits and without the transport."""
        state = {name: getattr(self, name) for name in _STATE_FIELDS}
        # Later, all sockets of the peer share a trace, which the recorder exports.
        return ConnectionState(**state, trace=list(self.trace) if self.peer is None else [])

    def restore(self, state: ConnectionState) -> None:
        """Continue where another process has stopped."""
        for name in _STATE_FIELDS:
            setattr(self, name, getattr(state, name))
        self.trace.add_all(state.trace)

    @property
    def peer_key(self) -> PeerKey | None:
        """The key of the peer, which all its sockets have in common."""
        return None if self.peer is None else self.peer.key

    @property
    def listener_key(self) -> str | None:
        """The key by which a broadcast can leave this socket out: here the peer's, in a browser the person's."""
        return None if self.peer is None else self.peer.key

    @property
    def user_id(self) -> int | None:
        """The account that speaks through this socket; None unless it is a browser's."""
        return None

    @property
    def is_newcomer(self) -> bool:
        """True until the socket has authenticated. It must do so in time."""
        return self.peer is None

    @property
    def is_application(self) -> bool:
        """True for sockets of network applications."""
        return self.peer is not None and self.peer.is_application

    @property
    def is_debugging(self) -> bool:
        """True while requests without a ref are answered as well."""
        return self.debug_until > 0 and time.monotonic() < self.debug_until

    def debug(self) -> None:
        """Answer requests without a ref too, for DEBUG_SECONDS."""
        self.debug_until = time.monotonic() + DEBUG_SECONDS

    def send(self, frame: bytes) -> None:
        """Send the JSON of one frame. Never waits."""
        self._trace(time.time(), False, frame)
        self.transport.send(frame_text(frame))

    def send_all(self, frames: Iterable[bytes]) -> None:
        """Send the JSON of many frames, as fast as the client reads them. May wait."""
        piece: list[bytes] = []
        size = 0
        for frame in frames:
            self._trace(time.time(), False, frame)
            piece.append(frame_text(frame))
            size += len(frame)
            if size >= self.transport.pace_bytes // 4:
                if not self.wait_for_room():
                    return
                self.transport.send(b"".join(piece))
                piece, size = [], 0
        if piece and self.wait_for_room():
            self.transport.send(b"".join(piece))

    def wait_for_room(self, seconds: float = STALLED_SECONDS) -> bool:
        """Wait while so much is queued that the sender of many frames must pause.

        Returns False if the client does not read for this long, or the socket closes.
        """
        transport = self.transport
        pace = transport.pace_bytes
        return transport.queued_bytes <= pace or transport.wait_below(pace // 2, seconds)

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then close with this code and reason."""
        self.transport.close(code, reason)

    def received(self, data: bytes) -> None:
        """Handle one message. The transport calls this, in order.

        A client that sends many requests is answered only as fast as it reads the answers.
        """
        start_work(self)
        self.seen_at = time.time()
        self._trace(self.seen_at, True, data)
        for frame in self.callbacks.answer(self, data):
            self.wait_for_room()
            self.send(frame)
        if self.goodbye is not None:
            self.close(*self.goodbye)

    def control_frames(self, count: int) -> bool:
        """Count pings and pongs as events. The transport calls this. Returns whether all of them are admitted."""
        return all([self.callbacks.admit(self) for _ in range(count)])

    def closed(self, code: int | None, reason: str) -> None:
        """Mark the socket as gone. The transport calls this, once."""
        start_work(self)
        self.is_open = False
        self.callbacks.closed(self, code, reason)

    def _trace(self, at: float, is_incoming: bool, frame: bytes) -> None:
        self.trace.add((at, is_incoming, frame if len(frame) <= FRAME_BYTES else frame[:FRAME_BYTES]))
