"""A shortcut from an ordinary handshake to a connection, without a WSGI request.

Most handshakes are correct and arrive whole, in one segment. Parsing them here costs a fifth of what pywsgi and
gevent-websocket need. Everything else (other paths, partial or unusual heads, requests to refuse) stays unread in the
kernel's buffer, and the WSGI server handles it (upgrade.py).
Source: RFC 6455, section 4.2; docs/protocol.md, section 1.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from gevent import socket

from shared.client_addresses import TrustedProxies
from worker.wire.upgrade import (
    Endpoint,
    check_handshake,
    client_address,
    refuse_client,
    request_id,
    start_connection,
)
from worker.wire.wire import Wire

HEAD_BYTES = 4096
MAX_HEADERS = 50
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_REQUEST_LINE = re.compile(rb"GET (/[!-~]*) HTTP/1\.1")
_HEADER = re.compile(rb"([A-Za-z0-9-]+):[ \t]*([ -~]*?)[ \t]*")
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)


def upgrade_at_once(
    sock: socket.socket, peer: object, *, wire: Wire, endpoints: Mapping[str, Endpoint], proxies: TrustedProxies
) -> bool:
    """Upgrade a new TCP connection if its first bytes are an ordinary handshake.

    Waits for the first bytes.

    Args:
        peer: The other end, as accept() returned it.
        endpoints: The paths that are upgraded.
        proxies: The proxies whose headers are believed.

    Returns:
        Whether the connection was upgraded. If not, nothing was read, and the WSGI server must handle the request.

    Raises:
        OSError: The connection ended.
    """
    head, end_of_head, _ = sock.recv(HEAD_BYTES, socket.MSG_PEEK).partition(b"\r\n\r\n")
    environ = parse_head(head) if end_of_head else None
    if environ is None:
        return False
    endpoint = endpoints.get(environ["PATH_INFO"])
    if endpoint is None or check_handshake(environ) is not None:
        return False
    address = client_address(peer, environ, proxies)
    if refuse_client(wire, endpoint, environ, sock, address) is not None:
        return False
    sock.recv(len(head) + len(end_of_head))
    sock.sendall(_SWITCHING % accept_key(environ["HTTP_SEC_WEBSOCKET_KEY"]))
    start_connection(wire, endpoint, sock, address, request_id=request_id(peer, environ, proxies))
    return True


def parse_head(head: bytes) -> dict[str, Any] | None:
    """Parse the head of a GET request without its final blank line.

    Returns:
        The keys of a WSGI environ that a handshake needs. None if anything is unusual: another method; repeated, folded
        or too many headers; names with characters other than letters, digits and `-`; values that are not printable
        ASCII.
    """
    request_line, *lines = head.split(b"\r\n")
    request = _REQUEST_LINE.fullmatch(request_line)
    if request is None or len(lines) > MAX_HEADERS:
        return None
    path, _, query = request[1].decode("ascii").partition("?")
    if "%" in path:
        return None
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            return None
        name = header[1].decode("ascii").upper().replace("-", "_")
        key = name if name in ("CONTENT_LENGTH", "CONTENT_TYPE") else "HTTP_" + name
        if key in environ:
            return None
        environ[key] = header[2].decode("ascii")
    return environ


def accept_key(key: str) -> bytes:
    """Return the value of Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode("ascii") + _GUID).digest())
