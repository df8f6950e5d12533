"""gunicorn's threaded worker, with a main loop that reads whole requests and writes responses without blocking.

gunicorn's own `gthread` reads requests in its threads, without deadlines: one incomplete request per thread blocks the
site. Here a thread gets a request only after all of it has arrived, and leaves its response to the main loop. A slow
client uses a bounded amount of memory, but never a thread.
"""

from __future__ import annotations

import errno
import resource
import select
import selectors
import socket
import time
from enum import Enum
from functools import partial
from typing import Any

from gunicorn import http
from gunicorn.workers.gthread import ThreadWorker

from server.requests import RequestBuffer, Unacceptable

HEAD_SECONDS = 10.0
BODY_SECONDS = 20.0
WRITE_SECONDS = 60.0
LINGER_SECONDS = 2.0
"""How long a closing connection still reads, so that the kernel does not discard the response (RFC 9112, 9.6)."""
MAX_INBOUND_BYTES = 64 * 1024**2
"""The total size of the incomplete requests of one process."""
MAX_OUTBOUND_BYTES = 4 * 1024**2
"""How much of a response a thread may leave to the main loop. With more, the thread waits for the client."""
DESCRIPTORS_KEPT = 150
"""The descriptors that a process needs in addition to its clients' sockets."""
_READ_BYTES = 64 * 1024


class State(Enum):
    """What a connection is doing."""

    READING = "reading"
    BUSY = "busy"
    WRITING = "writing"
    LINGERING = "lingering"


class Channel:
    """Stands in for the socket in a thread: holds the bytes of one request, and collects the response."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.inbound = b""
        self.outbound = bytearray()

    def recv(self, size: int) -> bytes:
        data, self.inbound = self.inbound[:size], self.inbound[size:]
        return data

    def sendall(self, data: bytes) -> None:
        self.outbound += data
        self.flush()
        if len(self.outbound) > MAX_OUTBOUND_BYTES:
            self._wait_for_room()

    def send(self, data: bytes) -> int:
        self.sendall(data)
        return len(data)

    def flush(self) -> None:
        """Write as much as the kernel accepts now.

        Raises:
            OSError: The client is gone.
        """
        while self.outbound:
            try:
                sent = self._socket.send(self.outbound)
            except (BlockingIOError, InterruptedError):
                return
            del self.outbound[:sent]

    def _wait_for_room(self) -> None:
        deadline = time.monotonic() + WRITE_SECONDS
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        while len(self.outbound) > MAX_OUTBOUND_BYTES:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not poll.poll(remaining * 1000):
                raise OSError(errno.EPIPE, "the client does not read the response")
            self.flush()

    def fileno(self) -> int:
        return self._socket.fileno()

    def shutdown(self, how: int) -> None:
        """Do nothing: the main loop closes the socket."""

    close = settimeout = setblocking = lambda self, *_: None

    def gettimeout(self) -> float | None:
        return None


class Connection:
    """A client's connection, with the attributes that gunicorn's threads use.

    Attributes:
        sock: The channel that threads use. The main loop uses `socket`.
        deadline: When the main loop closes the connection, unless its state changes first.
    """

    initialized = data_ready = True
    is_http2 = False

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        self.cfg, self.client, self.server = cfg, client, server
        self.socket = sock
        self.sock = Channel(sock)
        self.parser = http.get_parser(cfg, self.sock, client)
        self.buffer = RequestBuffer()
        self.state = State.READING
        self.deadline = time.monotonic() + HEAD_SECONDS
        self.since = time.monotonic()
        self.will_close = False

    def init(self) -> None:
        """Do nothing. gunicorn's threads call this before they read a request."""


