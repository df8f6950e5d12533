"""The worker's HTTP server: the listening socket, handshakes, /_health and /metrics."""

import errno
import json
import logging
import resource
import socket as stdlib_socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import gevent
from gevent import socket
from gevent.hub import get_hub
from gevent.pywsgi import WSGIServer

from shared.client_addresses import NO_PROXIES, TrustedProxies
from worker.wire.handshake import upgrade_at_once
from worker.wire.upgrade import Endpoint, UpgradeHandler, shut_down_both, start_upgraded
from worker.wire.wire import Wire

log = logging.getLogger(__name__)

BACKLOG = 4096
PATIENCE_SECONDS = 2.0  # how long a handshake may last while new connections wait
RESERVED_DESCRIPTORS = 64  # for the database, Redis, files, and connections that are being refused
DROPPED_AT_ONCE = 16
SHORT_PAUSE_SECONDS = 0.1
WARNING_SECONDS = 60.0
_TOO_MANY = (
    b"HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 63\r\n\r\n"
    b"Too many connections from your address have not authenticated.\n"
)

Health = Callable[[], tuple[bool, dict[str, Any]]]
Metrics = Callable[[], bytes]


class SocketServer:
    """Listens, upgrades requests to WebSocket, and starts a `Transport` for each."""

    def __init__(
        self,
        bind: str,
        port: int,
        *,
        wire: Wire,
        endpoints: Mapping[str, Endpoint],
        health: Health,
        metrics: Metrics,
        reuse_port: bool = False,
        proxies: TrustedProxies = NO_PROXIES,
        max_handshakes: int = 1024,
        handshake_seconds: float = 20,
    ) -> None:
        """Prepare the server.

        Args:
            endpoints: The paths that are upgraded.
            health: Returns whether this worker is healthy, and the report for /_health.
            metrics: Returns the body of /metrics.
            reuse_port: Whether several workers may listen on the port.
            proxies: The proxies whose headers are trusted.
            max_handshakes: How many handshakes may be in progress. At this number the server stops accepting.
            handshake_seconds: How long a handshake may take before its connection is dropped.
        """
        self._bind = bind
        self._port = port
        self._reuse_port = reuse_port
        self._server = _Server(wire, endpoints, _pages(health, metrics), max_handshakes, handshake_seconds)
        self._server.proxies = proxies

    @property
    def port(self) -> int:
        """The port the server listens on. If 0 was requested, it is known once the server has started."""
        return self._port

    def start(self, listener: socket.socket | None = None) -> None:
        """Listen and start accepting connections.

        Args:
            listener: A listening socket of another process, which is used if it has the right address.

        Raises:
            OSError: The server cannot listen there. The text contains the address.
        """
        if listener is not None and not self._fits(listener):
            listener.close()
            listener = None
        if listener is None:
            listener = _listen(self._bind, self._port, reuse_port=self._reuse_port)
        self._port = listener.getsockname()[1]
        self._server.listen_on(listener)

    def stop_accepting(self) -> None:
        """Close the listening socket. Connections stay open."""
        self._server.close()

    # Taking over, see `Wire`

    @property
    def listener(self) -> socket.socket:
        """The listening socket."""
        return self._server.socket

    @property
    def handshakes(self) -> int:
        """How many are in progress."""
        return len(self._server.handshakes)

    def find_path(self, endpoint: Endpoint) -> str | None:
        """Return the path of an endpoint, or None if this server has other endpoints."""
        paths = (path for path, candidate in self._server.endpoints.items() if candidate is endpoint)
        return next(paths, None)

    def find_endpoint(self, path: str) -> Endpoint | None:
        """Return the endpoint of a path."""
        return self._server.endpoints.get(path)

    def hold(self) -> None:
        """Accept nothing. New connections wait in the kernel."""
        self._server.is_held = True
        self._server.stop_accepting()

    def release(self) -> None:
        """Accept again, and start the connections that were upgraded meanwhile."""
        self._server.is_held = False
        self._server.start_accepting()
        wire = self._server.wire
        upgraded, wire.upgraded = wire.upgraded, []
        for connection in upgraded:
            start_upgraded(wire, connection)

    def _fits(self, listener: socket.socket) -> bool:
        """Return whether a socket listens where the settings say."""
        address, port = listener.getsockname()[:2]
        return address == self._bind and self._port in (0, port)


