"""Reading messages off a connection: the parser, what a message may be, and those that wait for the handler.

Frames are parsed by `websockets`' sans-I/O protocol. Checked here: the size of a message over its fragments, their
number, UTF-8, and that it is text (docs/protocol.md, §1). Touches no socket.
"""

import logging
from collections import deque
from dataclasses import dataclass

from websockets.frames import BINARY, CloseCode, Frame
from websockets.protocol import OPEN, SERVER
from websockets.protocol import Protocol as WebSocketProtocol
from websockets.streams import StreamReader

# The protocol library's own logger, quiet: it would report every connection that ends.
_protocol_log = logging.getLogger(f"{__name__}.protocol")
_protocol_log.setLevel(logging.ERROR)

_CONTROL_BYTES = 125


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may use."""

    message_bytes: int = 65_536
    message_fragments: int = 64
    outbound_bytes: int = 1_048_576
    inbox_messages: int = 64
    inbox_bytes: int = 262_144
    close_seconds: float = 5.0
    """How long a client has to answer our close frame, and to take what was queued before it."""
    slow_seconds: float = 2.0
    """The same where the close is for being too slow."""
    stall_seconds: float = 30.0
    idle_readers: int = 64
    """Readers kept for the next connections that need one."""


class Reader(WebSocketProtocol):
    """What reading a message needs: the parser, the fragments so far, and the messages that wait for the handler."""

    def __init__(self, limits: Limits) -> None:
        # The parser holds control frames to the same limit as the rest of the message they come amid. The limit
        # given to it leaves room for one; that of messages is checked to the byte in take().
        super().__init__(SERVER, state=OPEN, max_size=limits.message_bytes + _CONTROL_BYTES, logger=_protocol_log)
        self.limits = limits
        self.inbox: deque[bytes] = deque()
        self.inbox_bytes = 0
        self.farewell: tuple[bytes, int, str] | None = None
        """The close frame that the client's last frame calls for, with its code and reason."""
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0

    @property
    def is_at_boundary(self) -> bool:
        """Whether nothing of a message has been read: then a reader is as good as new, and any connection may use it.

        Asks the parser what it waits for. Were that to change in the library, the answer would be False for ever, which
        costs memory and harms nothing else (a test notices).
        """
        waits_in = getattr(self.parser, "gi_yieldfrom", None)
        return (
            waits_in is not None
            and waits_in.gi_code is StreamReader.at_eof.__code__
            and self.state is OPEN
            and self.current_size is None
            and not self.inbox
        )

    @property
    def is_full(self) -> bool:
        return len(self.inbox) >= self.limits.inbox_messages or self.inbox_bytes >= self.limits.inbox_bytes

    @property
    def has_room(self) -> bool:
        return len(self.inbox) <= self.limits.inbox_messages // 2 and self.inbox_bytes <= self.limits.inbox_bytes // 2

    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        if code == CloseCode.MESSAGE_TOO_BIG:
            reason = (
                f"a message may have {self.limits.message_bytes} bytes in {self.limits.message_fragments} fragments"
            )
        super().fail(code, reason)

    def take(self, frame: Frame) -> None:
        """Put the message that a data frame completes into the inbox, or fail the connection."""
        data = bytes(frame.data)
        if frame.opcode is BINARY:
            self.fail(CloseCode.UNSUPPORTED_DATA, "only text messages are understood")
            return
        if self._fragments or not frame.fin:
            self._fragments.append(data)
            self._fragments_bytes += len(data)
            if len(self._fragments) > self.limits.message_fragments:
                self.fail(CloseCode.MESSAGE_TOO_BIG)
                return
            if self._fragments_bytes <= self.limits.message_bytes:
                if not frame.fin:
                    return
                data = b"".join(self._fragments)
                self._fragments.clear()
                self._fragments_bytes = 0
        if self._fragments or len(data) > self.limits.message_bytes:
            self.fail(CloseCode.MESSAGE_TOO_BIG)
            return
        try:
            data.decode()
        except UnicodeDecodeError as error:
            self.fail(CloseCode.INVALID_DATA, f"not UTF-8: {error.reason} at byte {error.start}")
            return
        self.inbox.append(data)
        self.inbox_bytes += len(data)