class BufferingWorker(ThreadWorker):
    """Serves the site. When connections run short, closes the clients that have been idle or slow for longest."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections: set[Connection] = set()

    def init_process(self) -> None:
        descriptors, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = self.worker_connections + DESCRIPTORS_KEPT
        if descriptors < needed:
            descriptors = needed if limit == resource.RLIM_INFINITY else min(limit, needed)
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, limit))
        # At worker_connections, gunicorn would stop accepting. This worker closes an old connection before that.
        self._max_connections = max(1, min(self.worker_connections - 1, descriptors - DESCRIPTORS_KEPT))
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection. If there are too many, close the one that has waited longest."""
        try:
            client_socket, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._close_oldest()
            elif error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        client_socket.setblocking(False)
        connection = Connection(self.cfg, client_socket, address, listener.getsockname())
        self._connections.add(connection)
        if self.nr_conns > self._max_connections:
            self._close_oldest(keep=connection)
        self._watch(connection, selectors.EVENT_READ, self._read)

    def finish_request(self, conn: Connection, fs: Any) -> None:
        """Write the rest of a thread's response, then wait for the next request or close."""
        try:
            keeps_open = bool(fs.result()) if not fs.cancelled() else False
        except Exception:
            self._close(conn)
            return
        is_in_step = not conn.sock.inbound and not conn.parser.unreader.buf.getvalue()
        conn.will_close = not keeps_open or conn.buffer.is_body_refused or not is_in_step
        conn.sock.inbound = b""
        self._write(conn)

    def murder_pending(self) -> None:
        """Close connections past their deadline. gunicorn calls this at least once a second."""
        now = time.monotonic()
        for connection in [conn for conn in self._connections if conn.state is not State.BUSY and conn.deadline <= now]:
            if connection.state is State.READING and connection.buffer:
                self._refuse(connection, "408 Request Timeout")
            else:
                self._close(connection)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close all connections that no thread is serving. gunicorn calls this when it stops."""
        if force:
            for connection in [conn for conn in self._connections if conn.state is not State.BUSY]:
                self._close(connection)

    def _cap_keepalive(self, deadline: float) -> None:
        for connection in self._connections:
            if connection.state is State.READING:
                connection.deadline = min(connection.deadline, deadline)

    def _receive(self, connection: Connection) -> bytes:
        """Return what has arrived, empty if nothing has. Closes a connection that the client has ended."""
        try:
            data = connection.socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError:
            data = b""
        if not data:
            self._close(connection)
        return data

    def _read(self, connection: Connection, _file: object) -> None:
        data = self._receive(connection)
        if not data:
            return
        had_head, was_empty = connection.buffer.has_head, not connection.buffer
        now = time.monotonic()
        try:
            connection.buffer.feed(data)
        except Unacceptable as error:
            self._refuse(connection, error.status)
            return
        if was_empty:
            connection.since, connection.deadline = now, now + HEAD_SECONDS
        if connection.buffer.has_head and not had_head:
            connection.deadline = now + BODY_SECONDS
        if connection.buffer.take_expectation():
            connection.sock.outbound += b"HTTP/1.1 100 Continue\r\n\r\n"
            try:
                connection.sock.flush()
            except OSError:
                self._close(connection)
                return
        self._serve(connection)
        if sum(len(conn.buffer) for conn in self._connections) > MAX_INBOUND_BYTES:
            self._close_oldest()

    def _serve(self, connection: Connection) -> bool:
        """Give the next request to a thread. Return False if it is incomplete."""
        try:
            request = connection.buffer.take()
        except Unacceptable as error:
            self._refuse(connection, error.status)
            return True
        if request is None:
            return False
        self._unwatch(connection)
        connection.state = State.BUSY
        connection.sock.inbound = request
        self.enqueue_req(connection)
        return True

    def _write(self, connection: Connection, _file: object = None) -> None:
        try:
            connection.sock.flush()
        except OSError:
            self._close(connection)
            return
        now = time.monotonic()
        if connection.sock.outbound:
            if connection.state is not State.WRITING:
                connection.state, connection.since = State.WRITING, now
                connection.deadline = now + WRITE_SECONDS
                self._watch(connection, selectors.EVENT_WRITE, self._write)
        elif connection.will_close:
            self._linger(connection)
        else:
            connection.state, connection.since = State.READING, now
            connection.deadline = now + (HEAD_SECONDS if connection.buffer else self.cfg.keepalive)
            if not self._serve(connection):
                self._watch(connection, selectors.EVENT_READ, self._read)

    def _linger(self, connection: Connection) -> None:
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)
            return
        connection.state, connection.since = State.LINGERING, time.monotonic()
        connection.deadline = connection.since + LINGER_SECONDS
        self._watch(connection, selectors.EVENT_READ, self._discard)

    def _discard(self, connection: Connection, _file: object) -> None:
        self._receive(connection)

    def _refuse(self, connection: Connection, status: str) -> None:
        text = status.encode() + b"\n"
        connection.sock.outbound += (
            b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
            % (status.encode(), len(text), text)
        )
        connection.will_close = True
        self._write(connection)

    def _close_oldest(self, *, keep: Connection | None = None) -> None:
        """Close the connection that has waited longest."""
        waiting = [conn for conn in self._connections if conn.state is not State.BUSY and conn is not keep]
        if waiting:
            self._close(min(waiting, key=lambda conn: conn.since))

    def _close(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self.nr_conns -= 1
            self._unwatch(connection)
            connection.socket.close()

    def _watch(self, connection: Connection, events: int, react: Any) -> None:
        self._unwatch(connection)
        self.poller.register(connection.socket, events, partial(react, connection))

    def _unwatch(self, connection: Connection) -> None:
        try:
            self.poller.unregister(connection.socket)
        except (KeyError, ValueError):
            pass
