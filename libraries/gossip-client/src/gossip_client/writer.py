"""Writes frames to a connection, from any thread, without waiting forever for a server that does not read."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

POLL_SECONDS = 0.25
WRITE_SECONDS = 30.0  # how long a server may accept no data


class Writer:
    """Writes the frames of one client, in order.

    `ClientConnection.send` blocks for as long as the server reads nothing, and every other thread that wants to write
    or to close then waits too. So each frame first waits, for a limited time, until the connection can take it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def write(
        self,
        take: Callable[[], tuple[ClientConnection | None, list[str]]],
        is_current: Callable[[ClientConnection], bool],
    ) -> None:
        """Write all frames that are ready. Errors are left to the thread that reads: it sees them too.

        Args:
            take: Returns the connection and the frames to send. Called once no other thread writes.
            is_current: Whether the client still uses this connection.
        """
        with self.lock:
            connection, frames = take()
            if connection is None:
                return
            try:
                for frame in frames:
                    if not _wait_until_writable(connection, is_current):
                        # The plain socket's method: `SSLSocket.shutdown` would first drop its TLS state under the
                        # thread that reads.
                        socket.socket.shutdown(connection.socket, socket.SHUT_RDWR)
                        return
                    connection.send(frame)
            except (ConnectionClosed, OSError, ValueError):
                pass


def _wait_until_writable(connection: ClientConnection, is_current: Callable[[ClientConnection], bool]) -> bool:
    """Wait until the connection can take a frame. Return False if it is closed, or takes nothing for WRITE_SECONDS."""
    deadline = time.monotonic() + WRITE_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(connection.socket, selectors.EVENT_WRITE)
        while not selector.select(POLL_SECONDS):
            # A selector never reports a descriptor that was closed after it was registered: look at it each time.
            is_open = connection.socket.fileno() != -1
            if not is_open or not is_current(connection) or time.monotonic() >= deadline:
                return False
    return True
