"""Tries one way to connect, and returns the outcome and how long it took. Uses sockets only: no database, no log.

Owners type the hosts, so a check must not be usable to explore the network that the worker is on. The name is resolved
once. All of its addresses must be public, and the connection goes to one of these addresses, so a name that later
resolves to something else makes no difference. Redirects are followed on the same host only. Only the status of a
response is kept.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from functools import cached_property
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urljoin, urlsplit

from shared.public_addresses import is_public
from shared.services.connection_checks import Outcome, Result, Target

RESOLVE_SECONDS = 20.0  # including the wait for a free thread
CONNECT_SECONDS = 5.0
TLS_SECONDS = 5.0
ANSWER_SECONDS = 8.0
GREETING_SECONDS = 3.0  # some games send nothing until the player does
HEAD_BYTES = 8 * 1024
PAGE_BYTES = 256 * 1024
MAX_ADDRESSES = 3
MAX_REDIRECTS = 3
TURNED_AWAY_STATUSES = frozenset([401, 403, 405, 429])
USER_AGENT = "gossip-connection-check"

Address = tuple[Any, ...]  # of a socket: the IP address first, then the port
Resolve = Callable[[str], list[tuple[int, str]]]
"""Returns a host's addresses, each with its family, in the order in which to try them. Raises OSError, TimeoutError."""

_EXPIRED = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, …_HAS_EXPIRED
_OTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH


class ProbeFailed(Exception):
    """The check failed."""

    def __init__(self, outcome: Outcome, http_status: int | None = None) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.http_status = http_status