def _listen(bind: str, port: int, *, reuse_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, stdlib_socket.SO_REUSEPORT, 1)
        listener.bind((bind, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {bind} port {port}: {error.strerror or error}") from None
    listener.setblocking(False)
    return listener


def _pages(health: Health, metrics: Metrics) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, kind, body = answer(environ["PATH_INFO"])
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close")]
        start_response(status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def answer(path: str) -> tuple[str, str, bytes]:
        if path == "/_health":
            is_healthy, report = health()
            status = "200 OK" if is_healthy else "503 Service Unavailable"
            return status, "application/json", json.dumps(report).encode() + b"\n"
        if path == "/metrics":
            return "200 OK", "text/plain; version=0.0.4; charset=utf-8", metrics()
        return "404 Not Found", "text/plain; charset=utf-8", b"Nothing here. Games connect to /socket.\n"

    return application


class _Server(WSGIServer):
    """gevent's server, with limits on the number and the duration of handshakes."""

    def __init__(
        self,
        wire: Wire,
        endpoints: Mapping[str, Endpoint],
        application: Any,
        max_handshakes: int,
        handshake_seconds: float,
    ) -> None:
        self.wire = wire
        self.endpoints = endpoints
        self.proxies = NO_PROXIES
        self._application = application
        self._max_handshakes = max_handshakes
        self._handshake_seconds = handshake_seconds
        self.handshakes: dict[socket.socket, float] = {}  # start times, oldest first
        self.is_held = False
        self._is_waiting = False
        self._max_descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_DESCRIPTORS
        self._warned_at = -WARNING_SECONDS

    def listen_on(self, listener: socket.socket) -> None:
        super().__init__(  # type: ignore[call-overload]  # the stubs require the parameters of TLS
            listener,
            self._application,
            spawn=gevent.spawn_raw,
            log=None,
            error_log=log,
            handler_class=UpgradeHandler,
            # Otherwise the server looks up its own name in the DNS, and a slow resolver delays the start.
            environ={"SERVER_NAME": "worker"},
        )
        self.start()

    def full(self) -> bool:
        """Return whether to stop accepting, because the limit of handshakes is reached. gevent calls this."""
        if len(self.handshakes) < self._max_handshakes:
            return False
        self._is_waiting = True
        self._end_old_handshake()
        return True

    def do_read(self) -> Any:
        """Accept connections until one is admitted, and return it. Return None if none is waiting.

        Counts the handshake here and not in `handle`: gevent accepts many connections before it handles the first.
        """
        for _ in range(self.max_accept):
            try:
                accepted: Any = super().do_read()
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                self._warn("no file descriptors are left: new connections wait")
                self.wire.newcomers.drop_oldest(DROPPED_AT_ONCE)
                self._pause_accepting()
                return None
            if not accepted:
                return None
            sock, address = accepted
            if self._admit(sock, address[0]):
                self.handshakes[sock] = time.monotonic()
                return accepted
            sock.close()
        return None

    def _admit(self, sock: socket.socket, address: str) -> bool:
        """Return whether to serve a new connection. If descriptors run short, drop the oldest unauthenticated one."""
        if not self.wire.newcomers.add(sock, address, lambda: shut_down_both(sock)):
            sock.setblocking(False)
            with suppress(OSError):
                sock.send(_TOO_MANY)  # a new connection's buffer has room
            return False
        if self.wire.connections + len(self.handshakes) < self._max_descriptors:
            return True
        self._warn("file descriptors run short: connections that have not authenticated are dropped, oldest first")
        self.wire.newcomers.drop_oldest(1)  # drops the new one if all others have authenticated
        return sock in self.wire.newcomers

    def handle(self, sock: socket.socket, address: Any) -> None:
        # At the deadline the socket is shut down, which ends any read or write in progress. A timeout raised into the
        # greenlet could interrupt any line of the server.
        deadline = get_hub().loop.timer(self._handshake_seconds)
        deadline.start(shut_down_both, sock)
        try:
            if not upgrade_at_once(sock, address, wire=self.wire, endpoints=self.endpoints, proxies=self.proxies):
                super().handle(sock, address)
        except OSError as error:
            log.debug("a handshake from %s failed: %s", address, error)
        finally:
            deadline.stop()
            deadline.close()
            self.handshakes.pop(sock, None)
            self.wire.newcomers.remove(sock)
            if self._is_waiting:
                self._is_waiting = False
                self._accept_again()

    def _end_old_handshake(self) -> None:
        """While the server does not accept, end the oldest handshake once it has lasted PATIENCE_SECONDS."""
        if not self._is_waiting or not self.handshakes:
            return
        sock, started_at = next(iter(self.handshakes.items()))
        left = started_at + PATIENCE_SECONDS - time.monotonic()
        if left <= 0:
            shut_down_both(sock)
        else:
            gevent.spawn_later(left, self._end_old_handshake)

    def _pause_accepting(self) -> None:
        self.stop_accepting()
        gevent.spawn_later(SHORT_PAUSE_SECONDS, self._accept_again)

    def _accept_again(self) -> None:
        if not self.closed and not self.is_held:
            self.start_accepting()

    def _warn(self, text: str) -> None:
        now = time.monotonic()
        if now - self._warned_at >= WARNING_SECONDS:
            self._warned_at = now
            log.warning("%s (connections: %s, handshakes: %s)", text, self.wire.connections, len(self.handshakes))
