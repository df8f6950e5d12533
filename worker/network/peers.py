"""The sockets of games and applications at this worker: they connect, come online, are edited, and disconnect.

`worker/chat/browsers.py` does the same for browsers. `worker/handlers/` handles the events.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable

import structlog

from shared import peer_keys
from shared.errors import TooMany
from shared.protocol import encode_event
from shared.protocol.core import Restart
from shared.services.peers import Peer
from shared.services.versions import Change
from worker.diagnostics.recorder import Diagnostics
from worker.moderation.view import MODERATION, Moderation
from worker.network.directory import Directory
from worker.network.notices import GAMES
from worker.network.player_notices import PLAYERS
from worker.network.presence import Presence
from worker.network.replicas import Replicas
from worker.sockets.buckets import SocketLimits
from worker.sockets.connection import Connection
from worker.sockets.credentials import CLOSE_REVOKED
from worker.sockets.heartbeats import CLOSE_NO_ANSWER, Heartbeats
from worker.sockets.registry import Sockets
from worker.wire.fanout import Fanout
from worker.wire.groups import ANY_CHANNEL, ChannelTopic

DOWNTIME_JITTER_SECONDS = 5
STALE_HEARTBEATS = 1  # a socket with more unanswered ones makes room for another of its peer

_log = structlog.get_logger(__name__)


class TooManySockets(TooMany):
    """A peer has as many sockets on the network as it may."""


class Peers:
    """Brings the sockets of games and applications online and takes them offline."""

    def __init__(
        self,
        sockets: Sockets,
        fanout: Fanout,
        presence: Presence,
        directory: Directory,
        replicas: Replicas,
        heartbeats: Heartbeats,
        moderation: Moderation,
        diagnostics: Diagnostics,
        *,
        sockets_per_peer: int,
    ) -> None:
        self._sockets = sockets
        self._fanout = fanout
        self._presence = presence
        self._directory = directory
        self._replicas = replicas
        self._heartbeats = heartbeats
        self._moderation = moderation
        self._diagnostics = diagnostics
        self._sockets_per_peer = sockets_per_peer

    def accept(self, connection: Connection) -> None:
        """Register a new socket. It is closed unless it authenticates in time."""
        self._sockets.add(connection)
        self._heartbeats.expect(connection)

    def restore(self, connection: Connection) -> None:
        """Register a socket that was connected to another process."""
        self._sockets.add(connection)
        if connection.peer is not None:
            self._sockets.assign_peer(connection)
            self._join(connection, connection.peer)

    def require_room(self, peer: Peer) -> None:
        """Check that a peer may open another socket. Closes its sockets here that have stopped answering, if it helps.

        Raises:
            TooManySockets: the peer has as many sockets on the network as it may.
        """
        count = len(self._presence.by_peer.get(peer.key, ()))
        if count < self._sockets_per_peer:
            return
        for connection in self._sockets.by_peer.get(peer.key, ()):
            if connection.missed_heartbeats > STALE_HEARTBEATS:
                connection.close(CLOSE_NO_ANSWER, "heartbeats were not answered")
                count -= 1
        if count >= self._sockets_per_peer:
            raise TooManySockets("too many sockets are open")

    def admit(self, connection: Connection, peer: Peer, channel_ids: Iterable[int]) -> None:
        """Bring a socket online that has authenticated as this peer, subscribed to these channels.

        Joins the fan-out and presence once each, since one join of all topics costs as much as a join of one.
        """
        connection.peer = peer
        connection.claimed_id = ""
        connection.transport.trust()
        self._sockets.assign_peer(connection)
        self._heartbeats.beat(connection)
        connection.history_position = self._sockets.history_position
        connection.channels = dict.fromkeys(channel_ids, connection.history_position)
        if peer.is_application:
            connection.limits = SocketLimits()  # fresh buckets, since an application's are larger
        self._join(connection, peer)
        self._diagnostics.record_arrival(connection)
        self._presence.arrive(connection)
        _log.info("online", peer=peer.key, connection=connection.id, version=connection.version)

    def _join(self, connection: Connection, peer: Peer) -> None:
        topics: set[Hashable] = set(connection.supports & {PLAYERS, GAMES})
        if peer.is_application:
            topics.add(ANY_CHANNEL)
            if self._moderation.may_moderate(peer.id):
                topics.add(MODERATION)
        else:
            topics.update(map(ChannelTopic, connection.channels))
        self._fanout.join(connection, topics)

    def forget(self, connection: Connection, code: int | None, reason: str) -> None:
        """Take a closed socket offline."""
        self._sockets.remove(connection)
        self._fanout.forget(connection)
        self._replicas.forget(connection)
        if connection.peer is not None:
            self._presence.leave(connection)
            self._diagnostics.record_disconnect(connection, code, reason)
            _log.info("offline", peer=connection.peer.key, connection=connection.id, code=code, reason=reason)

    def announce_restart(self, downtime_seconds: int) -> None:
        """Send `restart` to every socket, with random delays so that not all return at once."""
        for connection in list(self._sockets.all):
            if connection.peer is not None:
                downtime = downtime_seconds + random.randint(0, DOWNTIME_JITTER_SECONDS)
                connection.send(encode_event(Restart.event, Restart(downtime=downtime)))

    def game_changed(self, change: Change) -> None:
        """Rename the sockets of an edited game, or close those of a deleted one."""
        connections = self._sockets.by_peer.get(peer_keys.of_game(change.record_id))
        if not connections:
            return
        record = self._directory.decode_game(change)
        for connection in connections:
            if record is None:
                connection.close(CLOSE_REVOKED, "the game was deleted")
            elif connection.peer is not None:
                peer = connection.peer.renamed(record.short_name, is_displayed=record.is_displayed)
                if peer != connection.peer:  # most edits change something else, and presence goes to all workers
                    connection.peer = peer
                    self._presence.update(connection)

    def scopes_changed(self) -> None:
        """Subscribe applications to acts of moderation, or unsubscribe them, after their scopes have changed."""
        for connection in list(self._sockets.all):
            if connection.peer is not None and connection.is_application:
                self._update_scope(connection, connection.peer)

    def _update_scope(self, connection: Connection, peer: Peer) -> None:
        join_or_leave = self._fanout.join if self._moderation.may_moderate(peer.id) else self._fanout.leave
        join_or_leave(connection, [MODERATION])
