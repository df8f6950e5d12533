"""All sockets of this worker, and which peer each belongs to."""

from __future__ import annotations

from shared.peer_keys import PeerKey
from worker.sockets.connection import Connection


class Sockets:
    """The open sockets.

    Attributes:
        all: every socket, also those that have not authenticated and those of browsers.
        history_position: the greatest id in the history that this worker knows of.
        by_peer: the sockets of games and applications that have authenticated, by peer key. A tuple of
            one takes 48 bytes, and a set 216.
    """

    def __init__(self) -> None:
        self.all: set[Connection] = set()
        self.history_position = 0
        self.by_peer: dict[PeerKey, tuple[Connection, ...]] = {}

    def add(self, connection: Connection) -> None:
        """Add a socket that has just connected."""
        self.all.add(connection)

    def assign_peer(self, connection: Connection) -> None:
        """List an authenticated socket under its peer."""
        assert connection.peer is not None
        key = connection.peer.key
        self.by_peer[key] = (*self.by_peer.get(key, ()), connection)

    def remove(self, connection: Connection) -> None:
        """Remove a socket that is gone."""
        self.all.discard(connection)
        key = connection.peer_key
        if key is None or key not in self.by_peer:
            return
        others = tuple(other for other in self.by_peer[key] if other is not connection)
        if others:
            self.by_peer[key] = others
        else:
            del self.by_peer[key]

    def listeners(self, channel_id: int) -> list[Connection]:
        """Return the sockets that receive a channel's lines: its subscribers and all applications."""
        return [connection for connection in self.all if channel_id in connection.channels or connection.is_application]
