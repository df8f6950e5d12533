"""Reads messages from the bytes of a connection, checks them, and queues them for the handler.

The sans-I/O protocol of `websockets` parses the frames. This module checks that a message is text, is valid UTF-8, and
does not exceed the limits on its total size and on the number of its fragments (docs/protocol.md, §1). No I/O.
"""

import logging
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

from msgspec import Struct
from websockets.frames import BINARY, CloseCode, Frame
from websockets.protocol import OPEN, SERVER
from websockets.protocol import Protocol as WebSocketProtocol
from websockets.streams import StreamReader

from worker.wire.parser_state import is_between_frames

# Silence the library's logger, which would report the end of each connection.
_protocol_log = logging.getLogger(f"{__name__}.protocol")
_protocol_log.setLevel(logging.ERROR)

_CONTROL_BYTES = 125


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for one connection."""

    message_bytes: int = 65_536
    message_fragments: int = 64
    early_bytes: int = 16 * 1024
    """The longest message before a connection has authenticated. It bounds what strangers make the worker remember."""
    outbound_bytes: int = 1_048_576
    inbox_messages: int = 64
    inbox_bytes: int = 262_144
    close_seconds: float = 5.0
    """How long a client has to receive what was queued before our close frame, and to answer it."""
    slow_seconds: float = 2.0
    """The same, if the connection is closed because the client is too slow."""
    stall_seconds: float = 30.0
    idle_readers: int = 256
    """How many unused readers are kept for reuse. A reader is held while its connection authenticates, and to make one
    costs 60 µs."""


class ReaderState(Struct, omit_defaults=True):
    """What a reader has read and not passed on, for another process that continues.

    Attributes:
        raw: The bytes of a frame that has not arrived completely.
        message_bytes: How much of a fragmented message has arrived, as the parser counts it. None outside a message.
        fragments: The parts of that message.
        inbox: The messages that the handler has not received.
        farewell: See `Reader`.
    """

    raw: bytes = b""
    message_bytes: int | None = None
    fragments: list[bytes] = []
    inbox: list[bytes] = []
    farewell: tuple[bytes, int, str] | None = None


class _Stream(StreamReader):
    """A stream that keeps what the parser has taken of the frame in progress, which is only its head."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = bytearray()

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        while len(self.buffer) < n:  # never at the end of the stream: a lost connection is not passed to the parser
            yield
        data = self.buffer[:n]
        del self.buffer[:n]
        self.taken += data
        return data


class Reader(WebSocketProtocol):
    """The parser, the fragments so far, and the queue of whole messages for the handler.

    Attributes:
        farewell: The close frame that must follow the client's last frame, with its code and reason.
    """

    def __init__(self, limits: Limits) -> None:
        # The parser counts a control frame between fragments as part of the message. So its limit leaves room for one,
        # and take() enforces the exact limit.
        super().__init__(SERVER, state=OPEN, max_size=limits.message_bytes + _CONTROL_BYTES, logger=_protocol_log)
        self.reader: _Stream = _Stream()
        self.parser = self.parse()
        next(self.parser)
        self.limits = limits
        self._max_bytes = limits.message_bytes
        self._inbox_bytes = limits.inbox_bytes
        self.inbox: deque[bytes] = deque()
        self.inbox_bytes = 0
        self.farewell: tuple[bytes, int, str] | None = None
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0

    def set_trusted(self, is_trusted: bool) -> None:
        """Apply the limits of a connection that has authenticated, or of one that has not."""
        limits = self.limits
        self._max_bytes = limits.message_bytes if is_trusted else min(limits.early_bytes, limits.message_bytes)
        self._inbox_bytes = limits.inbox_bytes if is_trusted else min(4 * limits.early_bytes, limits.inbox_bytes)
        self.max_message_size = self._max_bytes + _CONTROL_BYTES

    def recv_frame(self, frame: Frame) -> None:
        self.reader.taken.clear()
        super().recv_frame(frame)

    def export_state(self) -> ReaderState:
        """Return what another process needs to continue. Changes nothing."""
        return ReaderState(
            raw=bytes(self.reader.taken + self.reader.buffer),
            message_bytes=self.current_size,
            fragments=list(self._fragments),
            inbox=list(self.inbox),
            farewell=self.farewell,
        )

    def restore(self, state: ReaderState) -> None:
        """Continue where another process has stopped, except for `raw`, which is still to be received."""
        self.current_size = state.message_bytes
        self._fragments = list(state.fragments)
        self._fragments_bytes = sum(map(len, state.fragments))
        self.inbox.extend(state.inbox)
        self.inbox_bytes = sum(map(len, state.inbox))
        self.farewell = state.farewell

    def release(self) -> None:
        """Release what was read. The reader cannot be used again.

        The parser and its generator refer to each other, so their memory would otherwise stay until a collection.
        """
        self.parser.close()
        self.reader.buffer.clear()
        self._fragments.clear()
        self.inbox.clear()

    @property
    def is_at_boundary(self) -> bool:
        """Whether no part of a message has been read, so that another connection may use this reader."""
        return is_between_frames(self.parser) and self.state is OPEN and self.current_size is None and not self.inbox

    @property
    def is_full(self) -> bool:
        """Whether to stop reading until the handler has caught up."""
        return len(self.inbox) >= self.limits.inbox_messages or self.inbox_bytes >= self._inbox_bytes

    @property
    def has_room(self) -> bool:
        """Whether to read on after a stop."""
        return len(self.inbox) <= self.limits.inbox_messages // 2 and self.inbox_bytes <= self._inbox_bytes // 2

    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        if code == CloseCode.MESSAGE_TOO_BIG:
            reason = f"a message may have at most {self._max_bytes} bytes in {self.limits.message_fragments} fragments"
            if self._max_bytes < self.limits.message_bytes:
                reason += ", before authentication"
        super().fail(code, reason)

    def take(self, frame: Frame) -> None:
        """Add a data frame to its message. Queue the message if it is complete, or fail the connection."""
        data = bytes(frame.data)
        if frame.opcode is BINARY:
            self.fail(CloseCode.UNSUPPORTED_DATA, "only text messages are accepted")
            return
        if self._fragments or not frame.fin:
            self._fragments.append(data)
            self._fragments_bytes += len(data)
            if len(self._fragments) > self.limits.message_fragments:
                self.fail(CloseCode.MESSAGE_TOO_BIG)
                return
            if self._fragments_bytes <= self._max_bytes:
                if not frame.fin:
                    return
                data = b"".join(self._fragments)
                self._fragments.clear()
                self._fragments_bytes = 0
        if self._fragments or len(data) > self._max_bytes:
            self.fail(CloseCode.MESSAGE_TOO_BIG)
            return
        try:
            data.decode()
        except UnicodeDecodeError as error:
            self.fail(CloseCode.INVALID_DATA, f"not UTF-8: {error.reason} at byte {error.start}")
            return
        self.inbox.append(data)
        self.inbox_bytes += len(data)
