"""Tries one way to connect: what came of it, and how long it took. Sockets only: no database, no log.

Owners type the hosts, so a try must be of no use to look around the network that the worker is on. The name is looked
up once; each address that comes back must be a public one; the connection goes to just such an address, so that a name
that means something else a moment later changes nothing. A page's redirects are followed on its own host alone. Of an
answer nothing is kept but the status.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

from shared.services.connection_checks import Outcome, Result, Target

RESOLVE_SECONDS = 20.0  # the wait for one who looks it up included
CONNECT_SECONDS = 5.0
TLS_SECONDS = 5.0
ANSWER_SECONDS = 8.0
GREETING_SECONDS = 3.0  # some games say nothing before the player does
HEAD_BYTES = 8 * 1024
ADDRESSES_AT_MOST = 3
REDIRECTS_AT_MOST = 3
TURNS_AWAY = frozenset([401, 403, 405, 429])
USER_AGENT = "gossip-connection-check"

Address = tuple[Any, ...]  # of a socket: the IP address first, then the port
Resolve = Callable[[str], list[tuple[int, str]]]
"""A name's addresses, each with its family, in the order in which to try them. Raises OSError, TimeoutError."""

_EXPIRED = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, …_HAS_EXPIRED
_OTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Addresses that look public and lead to a cloud's own services, or to none.
_INSIDE = [ipaddress.ip_network(text) for text in ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24")]


class Failed(Exception):
    """A try that ends here."""

    def __init__(self, outcome: Outcome, http_status: int | None = None) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.http_status = http_status


class Prober:
    """Tries ways to connect. allows_private: for networks that run inside one, and for tests."""

    def __init__(self, resolve: Resolve, *, allows_private: bool = False) -> None:
        self._resolve = resolve
        self._allows_private = allows_private

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made once: it reads all certificates of the system."""
        return ssl.create_default_context()

    def probe(self, target: Target) -> Result:
        """Try it. Every wait has a limit; the caller sets one on their sum, by raising `Failed`."""
        began = time.monotonic()
        status = None
        try:
            if target.type == "web":
                outcome, status = self._probe_page(target.url or "")
            else:
                outcome = self._probe_telnet(target.host or "", target.port or 0, target.type == "secure telnet")
        except Failed as failed:
            outcome, status = failed.outcome, failed.http_status
        except OSError:
            outcome = Outcome.UNREACHABLE
        except ValueError:  # an address that is none, in a page's redirect
            outcome = Outcome.HTTP_ERROR
        return Result(outcome, round((time.monotonic() - began) * 1000), status)

    def _probe_telnet(self, host: str, port: int, uses_tls: bool) -> Outcome:
        with self._open(self._look_up(host), port, host if uses_tls else None) as connection:
            connection.settimeout(GREETING_SECONDS)
            try:
                if not connection.recv(64):
                    raise Failed(Outcome.HUNG_UP)
            except TimeoutError:
                pass
            except OSError:
                raise Failed(Outcome.HUNG_UP) from None
        return Outcome.OK

    def _probe_page(self, url: str) -> tuple[Outcome, int]:
        host = urlsplit(url).hostname or ""
        addresses = self._look_up(host)
        for _ in range(REDIRECTS_AT_MOST):
            status, location = self._get(url, addresses)
            if not 300 <= status < 400 or location is None:
                break
            url = urljoin(url, location)
            parts = urlsplit(url)
            if (parts.hostname or "") != host or parts.scheme not in ("http", "https"):
                return Outcome.REDIRECTED, status
        else:
            raise Failed(Outcome.HTTP_ERROR, status)  # it goes in circles
        if status in TURNS_AWAY:
            return Outcome.TURNED_AWAY, status
        if status >= 400:
            raise Failed(Outcome.HTTP_ERROR, status)
        return Outcome.OK, status

    def _get(self, url: str, addresses: list[tuple[int, str]]) -> tuple[int, str | None]:
        """The status of a page, and where it sends its visitors."""
        parts = urlsplit(url)
        is_secure = parts.scheme in ("https", "wss")
        port = parts.port or (443 if is_secure else 80)
        host = parts.hostname or ""
        with self._open(addresses, port, host if is_secure else None) as connection:
            connection.settimeout(ANSWER_SECONDS)
            try:
                connection.sendall(_request(url))
                head = _read_head(connection)
            except TimeoutError:
                raise Failed(Outcome.TIMED_OUT) from None
            except OSError:
                raise Failed(Outcome.HUNG_UP) from None
        return _parse_head(head)

    def _look_up(self, host: str) -> list[tuple[int, str]]:
        try:
            found = self._resolve(host)
        except (OSError, ValueError) as error:  # ValueError: no name at all, as IDNA sees it
            is_silent = isinstance(error, TimeoutError) or error.args[:1] == (socket.EAI_AGAIN,)
            raise Failed(Outcome.NAME_UNANSWERED if is_silent else Outcome.NAME_NOT_FOUND) from None
        if not found:
            raise Failed(Outcome.NAME_NOT_FOUND)
        if not self._allows_private and not all(is_public(address) for _, address in found):
            raise Failed(Outcome.NOT_PUBLIC)
        return found[:ADDRESSES_AT_MOST]

    def _open(self, addresses: list[tuple[int, str]], port: int, tls_name: str | None) -> socket.socket:
        """A connection to the first address that takes one. tls_name: the name that its certificate must be for."""
        if not 1 <= port <= 65_535:
            raise Failed(Outcome.REFUSED)
        failures = []
        for family, address in addresses:
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.settimeout(CONNECT_SECONDS)
            try:
                connection.connect((address, port))
            except OSError as error:
                connection.close()
                failures.append(_of_connect(error))
                continue
            return connection if tls_name is None else self._encrypt(connection, tls_name.rstrip("."))
        # What the host itself said tells more than the lack of a way to its other address.
        raise Failed(min(failures, key=[Outcome.REFUSED, Outcome.TIMED_OUT, Outcome.UNREACHABLE].index))

    def _encrypt(self, connection: socket.socket, name: str) -> socket.socket:
        connection.settimeout(TLS_SECONDS)
        try:
            return self._tls.wrap_socket(connection, server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            outcome = (
                Outcome.CERTIFICATE_EXPIRED
                if error.verify_code in _EXPIRED
                else Outcome.CERTIFICATE_OF_ANOTHER
                if error.verify_code in _OTHER_NAME
                else Outcome.CERTIFICATE_UNTRUSTED
            )
        except (OSError, ValueError) as error:
            outcome = Outcome.TIMED_OUT if isinstance(error, TimeoutError) else Outcome.NO_TLS
        connection.close()
        raise Failed(outcome)


def is_public(address: str) -> bool:
    """True for an address of the open internet; false for private, local, reserved ones, in whatever disguise."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64 or (inner is None and int(ip) < 1 << 32):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not any(ip in network for network in _INSIDE) and not ip.is_multicast and not ip.is_reserved


def _of_connect(error: OSError) -> Outcome:
    if isinstance(error, TimeoutError):
        return Outcome.TIMED_OUT
    return Outcome.REFUSED if isinstance(error, ConnectionError) else Outcome.UNREACHABLE


def _request(url: str) -> bytes:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {_ascii(path)} HTTP/1.1", f"Host: {_host(url)}", f"User-Agent: {USER_AGENT}", "Accept: */*"]
    if parts.scheme in ("ws", "wss"):
        # The key is a nonce of no meaning (RFC 6455, §4.1): nothing is said after the handshake.
        lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        lines += ["Sec-WebSocket-Key: Z29zc2lwLWNvbm5jaGVjaw=="]
    else:
        lines += ["Connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host.encode("idna").decode()
    return name if parts.port is None else f"{name}:{parts.port}"


def _ascii(path: str) -> str:
    return "".join(char if 32 < ord(char) < 127 else "".join(f"%{byte:02X}" for byte in char.encode()) for char in path)


def _read_head(connection: socket.socket) -> bytes:
    """What comes up to the empty line; no more than a small piece, and in no more than so much time."""
    deadline = time.monotonic() + ANSWER_SECONDS
    head = b""
    while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        part = connection.recv(1024)
        if not part:
            break
        head += part
    return head


def _parse_head(head: bytes) -> tuple[int, str | None]:
    if not head:
        raise Failed(Outcome.HUNG_UP)
    first, *lines = head.split(b"\r\n")
    words = first.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not (words[1].isdigit() and len(words[1]) == 3):
        raise Failed(Outcome.NOT_HTTP)
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"location":
            return int(words[1]), value.strip().decode("utf-8", "replace")
    return int(words[1]), None