class Prober:
    """Tries ways to connect."""

    def __init__(self, resolve: Resolve, *, allows_private: bool = False) -> None:
        """Prepare to try.

        Args:
            resolve: Resolves host names.
            allows_private: Whether to connect to private addresses, for networks on a private network and for tests.
        """
        self._resolve = resolve
        self._allows_private = allows_private

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Built once, since it reads all of the system's certificates."""
        return ssl.create_default_context()

    def probe(self, target: Target) -> Result:
        """Try a way to connect.

        Each step has a timeout. The caller limits the total time, by raising `ProbeFailed` in this greenlet.
        """
        started_at = time.monotonic()
        status = None
        try:
            if target.type == "web":
                outcome, status = self._probe_page(target.url or "")
            else:
                outcome = self._probe_telnet(target.host or "", target.port or 0, target.type == "secure telnet")
        except ProbeFailed as failed:
            outcome, status = failed.outcome, failed.http_status
        except OSError:
            outcome = Outcome.UNREACHABLE
        except ValueError:  # an invalid URL in a redirect
            outcome = Outcome.HTTP_ERROR
        return Result(outcome, round((time.monotonic() - started_at) * 1000), status)

    def read_page(self, url: str) -> str:
        """Return the beginning of a page, at most PAGE_BYTES. Follows redirects on the same host.

        Raises ProbeFailed, OSError, ValueError.
        """
        host = urlsplit(url).hostname or ""
        addresses = self._look_up(host)
        for _ in range(MAX_REDIRECTS):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or (parts.hostname or "") != host:
                raise ProbeFailed(Outcome.REDIRECTED)
            is_secure = parts.scheme == "https"
            with self._open(
                addresses, parts.port or (443 if is_secure else 80), host if is_secure else None
            ) as connection:
                connection.settimeout(ANSWER_SECONDS)
                connection.sendall(_request(url))
                try:
                    answer = HTTPResponse(connection)
                    answer.begin()
                    if location := answer.getheader("Location") if 300 <= answer.status < 400 else None:
                        url = urljoin(url, location)
                        continue
                    if answer.status != 200:
                        raise ProbeFailed(Outcome.HTTP_ERROR, answer.status)
                    return answer.read(PAGE_BYTES).decode("utf-8", "replace")
                except HTTPException:
                    raise ProbeFailed(Outcome.NOT_HTTP) from None
        raise ProbeFailed(Outcome.HTTP_ERROR)

    def _probe_telnet(self, host: str, port: int, uses_tls: bool) -> Outcome:
        with self._open(self._look_up(host), port, host if uses_tls else None) as connection:
            connection.settimeout(GREETING_SECONDS)
            try:
                if not connection.recv(64):
                    raise ProbeFailed(Outcome.HUNG_UP)
            except TimeoutError:
                pass
            except OSError:
                raise ProbeFailed(Outcome.HUNG_UP) from None
        return Outcome.OK

    def _probe_page(self, url: str) -> tuple[Outcome, int]:
        host = urlsplit(url).hostname or ""
        addresses = self._look_up(host)
        for _ in range(MAX_REDIRECTS):
            status, location = self._get(url, addresses)
            if not 300 <= status < 400 or location is None:
                break
            url = urljoin(url, location)
            parts = urlsplit(url)
            if (parts.hostname or "") != host or parts.scheme not in ("http", "https"):
                return Outcome.REDIRECTED, status
        else:
            raise ProbeFailed(Outcome.HTTP_ERROR, status)  # too many redirects
        if status in TURNED_AWAY_STATUSES:
            return Outcome.TURNED_AWAY, status
        if status >= 400:
            raise ProbeFailed(Outcome.HTTP_ERROR, status)
        return Outcome.OK, status

    def _get(self, url: str, addresses: list[tuple[int, str]]) -> tuple[int, str | None]:
        """Return the status of a page, and its `Location` header."""
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
                raise ProbeFailed(Outcome.TIMED_OUT) from None
            except OSError:
                raise ProbeFailed(Outcome.HUNG_UP) from None
        return _parse_head(head)

    def _look_up(self, host: str) -> list[tuple[int, str]]:
        try:
            addresses = self._resolve(host)
        except (OSError, ValueError) as error:  # ValueError: IDNA cannot encode the name
            is_silent = isinstance(error, TimeoutError) or error.args[:1] == (socket.EAI_AGAIN,)
            raise ProbeFailed(Outcome.NAME_UNANSWERED if is_silent else Outcome.NAME_NOT_FOUND) from None
        if not addresses:
            raise ProbeFailed(Outcome.NAME_NOT_FOUND)
        if not self._allows_private and not all(is_public(address) for _, address in addresses):
            raise ProbeFailed(Outcome.NOT_PUBLIC)
        return addresses[:MAX_ADDRESSES]

    def _open(self, addresses: list[tuple[int, str]], port: int, tls_name: str | None) -> socket.socket:
        """Return a connection to the first address that accepts one.

        Args:
            tls_name: The name that the certificate must be valid for. None for a connection without TLS.
        """
        if not 1 <= port <= 65_535:
            raise ProbeFailed(Outcome.REFUSED)
        failures = []
        for family, address in addresses:
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.settimeout(CONNECT_SECONDS)
            try:
                connection.connect((address, port))
            except OSError as error:
                connection.close()
                failures.append(_connect_outcome(error))
                continue
            return connection if tls_name is None else self._encrypt(connection, tls_name.rstrip("."))
        # A refusal says more than an address that cannot be reached.
        raise ProbeFailed(min(failures, key=[Outcome.REFUSED, Outcome.TIMED_OUT, Outcome.UNREACHABLE].index))

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
        raise ProbeFailed(outcome)


def _connect_outcome(error: OSError) -> Outcome:
    if isinstance(error, TimeoutError):
        return Outcome.TIMED_OUT
    return Outcome.REFUSED if isinstance(error, ConnectionError) else Outcome.UNREACHABLE


def _request(url: str) -> bytes:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {_ascii(path)} HTTP/1.1", f"Host: {_host(url)}", f"User-Agent: {USER_AGENT}", "Accept: */*"]
    if parts.scheme in ("ws", "wss"):
        # The key can be constant (RFC 6455, §4.1), since nothing is sent after the handshake.
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
    """Read up to the empty line, but at most about HEAD_BYTES, in at most ANSWER_SECONDS."""
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
        raise ProbeFailed(Outcome.HUNG_UP)
    first, *lines = head.split(b"\r\n")
    words = first.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not (words[1].isdigit() and len(words[1]) == 3):
        raise ProbeFailed(Outcome.NOT_HTTP)
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"location":
            return int(words[1]), value.strip().decode("utf-8", "replace")
    return int(words[1]), None
