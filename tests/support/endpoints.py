"""Small servers that count their connections and answer each one with a function of the test."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

Answer = Callable[[socket.socket], object]


class Authority:
    """A certificate authority. Its clients must trust the file `pem`, for example through SSL_CERT_FILE."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.pem = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.pem))

    def context(self, *names: str, is_expired: bool = False) -> ssl.SSLContext:
        """Return the context of a server with a certificate for these names."""
        expires = datetime.now(UTC) + timedelta(days=-1 if is_expired else 1)
        certificate = self._authority.issue_cert(*names, not_before=expires - timedelta(days=30), not_after=expires)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context


class Endpoint:
    """Listens on a free port. `said` holds the bytes that `answer` has returned, one item for each connection."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        self.said: list[bytes] = []
        self._answer = answer
        self._context = context
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            said = self._answer(connection)
            if isinstance(said, bytes):
                self.said.append(said)
        except OSError:
            pass
        finally:
            connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # otherwise the accepting thread would accept one more
        self._listener.close()


@contextmanager
def listening(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[Endpoint]:
    """Run an endpoint inside the block."""
    endpoint = Endpoint(answer, context)
    try:
        yield endpoint
    finally:
        endpoint.close()


def greets(connection: socket.socket) -> None:
    """Greet the client as a game does, and wait until it disconnects."""
    connection.sendall(b"Welcome to Midnight Harbour!\r\n")
    connection.shutdown(socket.SHUT_WR)
    says_nothing(connection)


def says_nothing(connection: socket.socket) -> None:
    """Wait until the client disconnects."""
    while connection.recv(1024):
        pass


def hangs_up(connection: socket.socket) -> None:
    """Close the connection at once."""


def answers_http(status: str, *headers: str) -> Answer:
    """Return a function that reads one request, and answers with this status and these headers."""

    def answer(connection: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request and (part := connection.recv(4096)):
            request += part
        lines = [f"HTTP/1.1 {status}", *headers, "Content-Length: 5"]
        connection.sendall("\r\n".join([*lines, "", "hello"]).encode())
        return request

    return answer
