"""One WebSocket connection after its upgrade: messages in, frames out, and the end of it. Source: docs/protocol.md, §1.

An idle connection is a descriptor and a watcher on it: no greenlet, no buffers. Reading borrows a `Reader` (frames are
parsed by `websockets`' sans-I/O protocol) from a pool for as long as a message is under way; messages are handed on, in
order, by a greenlet that lives while there are any. Writing is the fan-out's alone (fanout.py): it calls write(), which
never blocks; what the kernel does not take waits in a bounded `Outbox`, again only as long as there is something in it.

Limits, each with the close code that the client gets: a message over `message_bytes`, or in more than
`message_fragments` fragments, 1009; a binary message 1003; not UTF-8 1007; whatever RFC 6455 forbids 1002; more
than `outbound_bytes` waiting to be sent 4002. A socket that takes nothing at all for `stall_seconds` while
something waits is dropped.

Everything here runs in the hub's thread; only received(), closed() and wait_below() may switch greenlets.
"""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Hashable
from typing import Any, Protocol

import gevent
from gevent.event import Event
from gevent.hub import get_hub
from websockets.frames import BINARY, CONT, TEXT, CloseCode
from websockets.protocol import OPEN

from worker.wire.descriptors import has_unsent, reset_on_close, shut_down
from worker.wire.fanout import Fanout, Group, Subscriber
from worker.wire.reader import Limits, Reader

log = logging.getLogger(__name__)

TOO_SLOW = 4002

# So much is read at a time. Small, because all the frames in it are parsed at once, tiny ones at up to 20 µs each.
_read_buffer = bytearray(4096)
_read_view = memoryview(_read_buffer)

# So much of an outbox is joined for one write.
_WRITE_BYTES = 256 * 1024

# After so many messages of one connection, the others get their turn.
_MESSAGES_A_TURN = 32

_REASON_BYTES = 123
_READABLE, _WRITABLE = 1, 2

# Bits of a transport's state; none set while it is open.
_CLOSING = 1  # our close frame is on its way
_PEER_DONE = 2  # nothing that still comes is of interest
_FLUSHED = 4  # all we have to say was given to the kernel
_GONE = 8  # the descriptor is closed
_TOLD = 16  # closed() was called


class SocketHandler(Protocol):
    """What the layer above makes of a connection."""

    @property
    def transport(self) -> "Transport": ...
    @property
    def peer_key(self) -> Hashable: ...
    @property
    def variant(self) -> int: ...

    def received(self, data: bytes) -> None:
        """Take one whole message, valid UTF-8. Called in order, one at a time, in a greenlet; may block."""

    def closed(self, code: int | None, reason: str) -> None:
        """Take leave. Called exactly once, in a greenlet, after the last received() has returned.

        code: the client's own (1005 where its close frame had none), or the one we closed with; None where the socket
        just vanished.
        """


class Outbox:
    """What one connection's kernel buffer had no room for."""

    __slots__ = ("chunks", "nbytes", "watcher")

    def __init__(self, watcher: Any) -> None:
        self.chunks: deque[bytes] = deque()
        self.nbytes = 0
        self.watcher = watcher


class Wire:
    """What all connections of one worker share.

    connections: open now. queue_drops, stall_drops: connections given up for a full outbox, or for taking nothing.
    """

    def __init__(self, fanout: Fanout, limits: Limits | None = None) -> None:
        self.fanout = fanout
        self.limits = limits or Limits()
        self.loop = get_hub().loop
        self.connections = 0
        self.queue_drops = 0
        self.stall_drops = 0
        self._readers: list[Reader] = []

    def borrow_reader(self) -> Reader:
        return self._readers.pop() if self._readers else Reader(self.limits)

    def return_reader(self, reader: Reader) -> None:
        if len(self._readers) < self.limits.idle_readers:
            self._readers.append(reader)


