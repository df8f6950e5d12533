"""One socket of a peer: who it is, what it declared, what it hears. Takes frames from its transport, and answers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from shared.protocol import fresh_ref
from shared.services.peers import Peer
from worker.diagnostics.recorder import EARLY_FRAMES, FRAME_BYTES, Trace
from worker.dispatch import dispatch
from worker.routes import ROUTES
from worker.sockets.limits import SocketLimits
from worker.wire.frames import frame_text
from worker.wire.transport import Transport

if TYPE_CHECKING:
    from worker.worker import Worker

DEBUG_SECONDS = 300.0
STALLED_SECONDS = 30.0


class Connection:
    """One socket. `peer` is None until it has authenticated.

    channels: channel id → when it subscribed (Unix time). players: its own list, by key. variant: 1 for clients of
    version 2.4.0 and later, whose broadcasts carry more. claimed: the key of the peer whose client id an
    `authenticate` named, even if that failed: its owner is shown why. claimed_id: the client id as it was named.
    trace: its last frames, those of all the peer's sockets together.
    """

    __slots__ = (
        "channels",
        "claimed",
        "claimed_id",
        "debug_until",
        "goodbye",
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
        "worker",
        "__weakref__",
    )
    routes = ROUTES

    def __init__(self, worker: Worker, transport: Transport) -> None:
        self.worker = worker
        self.transport = transport
        self.id = fresh_ref()
        self.opened_at = self.seen_at = time.time()
        self.is_open = True
        self.peer: Peer | None = None
        self.supports: frozenset[str] = frozenset()
        self.channels: dict[int, float] = {}
        self.players: dict[str, str] = {}
        self.variant = 0
        self.version = "1.0.0"
        self.user_agent: str | None = None
        self.debug_until = 0.0
        self.missed_heartbeats = 0
        self.goodbye: tuple[int, str] | None = None
        self.limits = SocketLimits()
        self.claimed: str | None = None
        self.claimed_id = ""
        self.trace: Trace = deque(maxlen=EARLY_FRAMES)

    @property
    def peer_key(self) -> str | None:
        """What all sockets of one peer have in common."""
        return None if self.peer is None else self.peer.key

    @property
    def listener_key(self) -> str | None:
        """By what broadcasts are kept from it: whole peers are, or a person in their browsers."""
        return None if self.peer is None else self.peer.key

    @property
    def user_id(self) -> int | None:
        """The account that speaks, on a socket of a browser."""
        return None

    @property
    def is_application(self) -> bool:
        """True for sockets of network applications."""
        return self.peer is not None and self.peer.is_application

    @property
    def is_debugging(self) -> bool:
        """True while requests without a ref are answered as well."""
        return self.debug_until > 0 and time.monotonic() < self.debug_until

    def debug(self) -> None:
        """Answer requests without a ref for a while."""
        self.debug_until = time.monotonic() + DEBUG_SECONDS

    def send(self, frame: bytes) -> None:
        """Send the JSON of one frame. Never waits."""
        self.trace.append((time.time(), False, frame if len(frame) <= FRAME_BYTES else frame[:FRAME_BYTES]))
        self.transport.send(frame_text(frame))

    def send_all(self, frames: Iterable[bytes]) -> None:
        """Send the JSON of many frames, as fast as the socket takes them. May wait."""
        piece: list[bytes] = []
        size = 0
        for frame in frames:
            self.trace.append((time.time(), False, frame))
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
        """Wait while more waits for this socket than one sender of much may cause. False if it does not read, or is
        closed."""
        transport = self.transport
        pace = transport.pace_bytes
        return transport.queued_bytes <= pace or transport.wait_below(pace // 2, seconds)

    def close(self, code: int, reason: str) -> None:
        """Flush, then close with a code and a reason."""
        self.transport.close(code, reason)

    def received(self, data: bytes) -> None:
        """Handle one message (called by the transport, in order)."""
        self.seen_at = time.time()
        self.trace.append((self.seen_at, True, data if len(data) <= FRAME_BYTES else data[:FRAME_BYTES]))
        for frame in dispatch(self, data):
            self.send(frame)
        if self.goodbye is not None:
            self.close(*self.goodbye)

    def closed(self, code: int | None, reason: str) -> None:
        """The socket is gone (called by the transport, once)."""
        self.is_open = False
        self.worker.forget(self, code, reason)
