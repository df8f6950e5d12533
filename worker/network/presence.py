"""Who is online: writes this worker's sockets to Redis, and keeps a view of all workers' sockets in memory.

The sockets of each worker are one hash in Redis. It expires unless the worker refreshes it, so the sockets of a killed
worker disappear. The other workers drop them from their views after the same time. After a Redis outage, each worker
writes all of its sockets again and reads the others'. Lost signals are detected by counting: each refresh says how many
sockets its worker has announced.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import gevent
import msgspec
import redis
import structlog
from gevent.event import Event

from shared import peer_keys
from shared.limits import PlayerLimit
from shared.peer_keys import PeerKey
from shared.presence import RECENT_KEY, SOCKETS_KEY, WORKER_KEY, SocketPresence, list_sockets
from shared.protocol.types import game_key, player_key
from shared.signals import PresenceChanged, Signal
from worker.network.rosters import Roster
from worker.signals import Signals
from worker.sockets.connection import Connection

REFRESHES = 3  # within the time after which a silent worker counts as lost
RECENT_SECONDS = 3600.0
CHECKS = 5  # for lost workers, between two refreshes
STOPPED_REMEMBERED = 100  # workers
READY_SECONDS = 2.0
SOCKETS_PER_COMMAND = 500
DEFAULT_PLAYER_LIMIT = PlayerLimit()

_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger(__name__)


class PresenceState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The view of the other workers, and what this worker has announced.

    Attributes:
        others: The sockets of the other workers.
        workers_seen: When each of them was heard of, by time.monotonic().
    """

    others: list[SocketPresence] = []
    workers_seen: dict[str, float] = {}
    stopped_workers: list[str] = []
    announced_ids: list[str] = []


