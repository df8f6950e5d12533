"""One WebSocket connection after its upgrade: reads messages, writes frames, and closes. Source: docs/protocol.md, §1.

An idle connection is a descriptor and a watcher on it, without a greenlet or buffers. While a message arrives, the
connection borrows a `Reader` from a pool. A greenlet passes messages to the handler, in order, and ends when there are
none left. Only the fan-out (fanout.py) writes: it calls write(), which never blocks. Bytes that the kernel does not
accept are queued in a bounded `Outbox` (outbox.py), which exists only while it contains something.

The close codes of the limits are:

- 1002 for anything that RFC 6455 forbids;
- 1003 for a binary message, and 1007 for a text that is not UTF-8;
- 1009 for a message over `message_bytes`, or in more than `message_fragments` fragments;
- 4002 if more than `outbound_bytes` are queued.

If a socket accepts no bytes for `stall_seconds` while something is queued, it is dropped.

Everything here runs in the hub's thread. Only received(), closed() and wait_below() may switch greenlets.
"""

import _socket
import logging
import os
import socket
import time
from typing import Any, Protocol

import gevent
from gevent.event import Event
from msgspec import Struct
from websockets.frames import BINARY, CONT, TEXT, CloseCode
from websockets.protocol import OPEN

from worker.wire.descriptors import has_unsent, reset_on_close, shut_down
from worker.wire.groups import Group, Subscriber
from worker.wire.outbox import Outbox
from worker.wire.reader import Reader, ReaderState
from worker.wire.wire import Wire

log = logging.getLogger(__name__)

TOO_SLOW = 4002

# Reads are small, because all frames in one are parsed at once, and even a tiny one can take 20 µs.
_read_buffer = bytearray(4096)
_read_view = memoryview(_read_buffer)

# After this many messages of one connection, the others get their turn.
_MESSAGES_A_TURN = 32

_REASON_BYTES = 123

# A client that floods the worker with pings is read again after this time.
_FLOOD_PAUSE_SECONDS = 0.5

_READABLE = 1

# Bits of a transport's state. None is set while it is open.
_CLOSING = 1  # our close frame is queued or sent
_PEER_DONE = 2  # anything that the client still sends is ignored
_FLUSHED = 4  # our last frame was passed to write()
_DROPPED = 8  # the descriptor is closed
_REPORTED = 16  # closed() was called


class SocketHandler(Protocol):
    """What a transport calls: the layer above, for one connection."""

    def received(self, data: bytes) -> None:
        """Handle one whole message, valid UTF-8. Called in order, one at a time, in a greenlet. May block."""

    def control_frames(self, count: int) -> bool:
        """Count pings and pongs. Must not block.

        Returns:
            Whether to answer them, and to go on reading at once.
        """

    def closed(self, code: int | None, reason: str) -> None:
        """Handle the end. Called exactly once, in a greenlet, after the last received() has returned.

        Args:
            code: The close code that the client or we sent first; 1005 if the client's close frame had none. None if
                the connection was lost.
        """


class TransportState(Struct, omit_defaults=True):
    """One open connection, for another process that continues with its descriptor.

    Attributes:
        opened_at: By the clock time.monotonic(), which all processes of a machine share.
        outbox: What the kernel has not accepted yet. It may begin inside a frame.
    """

    address: str
    opened_at: float
    request_id: str = ""
    is_trusted: bool = False
    reader: ReaderState | None = None
    outbox: bytes = b""


