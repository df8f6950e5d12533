"""Turns an HTTP request into a `Transport`. Source: RFC 6455, section 4.2; docs/protocol.md, §1.

This module checks the handshake, and gevent-websocket answers it. After that gevent-websocket is no longer used,
because its reads and writes block and have no limits:

- Its WebSocket is marked closed, since it would otherwise send a close frame when it is collected.
- Bytes that the server has read too early are passed to the transport.
- The descriptor is detached from the socket object, so that the server's cleanup has nothing to read or close. A
  duplicate would not do: the event loop may still watch the old number for the same connection, and would receive
  events for a number that it no longer knows.
"""

import binascii
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gevent.pywsgi import WSGIHandler
from geventwebsocket.handler import WebSocketHandler

from shared.client_addresses import TrustedProxies
from shared.request_ids import read_id
from worker.wire.transport import SocketHandler, Transport
from worker.wire.wire import Wire

log = logging.getLogger(__name__)

SOCKET_PATH = "/socket"
CHAT_SOCKET_PATH = "/chat-socket"
_VERSION = ("Sec-WebSocket-Version", "13")

# A lost connection is detected after about two minutes, whatever the layer above does.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)


class Refusal(NamedTuple):
    """Why a request is not upgraded."""

    status: str
    text: str
    headers: tuple[tuple[str, str], ...] = ()


class Endpoint(NamedTuple):
    """A path that is upgraded.

    Attributes:
        on_connection: Called with the transport. Returns the connection's handler.
        refuse: Called with the WSGI environ and the client's address. Returns why to refuse a valid handshake, or None.
    """

    on_connection: Callable[[Transport], SocketHandler]
    refuse: Callable[[dict[str, Any], str], Refusal | None] = lambda environ, address: None


class Upgraded(NamedTuple):
    """A connection whose handshake has been answered.

    Attributes:
        early: Bytes that were read beyond the handshake.
        request_id: The id that a trusted proxy gave the handshake; otherwise "".
    """

    endpoint: Endpoint
    fd: int
    address: str
    early: bytes
    request_id: str


def check_handshake(environ: dict[str, Any]) -> Refusal | None:
    """Return why a request is not a valid handshake, or None.

    Accepts any Origin and Host. The answer does not mention subprotocols and extensions, which declines them.
    """
    if environ["REQUEST_METHOD"] != "GET":
        return Refusal("405 Method Not Allowed", "A WebSocket handshake is a GET request.", (("Allow", "GET"),))
    upgrade = _tokens(environ.get("HTTP_UPGRADE", ""))
    if "websocket" not in upgrade or "upgrade" not in _tokens(environ.get("HTTP_CONNECTION", "")):
        return Refusal(
            "426 Upgrade Required",
            'This address speaks WebSocket: connect to it with a WebSocket client, which sends "Upgrade: websocket" and'
            ' "Connection: Upgrade".',
            (("Upgrade", "websocket"), ("Connection", "Upgrade, close"), _VERSION),
        )
    if environ["SERVER_PROTOCOL"] != "HTTP/1.1":
        return Refusal("400 Bad Request", "A WebSocket handshake needs HTTP/1.1.")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION", "").strip() != "13":
        return Refusal("426 Upgrade Required", "Only version 13 of the WebSocket protocol is supported.", (_VERSION,))
    if not _is_key(environ.get("HTTP_SEC_WEBSOCKET_KEY", "").strip()):
        return Refusal("400 Bad Request", "Sec-WebSocket-Key must be 16 bytes in base64.")
    if environ.get("CONTENT_LENGTH", "0").strip() != "0" or environ.get("HTTP_TRANSFER_ENCODING"):
        return Refusal("400 Bad Request", "A WebSocket handshake has no body.")
    return None


def _tokens(header: str) -> list[str]:
    return [token.strip() for token in header.lower().split(",")]


def _is_key(key: str) -> bool:
    try:
        return len(key) == 24 and len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except ValueError:  # not base64 (binascii.Error is a ValueError), or not ASCII
        return False


def client_address(peer: object, environ: Mapping[str, Any], proxies: TrustedProxies) -> str:
    """Return the address of a client.

    Args:
        peer: The other end of the TCP connection, as accept() returns it.
        environ: The keys of the request's WSGI environ.
        proxies: The proxies whose headers are believed.
    """
    return proxies.client_address(
        peer[0] if isinstance(peer, tuple) else "",
        forwarded_for=environ.get("HTTP_X_FORWARDED_FOR", ""),
        forwarded=environ.get("HTTP_FORWARDED", ""),
    )


