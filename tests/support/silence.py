"""A proxy for Valkey or PostgreSQL that can fall silent: connections stay open, but nothing passes any more."""

from __future__ import annotations

import select
import socket
import threading
from pathlib import Path


class SilentProxy:
    """Listens on a Unix socket, and forwards everything to another one until `fall_silent` is called."""

    def __init__(self, path: Path, target: str) -> None:
        self.url = f"unix://{path}"
        self._target = target.removeprefix("unix://")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._speaks = threading.Event()
        self._speaks.set()
        self._cut_after: bytes | None = None
        self._clients: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut all connections."""
        for client in list(self._clients):
            client.shutdown(socket.SHUT_RDWR)

    def cut_after(self, text: bytes) -> None:
        """Cut the connection that sends this text next, once the server has carried it out, without its answer."""
        self._cut_after = text

    @property
    def has_cut(self) -> bool:
        """Whether the connection has been cut since `cut_after`."""
        return self._cut_after is None

    def fall_silent(self) -> None:
        """Forward nothing. Still accept connections, and read what is sent."""
        self._speaks.clear()

    def speak(self) -> None:
        """Forward again what is sent on new connections."""
        self._speaks.set()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            self._clients.add(client)
            try:
                server.connect(self._target)
                self._exchange(client, server)
            except OSError:
                return  # either end is gone
            finally:
                self._clients.discard(client)

    def _exchange(self, client: socket.socket, server: socket.socket) -> None:
        is_lost = False
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = source.recv(65_536)
                if not data:
                    return
                is_lost = is_lost or not self._speaks.is_set()
                if source is client and self._cut_after is not None and self._cut_after in data:
                    server.sendall(data)
                    server.recv(65_536)
                    self._cut_after = None
                    return
                if not is_lost:
                    (server if source is client else client).sendall(data)