class Transport:
    """The socket of one connection.

    Attributes:
        address: The client's IP address.
        request_id: The id that a trusted proxy gave the handshake; otherwise "".
        opened_at: The time.monotonic() of the upgrade.
        direct: See `Output`.
    """

    __slots__ = (
        "_close_timer",
        "_ending",
        "_fd",
        "_handler",
        "_is_paused",
        "_is_pumping",
        "_is_trusted",
        "_outbox",
        "_progress",
        "_reader",
        "_socket",
        "_state",
        "_watcher",
        "_wire",
        "address",
        "direct",
        "group",
        "opened_at",
        "pending_bytes",
        "request_id",
        "subscriber",
    )

    def __init__(self, wire: Wire, fd: int, address: str, request_id: str = "") -> None:
        """Take ownership of an upgraded, non-blocking TCP socket. Nothing is read before start()."""
        self.address = address
        self.request_id = request_id
        self.opened_at = time.monotonic()
        self.group: Group | None = None
        self.subscriber: Subscriber | None = None
        self.pending_bytes = 0
        self._wire = wire
        self._fd = fd
        # The plain socket: gevent's would be four times as large. Its send() takes 0.2 µs less than os.write().
        self._socket = _socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
        self._socket.setblocking(False)
        self.direct: _socket.socket | None = self._socket
        self._handler: SocketHandler | None = None
        self._state = 0
        self._ending: tuple[int | None, str] | None = None
        self._reader: Reader | None = None
        self._outbox: Outbox | None = None
        self._progress: Event | None = None
        self._close_timer: Any = None
        self._watcher: Any = wire.loop.io(fd, _READABLE)
        self._is_paused = True
        self._is_pumping = False
        self._is_trusted = False
        wire.transports.add(self)

    def start(self, handler: SocketHandler, early: bytes = b"") -> None:
        """Start reading.

        Args:
            early: Bytes that the client sent right after its handshake, if they were read already.
        """
        self._handler = handler
        self._resume_reading()
        if early and not self._state:
            self._feed(early)
        if self._state:
            self._wake_pump()

    def trust(self) -> None:
        """Lift the limits of strangers: the connection has authenticated."""
        self._is_trusted = True
        self._wire.newcomers.remove(self)
        if self._reader is not None:
            self._reader.set_trusted(True)

    # Taking over, see `Wire`

    @property
    def fd(self) -> int:
        """The descriptor."""
        return self._fd

    @property
    def is_busy(self) -> bool:
        """Whether a message, or the end of the connection, is being handled."""
        return self._is_pumping or (self._ending is not None and not self._state & _REPORTED)

    @property
    def is_movable(self) -> bool:
        """Whether another process can continue with this connection: it is not closing."""
        return self._ending is None and not self._state & (_CLOSING | _DROPPED)

    def export_state(self) -> TransportState:
        """Return what another process needs to continue. Call this when the wire is still. Changes nothing."""
        return TransportState(
            address=self.address,
            opened_at=self.opened_at,
            request_id=self.request_id,
            is_trusted=self._is_trusted,
            reader=None if self._reader is None else self._reader.export_state(),
            outbox=b"" if self._outbox is None else self._outbox.contents(),
        )

    def restore(self, handler: SocketHandler, state: TransportState) -> None:
        """Continue where another process has stopped. The wire must be held; its release() starts everything."""
        self._handler = handler
        self.opened_at = state.opened_at
        self._is_trusted = state.is_trusted
        if state.reader is not None:
            reader = self._reader = self._wire.borrow_reader(is_trusted=state.is_trusted)
            reader.restore(state.reader)
            if reader.farewell is not None:
                self._state |= _PEER_DONE
            elif state.reader.raw:
                self._feed(state.reader.raw)
        if state.outbox:
            self._open_outbox(state.outbox, 0)

    def hold(self) -> None:
        """Stop reading, unless the connection is closing and only its end is awaited."""
        if not self._state & _CLOSING:
            self._pause_reading()
        self._report_progress()

    def release(self) -> None:
        """Read, handle and write again."""
        self.watch_outbox(is_watched=True)
        if self._handler is None:
            return
        reader = self._reader
        if reader is None or not reader.is_full:
            self._resume_reading()
        if reader is not None and (reader.inbox or reader.farewell is not None):
            self._wake_pump()

    def watch_outbox(self, *, is_watched: bool) -> None:
        """Start or stop writing what is queued."""
        if self._outbox is None:
            return
        if is_watched:
            self._outbox.watch(self._on_writable)
        else:
            self._outbox.unwatch()

    def detach(self) -> None:
        """Forget a connection with which another process continues. The handler is not told."""
        self._state |= _DROPPED | _PEER_DONE | _REPORTED
        self._close_outbox()
        self._release_descriptor()

    @property
    def is_closing(self) -> bool:
        """Whether the connection is closing or closed, so that nothing more can be sent."""
        return self._state & (_CLOSING | _DROPPED) != 0

    @property
    def pace_bytes(self) -> int:
        """How much one sender of many frames may queue here before it must pause (see wait_below)."""
        return self._wire.limits.outbound_bytes // 4

    @property
    def queued_bytes(self) -> int:
        """How much has been sent that is not in the kernel yet. Above the limit, the connection closes with 4002."""
        return self.pending_bytes + (self._outbox.nbytes if self._outbox else 0)

    def send(self, framed: bytes) -> None:
        """Send one ready frame. Never blocks. Ignored if the connection is closing.

        Call wait_below() between frames when sending many: sending more than `outbound_bytes` at once closes the
        connection, however fast the client reads.
        """
        if self._state & (_CLOSING | _DROPPED):
            return
        if self.queued_bytes + len(framed) > self._wire.limits.outbound_bytes and not self._wire.is_held:
            self._close_as_too_slow()
            return
        self._wire.fanout.unicast(self, framed)

    def wait_below(self, nbytes: int, timeout: float) -> bool:
        """Wait until at most nbytes are queued. Return False after `timeout` seconds, or if the connection closes."""
        deadline = time.monotonic() + timeout
        while not self.is_closing and self.queued_bytes > nbytes and not self._wire.is_held:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._progress is None:
                self._progress = Event()
                self.direct = None
            self._progress.wait(left)
        return not self.is_closing

    def close(self, code: int, reason: str) -> None:
        """Send what is queued and a close frame, wait some seconds for the answer, then drop the connection.

        Discards messages that the handler has not received yet, and calls closed() as soon as received() has returned.
        Ignored if the connection is closing already.

        Raises:
            ValueError: The code is 1000, after which clients do not reconnect.
        """
        if code == CloseCode.NORMAL_CLOSURE:
            raise ValueError("the worker never closes with 1000")
        if not self.is_closing:
            self._close(code, reason, self._wire.limits.close_seconds)

    def abort(self) -> None:
        """Drop the connection at once, without a close frame. If it was open, closed() is called with None."""
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
            reader = self._reader = self._wire.borrow_reader(is_trusted=self._is_trusted)
        reader.receive_data(data)  # type: ignore[arg-type]  # it is appended to a bytearray
        events = reader.events_received()
        if self._state:
            # We are closing: ignore everything except the client's close frame.
            reader.data_to_send()
            if reader.eof_sent:
                self._state |= _PEER_DONE
                self._shut_down_if_done()
            return
        control_frames = 0
        for frame in events:
            if frame.opcode is TEXT or frame.opcode is CONT or frame.opcode is BINARY:  # type: ignore[union-attr]
                reader.take(frame)  # type: ignore[arg-type]
                if reader.state is not OPEN:
                    break
            else:
                control_frames += 1
        answer = b"".join(reader.data_to_send())
        if reader.state is not OPEN:
            assert reader.close_sent is not None
            self._state |= _PEER_DONE
            reader.farewell = (answer, int(reader.close_sent.code), reader.close_sent.reason)
            if reader.inbox or self._is_pumping:
                # The messages before it are answered first. Then the pump sends it.
                self._wake_pump()
            else:
                self._send_farewell(reader.farewell)
            return
        if control_frames and self._handler is not None and not self._handler.control_frames(control_frames):
            self._pause_reading()
            gevent.spawn_later(_FLOOD_PAUSE_SECONDS, self._resume_reading)
        elif answer:
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
        if self._is_paused and not self._state & _DROPPED and (not self._wire.is_held or self._state & _CLOSING):
            self._is_paused = False
            self._watcher.start(self._on_readable)

    # Passing messages to the handler

    def _wake_pump(self) -> None:
        if not self._is_pumping and self._handler is not None and not self._state & _REPORTED:
            self._is_pumping = True
            gevent.spawn_raw(self._pump)

    def _pump(self) -> None:
        """Pass the queued messages to the handler, and the end of the connection if it has ended."""
        handler, reader = self._handler, self._reader
        assert handler is not None
        turn = _MESSAGES_A_TURN
        while reader is not None and reader.inbox and not self._wire.is_held:
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
        if reader is not None and reader.farewell is not None and not reader.inbox and self._ending is None:
            self._send_farewell(reader.farewell)
        self._is_pumping = False
        if self._ending is None:
            self._release_reader()
        elif not self._state & _REPORTED:
            self._state |= _REPORTED
            self._handler = None
            try:
                handler.closed(*self._ending)
            except (Exception, gevent.Timeout):
                log.exception("the end of a connection could not be handled")

    # Writing, called by the fan-out

    def write(self, data: bytes, sent: int = 0) -> None:
        """Write without blocking, and queue the rest. Only the fan-out calls this; everything else calls send()."""
        if self._state & _FLUSHED:
            return
        outbox = self._outbox
        if outbox is not None:
            outbox.append(data)
            if outbox.nbytes > self._wire.limits.outbound_bytes and not self._wire.is_held:
                self._close_as_too_slow()
            return
        if not sent:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self._drop()
                return
        if sent < len(data):
            self._open_outbox(data, sent)
        elif self._progress is not None:
            self._report_progress()

    def flushed(self) -> None:
        """Shut down our direction. Called after the close frame has been passed to write()."""
        self._state |= _FLUSHED
        self.direct = None
        self._shut_down_if_done()

    def _open_outbox(self, data: bytes, sent: int) -> None:
        limits = self._wire.limits
        outbox = self._outbox = Outbox(self._wire.loop, self._fd, data[sent:] if sent else data)
        self.direct = None
        if not self._wire.is_still:
            outbox.watch(self._on_writable)
        if not self._state & _CLOSING:
            outbox.start_timer(limits.stall_seconds, self._on_stalled)
        if outbox.nbytes > limits.outbound_bytes and not self._wire.is_held:
            self._close_as_too_slow()

    def _on_writable(self) -> None:
        outbox = self._outbox
        assert outbox is not None
        try:
            outbox.write()
        except OSError:
            self._drop()
            return
        if not outbox.nbytes:
            self._close_outbox()
        self._report_progress()
        self._shut_down_if_done()

    def _on_stalled(self) -> None:
        if not self._wire.is_still:  # the timer repeats
            self._wire.stall_drops += 1
            self._drop(is_late=True)

    def _close_outbox(self) -> None:
        if self._outbox is not None:
            self._outbox.close()
            self._outbox = None
            self._allow_direct()

    def _report_progress(self) -> None:
        if self._progress is not None:
            progress, self._progress = self._progress, None
            self._allow_direct()
            progress.set()

    def _allow_direct(self) -> None:
        if self._outbox is None and self._progress is None and not self._state & (_FLUSHED | _DROPPED):
            self.direct = self._socket

    # The end

    def _close(self, code: int, reason: str, seconds: float, *, at_once: bool = False) -> None:
        self._clear_inbox()
        if self._reader is None:
            self._reader = self._wire.borrow_reader(is_trusted=self._is_trusted)
        elif self._reader.farewell is not None:
            self._send_farewell(self._reader.farewell)
            return
        self._reader.send_close(code, reason.encode()[:_REASON_BYTES].decode(errors="ignore"))
        frame = b"".join(self._reader.data_to_send())
        self._begin_to_close(frame, code, reason, seconds, at_once=at_once)

    def _close_as_too_slow(self) -> None:
        """Close the connection of a client that does not read.

        The kernel's buffer is full, so even the close frame may not arrive. Discard the queue, except for the rest of a
        chunk that is half written, since the close frame must not appear inside another frame.
        """
        if self._state:
            # It was closing already, and the close frame would not arrive in time either.
            self._drop()
            return
        self._wire.queue_drops += 1
        if self._outbox is not None:
            self._outbox.keep_first()
        self._wire.fanout.drop(self)
        self._close(TOO_SLOW, "too slow: the outbound queue is full", self._wire.limits.slow_seconds, at_once=True)

    def _send_farewell(self, farewell: tuple[bytes, int, str]) -> None:
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
        if self._state & _DROPPED:
            return
        if self._outbox is not None:
            self._outbox.stop_timer()
        self._close_timer = self._wire.loop.timer(seconds, seconds)
        self._close_timer.start(self._on_close_deadline)
        self._resume_reading()
        self._report_progress()
        self._wake_pump()

    def _shut_down_if_done(self) -> None:
        """Once both sides have sent their close frames, shut down our direction, and read until the client does so too.

        If the descriptor were closed while data from the client is unread, the kernel would send a reset, which can
        overtake the close frame.
        """
        done = _PEER_DONE | _FLUSHED
        if self._state & (done | _DROPPED) == done and self._outbox is None:
            try:
                shut_down(self._fd)
            except OSError:
                self._drop()

    def _on_close_deadline(self) -> None:
        if not self._wire.is_still:  # the timer repeats
            self._drop(is_late=True)

    def _drop(self, *, is_late: bool = False) -> None:
        """Close the descriptor, in whatever state the connection is.

        Args:
            is_late: Whether a deadline has passed, so that unacknowledged data is discarded.
        """
        if self._state & _DROPPED:
            return
        must_reset = self._outbox is not None or (is_late and has_unsent(self._fd))
        self._state |= _DROPPED | _PEER_DONE
        self.direct = None
        self._close_outbox()
        if must_reset:
            reset_on_close(self._fd)
        self._release_descriptor()
        if self._ending is None:
            self._ending = (None, "")
        if self._reader is not None and not self._is_pumping and not self._reader.inbox:
            self._reader.release()
            self._reader = None
        self._report_progress()
        self._wake_pump()

    def _release_descriptor(self) -> None:
        if self._close_timer is not None:
            self._close_timer.stop()
            self._close_timer.close()
            self._close_timer = None
        self._watcher.stop()
        self._watcher.close()
        self._fd = -1
        self.direct = None
        # gevent would delay this, possibly for a long time.
        self._socket.close()
        self._wire.transports.discard(self)
        self._wire.newcomers.remove(self)
        self._wire.trimmer.connection_ended()
        self._wire.fanout.drop(self)