class Presence:
    """The local view of all sockets on the network, including this worker's.

    Attributes:
        sockets: All sockets, by id.
        by_peer: The same by peer key, then by id. Peers without sockets are not in it.
        on_change: Called after each change of a peer's sockets or players, with the peer key and with whether the
            change is news. It is not if this worker learned of it late (at its start, or after an outage). Must not
            wait.
        on_worker_lost: Called after a worker has been silent for too long and was dropped. Must not wait.
    """

    def __init__(
        self,
        worker_id: str,
        signals: Signals,
        describe: Callable[[], dict[str, Any]],
        *,
        expires_seconds: float = 45.0,
        player_limit: PlayerLimit = DEFAULT_PLAYER_LIMIT,
    ) -> None:
        """Start with an empty view.

        Args:
            describe: Returns facts about this worker for `flask network status`.
            expires_seconds: How long the sockets of a killed worker stay in the view.
            player_limit: How many players a game may list.
        """
        self._worker_id = worker_id
        self._signals = signals
        self._describe = describe
        self._expires_seconds = expires_seconds
        self._refresh_seconds = expires_seconds / REFRESHES
        self._own: dict[str, Connection] = {}
        # What the next signal contains.
        self._changed_ids: set[str] = set()
        self._removed_ids: set[str] = set()
        self._left_peers: set[PeerKey | None] = set()
        self._is_rebuild = False
        self._signals_after: list[Signal] = []
        self._pending = Event()
        self._announced_ids: set[str] = set()
        self._ready = Event()
        self.sockets: dict[str, SocketPresence] = {}
        self.by_peer: dict[PeerKey, dict[str, SocketPresence]] = {}
        self.player_limit = player_limit
        self._rosters: dict[PeerKey, Roster] = {}
        self._peer_by_name: dict[str, PeerKey] = {}
        self._workers_seen: dict[str, float] = {}
        self._stopped_workers: deque[str] = deque(maxlen=STOPPED_REMEMBERED)
        self.on_worker_lost: Callable[[], None] = lambda: None
        self.on_change: Callable[[PeerKey, bool], None] = lambda peer, is_news: None
        signals.on(PresenceChanged, self._follow)
        signals.on_connected(self._rebuild)

    def export_state(self) -> PresenceState:
        """Return the view for another process, once all changes are among the queued signals."""
        if self._pending.is_set():
            self._pending.clear()
            self._publish_once()
        return PresenceState(
            others=[socket for socket in self.sockets.values() if socket.worker != self._worker_id],
            workers_seen=self._workers_seen,
            stopped_workers=list(self._stopped_workers),
            announced_ids=list(self._announced_ids),
        )

    def restore(self, state: PresenceState, own: Iterable[Connection]) -> None:
        """Continue with the view of another process. `own`: the connections that are online here."""
        for connection in own:
            self._own[connection.id] = connection
            self._put(_describe_socket(connection, self._worker_id), is_news=False)
        for socket in state.others:
            self._put(socket, is_news=False)
        self._workers_seen = dict(state.workers_seen)
        self._stopped_workers.extend(state.stopped_workers)
        self._announced_ids = set(state.announced_ids)

    def start(self) -> None:
        """Start publishing this worker's sockets."""
        gevent.spawn(self._publish)
        gevent.spawn(self._refresh)

    def wait_until_ready(self, timeout: float = READY_SECONDS) -> bool:
        """Wait until the other workers' sockets have been read. Return False after `timeout` seconds without Redis."""
        return bool(self._ready.wait(timeout))

    def add_resident(self, socket: SocketPresence) -> None:
        """Add or change an entry that is always online without a socket. Each worker adds its own."""
        self._put(socket, is_news=False)

    def find_own(self, socket_id: str) -> Connection | None:
        """Return the connection with this id if it is online at this worker."""
        return self._own.get(socket_id)

    def arrive(self, connection: Connection) -> None:
        """Add a socket that has authenticated."""
        self._own[connection.id] = connection
        self.update(connection)

    def update(self, connection: Connection) -> None:
        """Publish a socket again after a change. Ignored if it is not online."""
        if connection.id in self._own:
            self._put(_describe_socket(connection, self._worker_id))
            self._changed_ids.add(connection.id)
            self._pending.set()

    def publish_after(self, signal: Signal) -> None:
        """Publish a signal after all changes so far, so that receivers find them in their views."""
        self._signals_after.append(signal)
        self._pending.set()

    def leave(self, connection: Connection) -> None:
        """Remove a socket. Ignored if it is not online."""
        if self._own.pop(connection.id, None) is not None:
            self._drop(connection.id)
            self._changed_ids.discard(connection.id)
            self._removed_ids.add(connection.id)
            self._left_peers.add(connection.peer_key)
            self._pending.set()

    def players_of(self, peer: PeerKey) -> list[str]:
        """Return the players who are online in a game: the union of its sockets' lists, sorted by name."""
        return self._roster(peer).sorted()

    def count_players(self, peer: PeerKey) -> int:
        """Return how many players are online in a game."""
        return len(self._roster(peer).names)

    def list_games(self) -> list[tuple[int, list[str]]]:
        """Return the games that are online, by id, each with the names of its players."""
        return [
            (game_id, self.players_of(peer))
            for peer in self.by_peer
            if (game_id := peer_keys.find_game_id(peer)) is not None
        ]

    def has_player(self, peer: PeerKey, name: str) -> bool:
        """Return whether a player is online in a game. Ignores case."""
        return player_key(name) in self._roster(peer).names

    def has_room_for_player(self, peer: PeerKey, name: str) -> bool:
        """Return whether one of the game's sockets may list this player."""
        return self._roster(peer).has_room(name, self.player_limit)

    def select_players(self, peer: PeerKey, names: Iterable[str], *, replaced: Mapping[str, str]) -> dict[str, str]:
        """Return the names that a socket of the game may list instead of those it lists now, by player key."""
        return self._roster(peer).select(names, self.player_limit, replaced=replaced)

    def find_peer(self, name: str) -> PeerKey | None:
        """Return the key of the online peer with this short name. Ignores case and spaces."""
        peer = self._peer_by_name.get(game_key(name))
        return peer if peer in self.by_peer else None

    def say_goodbye(self) -> None:
        """Remove this worker and its sockets from Redis. Called when it stops."""
        self._remember({connection.peer_key for connection in self._own.values()})
        self._signals.command("DEL", WORKER_KEY + self._worker_id)
        self._signals.command("DEL", SOCKETS_KEY + self._worker_id)
        self._signals.publish(PresenceChanged(self._worker_id, is_leaving=True))

    def _publish(self) -> None:
        """Publish changes. All pending ones are sent together."""
        while True:
            self._pending.wait()
            self._pending.clear()
            try:
                self._publish_once()
            except Exception:
                _log.exception("presence could not be published")
            gevent.sleep(0.01)  # a burst of changes becomes a few signals

    def _publish_once(self) -> None:
        changed_ids, self._changed_ids = self._changed_ids, set()
        removed_ids, self._removed_ids = self._removed_ids, set()
        left_peers, self._left_peers = self._left_peers, set()
        is_rebuild, self._is_rebuild = self._is_rebuild, False
        sockets = [self.sockets[socket_id] for socket_id in changed_ids if socket_id in self._own]
        self._write(sockets)
        if removed_ids:
            self._signals.command("HDEL", SOCKETS_KEY + self._worker_id, *removed_ids)
            self._remember(left_peers)
        self._announced_ids.update(socket.id for socket in sockets)
        self._announced_ids -= removed_ids
        count = len(self._announced_ids) if is_rebuild else None
        self._signals.publish(
            PresenceChanged(self._worker_id, sockets, sorted(removed_ids), is_again=is_rebuild, count=count)
        )
        for signal in self._signals_after:
            self._signals.publish(signal)
        self._signals_after.clear()

    def _refresh(self) -> None:
        while True:
            try:
                self._refresh_once()
            except Exception:
                _log.exception("presence could not be refreshed")
            for _ in range(CHECKS):
                self._drop_lost_workers()
                gevent.sleep(self._refresh_seconds / CHECKS)

    def _refresh_once(self) -> None:
        self._signals.command(
            "SET",
            WORKER_KEY + self._worker_id,
            msgspec.json.encode({"id": self._worker_id, **self._describe()}),
            "PX",
            int(self._expires_seconds * 1000),
        )
        self._write([_describe_socket(connection, self._worker_id) for connection in list(self._own.values())])
        self._remember({connection.peer_key for connection in self._own.values()})
        self._signals.publish(PresenceChanged(self._worker_id, count=len(self._announced_ids)))

    def _write(self, sockets: Sequence[SocketPresence]) -> None:
        """Write sockets into this worker's hash, with one command for many, since a command costs more than a field."""
        key = SOCKETS_KEY + self._worker_id
        for start in range(0, len(sockets), SOCKETS_PER_COMMAND):
            fields: list[Any] = []
            for socket in sockets[start : start + SOCKETS_PER_COMMAND]:
                fields += (socket.id, _encode(socket))
            self._signals.command("HSET", key, *fields)
        if sockets:
            self._signals.command("PEXPIRE", key, int(self._expires_seconds * 1000))

    def _remember(self, peers: Iterable[str | None]) -> None:
        """Write down when peers were last online, so that a worker that starts soon recognizes a quick reconnect."""
        now = time.time()
        scores = [part for peer in peers if peer is not None for part in (now, peer)]
        if scores:
            self._signals.command("ZADD", RECENT_KEY, *scores)
            self._signals.command("ZREMRANGEBYSCORE", RECENT_KEY, "-inf", now - RECENT_SECONDS)

    def _follow(self, signal: PresenceChanged) -> None:
        if signal.worker == self._worker_id or signal.worker in self._stopped_workers:
            return  # a worker that stops still signals its last sockets' departure
        self._workers_seen[signal.worker] = time.monotonic()
        for socket in signal.sockets:
            self._put(socket, is_news=not signal.is_again)
        for socket_id in signal.gone:
            self._drop(socket_id)
        if signal.is_leaving:
            self._stopped_workers.append(signal.worker)
            self._drop_worker(signal.worker)
        elif signal.count is not None and signal.count != self._count(signal.worker):
            _log.info("presence signals were lost, reading again", lost_from=signal.worker)
            gevent.spawn(self._compare, signal.worker)

    def _rebuild(self) -> None:
        """Write all of this worker's sockets, and read the others'. Called whenever Redis has been connected."""
        self._signals.command("DEL", SOCKETS_KEY + self._worker_id)  # some may have left while Redis was unreachable
        self._changed_ids.update(self._own)
        self._is_rebuild = True
        self._pending.set()
        # A live worker publishes within one refresh. A dead one must not get the full time again.
        seen = time.monotonic() - self._expires_seconds + 1.5 * self._refresh_seconds
        for worker, before in self._workers_seen.items():
            self._workers_seen[worker] = max(before, seen)
        for socket in self._read():
            self._workers_seen.setdefault(socket.worker, seen)
            self._put(socket, is_news=False)
        self._ready.set()

    def _compare(self, worker: str) -> None:
        """Correct the view of another worker's sockets by what is in Redis.

        If a socket arrives or leaves meanwhile, the result may be wrong. The next count reveals that.
        """
        known_ids = {socket.id for socket in self.sockets.values() if socket.worker == worker}
        sockets = {socket.id: socket for socket in self._read() if socket.worker == worker}
        for socket_id in known_ids - sockets.keys():
            self._drop(socket_id)
        for socket_id in sockets.keys() - known_ids:
            self._put(sockets[socket_id], is_news=False)

    def _read(self) -> list[SocketPresence]:
        """Return the other workers' sockets that are in Redis."""
        try:
            sockets = list_sockets(self._signals.redis)
        except (redis.RedisError, OSError, msgspec.MsgspecError) as error:
            _log.warning("presence could not be read", error=str(error))
            return []
        return [socket for socket in sockets if socket.worker != self._worker_id]

    def _count(self, worker: str) -> int:
        return sum(1 for socket in self.sockets.values() if socket.worker == worker)

    def _drop_lost_workers(self) -> None:
        """Drop the sockets of workers that have been silent for as long as their sockets stay in Redis."""
        if not self._signals.is_connected:
            return  # no signals arrive, so silence means nothing
        oldest = time.monotonic() - self._expires_seconds
        for worker in [worker for worker, seen in self._workers_seen.items() if seen < oldest]:
            _log.warning("a worker was lost", lost=worker)
            self._drop_worker(worker)
            self.on_worker_lost()

    def _drop_worker(self, worker: str) -> None:
        self._workers_seen.pop(worker, None)
        for socket in [socket for socket in self.sockets.values() if socket.worker == worker]:
            self._drop(socket.id)

    def _put(self, socket: SocketPresence, *, is_news: bool = True) -> None:
        before = self.sockets.get(socket.id)
        if before is not None and before.game != socket.game:
            self._forget_name(before)
        self._change_roster(socket.peer, before.players if before else (), socket.players)
        self.sockets[socket.id] = socket
        self.by_peer.setdefault(socket.peer, {})[socket.id] = socket
        self._peer_by_name[game_key(socket.game)] = socket.peer
        self.on_change(socket.peer, is_news)

    def _drop(self, socket_id: str) -> None:
        socket = self.sockets.pop(socket_id, None)
        if socket is None:
            return
        sockets = self.by_peer[socket.peer]
        del sockets[socket_id]
        self._change_roster(socket.peer, socket.players, ())
        if not sockets:
            del self.by_peer[socket.peer]
            self._forget_name(socket)
        self.on_change(socket.peer, True)

    def _change_roster(self, peer: PeerKey, before: Sequence[str], after: Sequence[str]) -> None:
        """Replace the players that one socket lists. A game without players has no roster, which takes memory."""
        if before or after:
            roster = self._rosters.setdefault(peer, Roster())
            roster.change(before, after)
            if not roster.names:
                del self._rosters[peer]

    def _roster(self, peer: PeerKey) -> Roster:
        return self._rosters.get(peer) or Roster()

    def _forget_name(self, socket: SocketPresence) -> None:
        if self._peer_by_name.get(game_key(socket.game)) == socket.peer:
            del self._peer_by_name[game_key(socket.game)]


@cache
def _sorted(flags: frozenset[str]) -> tuple[str, ...]:
    """Return flags in order. There are few sets of flags, and all sockets with the same ones share one tuple."""
    return tuple(sorted(flags))


def _describe_socket(connection: Connection, worker_id: str) -> SocketPresence:
    peer = connection.peer
    assert peer is not None
    return SocketPresence(
        id=connection.id,
        worker=worker_id,
        peer=peer.key,
        game=peer.short_name,
        is_application=peer.is_application,
        is_displayed=peer.is_displayed,
        address=connection.transport.address,
        since=connection.opened_at,
        seen_at=connection.seen_at,
        version=connection.version,
        user_agent=connection.user_agent,
        supports=_sorted(connection.supports),
        channels=sorted(connection.channels),
        players=list(connection.players.values()),
    )
