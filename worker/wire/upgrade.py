"""From an HTTP request to a `Transport`. Source: RFC 6455, section 4.2; docs/protocol.md, §1.

gevent-websocket makes the upgrade, after the handshake was checked here, and then has no more part in the
connection: its own reading and writing has no limits and blocks. So its WebSocket is marked closed (it would send a
close frame when it is collected), what the server had read ahead is taken along, and the descriptor is detached
from the socket object, so that the server's cleanup finds nothing to read or close. Detached rather than
duplicated: the event loop may still have the old number registered for the same connection, and a duplicate would
give it events for a number that it no longer knows.
"""

import binascii
import ipaddress
import logging
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from gevent.pywsgi import WSGIHandler
from geventwebsocket.handler import WebSocketHandler

from worker.wire.transport import SocketHandler, Transport, Wire

log = logging.getLogger(__name__)

SOCKET_PATH = "/socket"
CHAT_SOCKET_PATH = "/chat-socket"
_VERSION = ("Sec-WebSocket-Version", "13")

# A machine that vanishes without a word is noticed after about two minutes, whatever the layer above does.
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

    on_connection(transport, address) makes the handler of a new connection; the address is the client's, as a trusted
    proxy tells it. refuse(environ, address) says why a good handshake is refused all the same, None if it is not.
    """

    on_connection: Callable[[Transport, str], SocketHandler]
    refuse: Callable[[dict[str, Any], str], Refusal | None] = lambda environ, address: None


def check_handshake(environ: dict[str, Any]) -> Refusal | None:
    """Say what is wrong with a request for the socket, None if nothing is.

    Any Origin and any Host will do; subprotocols and extensions on offer are declined by saying nothing of them.
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
        return Refusal("426 Upgrade Required", "Only version 13 of the WebSocket protocol is spoken here.", (_VERSION,))
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
    except ValueError:  # not base64 (binascii.Error is one), or not ASCII
        return False


def address_of(peer: str, forwarded_for: str) -> str:
    """The address a connection came from.

    forwarded_for: the X-Forwarded-For header, believed only from a proxy on this machine or a private network; of
    several addresses the last is the one that proxy saw itself.
    """
    if not forwarded_for:
        return peer
    last = forwarded_for.rsplit(",", 1)[-1].strip().strip("[]")
    try:
        if ipaddress.ip_address(peer).is_private:
            return str(ipaddress.ip_address(last))
    except ValueError:
        pass
    return peer


def client_address(peer: object, forwarded_for: str, *, trusts_proxy: bool) -> str:
    """Return the address of a client.

    Args:
        peer: The other end of the TCP connection, as accept() returns it.
        forwarded_for: The X-Forwarded-For header, "" if there is none.
        trusts_proxy: Whether that header may be believed at all.
    """
    return address_of(peer[0] if isinstance(peer, tuple) else "", forwarded_for if trusts_proxy else "")


def start_connection(
    wire: Wire, endpoint: Endpoint, sock: socket.socket, address: str, early: Callable[[], bytes] = bytes
) -> None:
    """Detach an upgraded socket from whoever accepted it, and start a `Transport` on it.

    Args:
        early: Returns what was read beyond the handshake. Called once the socket no longer blocks.
    """
    sock.setblocking(False)
    for level, option, value in _KEEPALIVE:
        sock.setsockopt(level, option, value)
    already_read = early()
    transport = Transport(wire, sock.detach(), address)
    try:
        handler = endpoint.on_connection(transport, address)
    except Exception:
        log.exception("a connection could not be set up")
        transport.abort()
        return
    transport.start(handler, already_read)


class UpgradeHandler(WebSocketHandler):
    """Answers one HTTP request: the path of the socket is upgraded, everything else is the WSGI application's."""

    socket: Any
    websocket: Any

    def run_application(self) -> None:
        self.close_connection = True
        # No answer depends on a body, so that none is waited for; the connection ends with the answer.
        self.wsgi_input.content_length = 0
        self.wsgi_input.chunked_input = False
        endpoint = self.server.endpoints.get(self.environ["PATH_INFO"])
        if endpoint is None:
            WSGIHandler.run_application(self)
            return
        address = client_address(
            self.client_address,
            self.environ.get("HTTP_X_FORWARDED_FOR", ""),
            trusts_proxy=self.server.trusts_proxy,
        )
        refusal = check_handshake(self.environ) or endpoint.refuse(self.environ, address)
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
        self._take_over(endpoint, address)

    def _take_over(self, endpoint: Endpoint, address: str) -> None:
        websocket, self.websocket = self.websocket, None
        websocket.closed = True
        self.environ["wsgi.websocket"] = None
        sock, self.socket = self.socket, None
        start_connection(self.server.wire, endpoint, sock, address, early=self.rfile.peek)

    # Quieter than the originals, which print a traceback for some bad requests.

    @property
    def logger(self) -> logging.Logger:
        return log

    def log_request(self) -> None:
        if self.code is not None and abs(self.code) >= 400:
            log.debug("%s %s: %s", self.client_address, self.requestline, self.status)

    def _handle_client_error(self, ex: BaseException) -> tuple[str, bytes]:
        log.debug("a bad request from %s: %r", self.client_address, ex)
        text = b"This request is not HTTP as this server understands it.\n"
        head = (
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
        )
        return ("400", head % len(text) + text)