def request_id(peer: object, environ: Mapping[str, Any], proxies: TrustedProxies) -> str:
    """Return the id that a trusted proxy gave a request; otherwise "". Takes the same arguments as client_address."""
    if not (isinstance(peer, tuple) and proxies.has(peer[0])):
        return ""
    return read_id(environ.get("HTTP_X_REQUEST_ID"))


def refuse_client(
    wire: Wire, endpoint: Endpoint, environ: dict[str, Any], sock: socket.socket, address: str
) -> Refusal | None:
    """Return why a client with a valid handshake is refused, or None."""
    if not wire.newcomers.add(sock, address, lambda: shut_down_both(sock)):
        return Refusal("429 Too Many Requests", "Too many connections from your address have not authenticated.")
    return endpoint.refuse(environ, address)


def shut_down_both(sock: socket.socket) -> None:
    """End a connection, which the code that reads or writes it notices."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def start_connection(
    wire: Wire,
    endpoint: Endpoint,
    sock: socket.socket,
    address: str,
    *,
    request_id: str = "",
    early: Callable[[], bytes] = bytes,
) -> None:
    """Detach an upgraded socket from the server, and start a `Transport` on it.

    Args:
        request_id: The id that a trusted proxy gave the handshake; otherwise "".
        early: Returns bytes that were read beyond the handshake. Called once the socket is non-blocking.
    """
    sock.setblocking(False)
    for level, option, value in _KEEPALIVE:
        sock.setsockopt(level, option, value)
    already_read = early()
    upgraded = Upgraded(endpoint, sock.detach(), address, already_read, request_id)
    if wire.is_held:
        wire.upgraded.append(upgraded)
    else:
        start_upgraded(wire, upgraded, newcomer=sock)


def start_upgraded(wire: Wire, upgraded: Upgraded, newcomer: socket.socket | None = None) -> None:
    """Start a `Transport` on an upgraded connection.

    Args:
        newcomer: The socket under which the connection is listed among the newcomers, if it is.
    """
    transport = Transport(wire, upgraded.fd, upgraded.address, upgraded.request_id)
    if newcomer is not None:
        wire.newcomers.replace(newcomer, transport, transport.abort)
    else:
        wire.newcomers.add(transport, upgraded.address, transport.abort)
    try:
        handler = upgraded.endpoint.on_connection(transport)
    except Exception:
        log.exception("a connection could not be set up")
        transport.abort()
        return
    transport.start(handler, upgraded.early)


class UpgradeHandler(WebSocketHandler):  # type: ignore[misc]  # gevent-websocket has no types
    """Answers one HTTP request. Upgrades the paths of endpoints; the WSGI application answers the others."""

    socket: Any
    websocket: Any

    def run_application(self) -> None:
        self.close_connection = True
        # No answer depends on a body, so do not wait for one. The connection ends with the answer.
        self.wsgi_input.content_length = 0
        self.wsgi_input.chunked_input = False
        endpoint = self.server.endpoints.get(self.environ["PATH_INFO"])
        if endpoint is None:
            WSGIHandler.run_application(self)
            return
        address = client_address(self.client_address, self.environ, self.server.proxies)
        refusal = check_handshake(self.environ) or refuse_client(
            self.server.wire, endpoint, self.environ, self.socket, address
        )
        if refusal is not None:
            body = refusal.text.encode() + b"\n"
            headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
            if not any(name == "Connection" for name, _ in refusal.headers):
                headers.append(("Connection", "close"))
            self.start_response(refusal.status, headers + list(refusal.headers))
            self.write(body)
            return
        self.upgrade_connection()
        self.write(b"")
        self._start_connection(endpoint, address)

    def _start_connection(self, endpoint: Endpoint, address: str) -> None:
        websocket, self.websocket = self.websocket, None
        websocket.closed = True
        self.environ["wsgi.websocket"] = None
        sock, self.socket = self.socket, None
        start_connection(
            self.server.wire,
            endpoint,
            sock,
            address,
            request_id=request_id(self.client_address, self.environ, self.server.proxies),
            early=self.rfile.peek,
        )

    # The original methods print a traceback for some bad requests.

    @property
    def logger(self) -> logging.Logger:
        return log

    def log_request(self) -> None:
        if self.code is not None and abs(self.code) >= 400:
            log.debug("%s %s: %s", self.client_address, self.requestline, self.status)

    def _handle_client_error(self, ex: BaseException) -> tuple[str, bytes]:
        log.debug("a bad request from %s: %r", self.client_address, ex)
        text = b"This server cannot parse the request.\n"
        head = (
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
        )
        return ("400", head % len(text) + text)