class Transport:
    """One connection's socket.

    fd: a non-blocking TCP socket, past the upgrade, now the transport's own. Nothing happens before start().
    opened_at: time.monotonic() of the upgrade.
    """

    __slots__ = (
        "_ending",
        "_fd",
        "_handler",
        "_is_paused",
        "_is_pumping",
        "_outbox",
        "_progress",
        "_reader",
        "_state",
        "_timer",
        "_watcher",
        "_wire",
        "address",
        "group",
        "opened_at",
        "pending_bytes",
        "subscriber",
    )

    def __init__(self, wire: Wire, fd: int, address: str) -> None:
        self.address = address
        self.opened_at = time.monotonic()
        self.group: Group | None = None
        self.subscriber: Subscriber | None = None
        self.pending_bytes = 0
        self._wire = wire
        self._fd = fd
        self._handler: SocketHandler | None = None
        self._state = 0
        self._ending: tuple[int | None, str] | None = None
        self._reader: Reader | None = None
        self._outbox: Outbox | None = None
        self._progress: Event | None = None
        self._timer: Any = None
        self._watcher: Any = wire.loop.io(fd, _READABLE)
        self._is_paused = True
        self._is_pumping = False
        wire.connections += 1

    def start(self, handler: SocketHandler, early: bytes = b"") -> None:
        """Begin to read. early: what the client sent along with its handshake."""
        self._handler = handler
        self._resume_reading()
        if early and not self._state:
            self._feed(early)
        if self._state:
            self._wake_pump()

    @property
    def is_closing(self) -> bool:
        """Whether the connection is over: nothing can be sent any more."""
        return self._state & (_CLOSING | _GONE) != 0

    @property
    def pace_bytes(self) -> int:
        """More than this should not wait here because of one who sends much at once: see wait_below()."""
        return self._wire.limits.outbound_bytes // 4

    @property
    def queued_bytes(self) -> int:
        """What was sent here and has not reached the kernel yet. Over the limit, the connection closes with 4002."""
        return self.pending_bytes + (self._outbox.nbytes if self._outbox else 0)

    def send(self, framed: bytes) -> None:
        """Send one ready frame. Never blocks; ignored once the connection closes.

        More than `outbound_bytes` sent at once is too much for the fastest reader: pace it with wait_below().
        """
        if self._state & (_CLOSING | _GONE):
            return
        if self.queued_bytes + len(framed) > self._wire.limits.outbound_bytes:
            self._close_as_too_slow()
            return
        self._wire.fanout.unicast(self, framed)

    def wait_below(self, nbytes: int, timeout: float) -> bool:
        """Wait until at most nbytes are queued. False after `timeout` seconds, or once the connection closes."""
        deadline = time.monotonic() + timeout
        while not self.is_closing and self.queued_bytes > nbytes:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._progress is None:
                self._progress = Event()
            self._progress.wait(left)
        return not self.is_closing

    def close(self, code: int, reason: str) -> None:
        """Send what is queued and a close frame, give the client some seconds to answer, then drop the connection.

        Messages that wait for the handler are thrown away; closed() comes as soon as received() has returned.
        Ignored if the connection closes already. Raises ValueError for 1000: clients take it for a farewell and do
        not come back.
        """
        if code == CloseCode.NORMAL_CLOSURE:
            raise ValueError("the worker never closes with 1000")
        if not self.is_closing:
            self._close(code, reason, self._wire.limits.close_seconds)

    def abort(self) -> None:
        """Drop the connection at once, without a close frame. closed() is told that it vanished, if it was open."""
        self._clear_inbox()
        self._drop()

    # Reading

    def _on_readable(self) -> None:
        try:
            count = os.readv(self._fd, (_read_view,))
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self._drop()
        elif not self._state & _PEER_DONE:
            self._feed(_read_view[:count])

    def _feed(self, data: bytes | memoryview) -> None:
        reader = self._reader
        if reader is None:
            reader = self._reader = self._wire.borrow_reader()
        reader.receive_data(data)  # type: ignore[arg-type]  # it is appended to a bytearray
        events = reader.events_received()
        if self._state:
            # We closed; the only thing still of interest is the client's close frame.
            reader.data_to_send()
            if reader.eof_sent:
                self._state |= _PEER_DONE
                self._shut_down_if_done()
            return
        for frame in events:
            if frame.opcode is TEXT or frame.opcode is CONT or frame.opcode is BINARY:  # type: ignore[union-attr]
                reader.take(frame)  # type: ignore[arg-type]
                if reader.state is not OPEN:
                    break
        answer = b"".join(reader.data_to_send())
        if reader.state is not OPEN:
            assert reader.close_sent is not None
            self._state |= _PEER_DONE
            reader.farewell = (answer, int(reader.close_sent.code), reader.close_sent.reason)
            if reader.inbox or self._is_pumping:
                # The messages before it are answered first: the pump says farewell.
                self._wake_pump()
            else:
                self._say_farewell(reader.farewell)
            return
        if answer:
            self.send(answer)
        if reader.inbox:
            self._wake_pump()
            if reader.is_full:
                self._pause_reading()
        else:
            self._release_reader()

    def _release_reader(self) -> None:
        reader = self._reader
        if reader is not None and not self._is_pumping and reader.is_at_boundary:
            self._reader = None
            self._wire.return_reader(reader)

    def _clear_inbox(self) -> None:
        if self._reader is not None:
            self._reader.inbox.clear()
            self._reader.inbox_bytes = 0

    def _pause_reading(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._watcher.stop()

    def _resume_reading(self) -> None:
        if self._is_paused and not self._state & _GONE:
            self._is_paused = False
            self._watcher.start(self._on_readable)

    # Handing on

    def _wake_pump(self) -> None:
        if not self._is_pumping and self._handler is not None and not self._state & _TOLD:
            self._is_pumping = True
            gevent.spawn_raw(self._pump)

    def _pump(self) -> None:
        """Hand the inbox to the handler, and its end if it has come."""
        handler, reader = self._handler, self._reader
        assert handler is not None
        turn = _MESSAGES_A_TURN
        while reader is not None and reader.inbox:
            data = reader.inbox.popleft()
            reader.inbox_bytes -= len(data)
            if self._is_paused and reader.has_room:
                self._resume_reading()
            try:
                handler.received(data)
            except (Exception, gevent.Timeout):
                log.exception("a message could not be handled")
                self.close(CloseCode.INTERNAL_ERROR, "internal error")
            turn -= 1
            if not turn:
                turn = _MESSAGES_A_TURN
                gevent.sleep(0)
            self._wire.fanout.wait_for_room()
        if reader is not None and reader.farewell is not None and self._ending is None:
            self._say_farewell(reader.farewell)
        self._is_pumping = False
        if self._ending is None:
            self._release_reader()
        elif not self._state & _TOLD:
            self._state |= _TOLD
            self._handler = None
            try:
                handler.closed(*self._ending)
            except (Exception, gevent.Timeout):
                log.exception("the end of a connection could not be handled")

    # Writing: the fan-out calls these

    def write(self, data: bytes) -> None:
        """Write without blocking; keep what does not go. The fan-out's alone: others send()."""
        if self._state & _FLUSHED:
            return
        outbox = self._outbox
        if outbox is not None:
            outbox.chunks.append(data)
            outbox.nbytes += len(data)
            if outbox.nbytes > self._wire.limits.outbound_bytes:
                self._close_as_too_slow()
            return
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop()
            return
        if sent < len(data):
            self._open_outbox(data, sent)
        elif self._progress is not None:
            self._report_progress()

    def flushed(self) -> None:
        """The close frame was the last thing given to write()."""
        self._state |= _FLUSHED
        self._shut_down_if_done()

    def _open_outbox(self, data: bytes, sent: int) -> None:
        watcher = self._wire.loop.io(self._fd, _WRITABLE)
        outbox = self._outbox = Outbox(watcher)
        outbox.chunks.append(data[sent:] if sent else data)
        outbox.nbytes = len(data) - sent
        watcher.start(self._on_writable)
        if self._timer is None:
            self._start_timer(self._wire.limits.stall_seconds)
        if outbox.nbytes > self._wire.limits.outbound_bytes:
            self._close_as_too_slow()

    def _on_writable(self) -> None:
        outbox = self._outbox
        assert outbox is not None
        chunks = outbox.chunks
        data = chunks.popleft()
        if chunks and len(data) < _WRITE_BYTES:
            parts, size = [data], len(data)
            while chunks and size < _WRITE_BYTES:
                parts.append(chunks.popleft())
                size += len(parts[-1])
            data = b"".join(parts)
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop()
            return
        outbox.nbytes -= sent
        if sent < len(data):
            chunks.appendleft(data[sent:] if sent else data)
        if sent and not self._state & _CLOSING:
            self._timer.again(self._on_deadline)
        if not outbox.nbytes:
            self._close_outbox()
        self._report_progress()
        self._shut_down_if_done()

    def _close_outbox(self) -> None:
        if self._outbox is not None:
            self._outbox.watcher.stop()
            self._outbox.watcher.close()
            self._outbox = None
            if not self._state & _CLOSING:
                self._stop_timer()

    def _report_progress(self) -> None:
        if self._progress is not None:
            progress, self._progress = self._progress, None
            progress.set()

    # The end

    def _close(self, code: int, reason: str, seconds: float, *, at_once: bool = False) -> None:
        self._clear_inbox()
        if self._reader is None:
            self._reader = self._wire.borrow_reader()
        elif self._reader.farewell is not None:
            self._say_farewell(self._reader.farewell)
            return
        self._reader.send_close(code, reason.encode()[:_REASON_BYTES].decode(errors="ignore"))
        frame = b"".join(self._reader.data_to_send())
        self._begin_to_close(frame, code, reason, seconds, at_once=at_once)

    def _close_as_too_slow(self) -> None:
        """Give up a client that does not read.

        Its kernel buffer is full, so that even the close frame has little hope. What waits is thrown away, but for the
        rest of what is half written: the close frame must not land within another frame.
        """
        if self._state:
            # It overflows while it closes: the close frame would not reach it in time either.
            self._drop()
            return
        self._wire.queue_drops += 1
        if self._outbox is not None:
            first = self._outbox.chunks.popleft()
            self._outbox.chunks.clear()
            self._outbox.chunks.append(first)
            self._outbox.nbytes = len(first)
        self._wire.fanout.drop(self)
        self._close(TOO_SLOW, "too slow: the outbound queue is full", self._wire.limits.slow_seconds, at_once=True)

    def _say_farewell(self, farewell: tuple[bytes, int, str]) -> None:
        frame, code, reason = farewell
        self._begin_to_close(frame, code, reason, self._wire.limits.close_seconds)

    def _begin_to_close(self, frame: bytes, code: int, reason: str, seconds: float, *, at_once: bool = False) -> None:
        self._state |= _CLOSING
        self._ending = (code, reason)
        if at_once:
            self.write(frame)
            self.flushed()
        else:
            self._wire.fanout.finish(self, frame)
        if self._state & _GONE:
            return
        self._start_timer(seconds)
        self._resume_reading()
        self._report_progress()
        self._wake_pump()

    def _shut_down_if_done(self) -> None:
        """Once either side has said its last, end our half, and read on until the client ends its own.

        Closing the descriptor while the client's data is unread would make the kernel send a reset, which can
        overtake the close frame.
        """
        done = _PEER_DONE | _FLUSHED
        if self._state & (done | _GONE) == done and self._outbox is None:
            try:
                shut_down(self._fd)
            except OSError:
                self._drop()

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._wire.loop.timer(seconds, seconds)
        self._timer.start(self._on_deadline)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _on_deadline(self) -> None:
        if not self._state & _CLOSING:
            self._wire.stall_drops += 1
        self._drop(is_late=True)

    def _drop(self, *, is_late: bool = False) -> None:
        """Let go of the socket, whatever state it is in. is_late: the client had its time to take what was sent."""
        if self._state & _GONE:
            return
        must_reset = self._outbox is not None or (is_late and has_unsent(self._fd))
        self._state |= _GONE | _PEER_DONE
        self._close_outbox()
        self._stop_timer()
        self._watcher.stop()
        self._watcher.close()
        fd, self._fd = self._fd, -1
        if must_reset:
            reset_on_close(fd)
        # Not os.close: gevent puts that off to a turn of its loop that may be a long time coming.
        socket.close(fd)
        self._wire.connections -= 1
        self._wire.fanout.drop(self)
        if self._ending is None:
            self._ending = (None, "")
        if not self._is_pumping and (self._reader is None or not self._reader.inbox):
            self._reader = None
        self._report_progress()
        self._wake_pump()
