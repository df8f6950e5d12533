"""The worker's HTTP server: the listening socket, handshakes, /_health and /metrics."""

import json
import logging
import socket as stdlib_socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gevent
from gevent import socket
from gevent.hub import get_hub
from gevent.pywsgi import WSGIServer

from shared.client_addresses import NO_PROXIES, TrustedProxies
from worker.wire.handshake import upgrade_at_once
from worker.wire.transport import Wire
from worker.wire.upgrade import Endpoint, UpgradeHandler

log = logging.getLogger(__name__)

BACKLOG = 4096

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
            proxies: The proxies whose headers are believed.
            max_handshakes: How many connections may be open without being upgraded. More are not accepted meanwhile.
            handshake_seconds: After this time, a connection that is not upgraded is dropped.
        """
        self._bind = bind
        self._port = port
        self._reuse_port = reuse_port
        self._server = _Server(wire, endpoints, _pages(health, metrics), max_handshakes, handshake_seconds)
        self._server.proxies = proxies

    @property
    def port(self) -> int:
        """The port it listens on. If 0 was requested, the real one, once the server has started."""
        return self._port

    def start(self) -> None:
        """Listen and start accepting connections.

        Raises:
            OSError: It cannot listen there. The text contains the address.
        """
        listener = _listen(self._bind, self._port, reuse_port=self._reuse_port)
        self._port = listener.getsockname()[1]
        self._server.listen_on(listener)

    def stop_accepting(self) -> None:
        """Close the listening socket. Connections stay open."""
        self._server.close()


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
        self._handshakes = 0
        self._is_waiting = False

    def listen_on(self, listener: socket.socket) -> None:
        super().__init__(
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
        if self._handshakes < self._max_handshakes:
            return False
        self._is_waiting = True
        return True

    def handle(self, sock: socket.socket, address: Any) -> None:
        self._handshakes += 1
        # At the deadline the socket is shut down, which the code that reads or writes it notices. A timeout that is
        # raised into the greenlet could hit any line of the server.
        deadline = get_hub().loop.timer(self._handshake_seconds)
        deadline.start(_shut_down, sock)
        try:
            if not upgrade_at_once(sock, address, wire=self.wire, endpoints=self.endpoints, proxies=self.proxies):
                super().handle(sock, address)
        except OSError as error:
            log.debug("a handshake from %s failed: %s", address, error)
        finally:
            deadline.stop()
            deadline.close()
            self._handshakes -= 1
            if self._is_waiting and not self.closed:
                self._is_waiting = False
                self.start_accepting()


def _shut_down(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
