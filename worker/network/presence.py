"""Who is online: this worker's sockets are written to Redis, and everybody's are kept in a local view.

Each worker's sockets are one hash in Redis that expires unless it is refreshed, so a killed worker leaves no ghosts.
Its sockets leave the views of the other workers after the same time. When Redis comes back after it was away, each
worker writes all of its own sockets again and reads the others'. Lost signals are detected by counting: each refresh
says how many sockets its worker has announced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gevent
import msgspec
import redis
import structlog
from gevent.event import Event

from shared import peer_keys
from shared.peer_keys import PeerKey
from shared.presence import RECENT_KEY, SOCKETS_KEY, WORKER_KEY, SocketPresence, list_sockets
from shared.protocol.types import game_key, player_key
from shared.signals import PresenceChanged, Signal
from worker.signals import Signals
from worker.sockets.connection import Connection

REFRESHES = 3  # in the time after which a worker that says nothing counts as lost
RECENT_SECONDS = 3600.0
CHECKS = 5  # for lost workers, in the time between two refreshes
READY_SECONDS = 2.0
WRITTEN_AT_ONCE = 500  # sockets in one command

_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger(__name__)


class Presence:
    """The local view of every socket on the network, this worker's own among them.

    on_change is called with the peer key after each change in who has a socket or which players, and with whether that
    is news: what this worker only learns late (at its start, when Redis is back) is none. It must not wait.
    """

    def __init__(
        self, worker_id: str, signals: Signals, describe: Callable[[], dict[str, Any]], *, expires_seconds: float = 45.0
    ) -> None:
        """describe: facts about this worker for `flask network status`.

        expires_seconds: how long the sockets of a worker that was killed seem to be there.
        """
        self._worker_id = worker_id
        self._signals = signals
        self._describe = describe
        self._expires_seconds = expires_seconds
        self._refresh_seconds = expires_seconds / REFRESHES
        self._own: dict[str, Connection] = {}
        self._changed: set[str] = set()
        self._gone: set[str] = set()
        self._left: set[PeerKey | None] = set()
        self._told: set[str] = set()
        self._is_again = False
        self._after: list[Signal] = []
        self._come = Event()
        self._ready = Event()
        self.sockets: dict[str, SocketPresence] = {}
        self.by_peer: dict[PeerKey, dict[str, SocketPresence]] = {}
        self._peer_by_name: dict[str, PeerKey] = {}
        self._workers_seen: dict[str, float] = {}
        self.on_change: Callable[[PeerKey, bool], None] = lambda peer, is_news: None

    def start(self) -> None:
        """Begin to tell and to listen."""
        self._signals.on(PresenceChanged, self._follow)
        self._signals.on_connected(self._rebuild)
        gevent.spawn(self._tell)
        gevent.spawn(self._refresh)

    def wait_until_ready(self, timeout: float = READY_SECONDS) -> bool:
        """Wait until the others' sockets are known. False if Redis is away."""
        return bool(self._ready.wait(timeout))

    def add_resident(self, socket: SocketPresence) -> None:
        """Put in, or change, what is always online and has no socket; each worker has its own."""
        self._put(socket, is_news=False)

    def find_own(self, socket_id: str) -> Connection | None:
        """The connection of one of this worker's sockets."""
        return self._own.get(socket_id)

    def arrive(self, connection: Connection) -> None:
        """A socket has authenticated."""
        self._own[connection.id] = connection
        self.update(connection)

    def update(self, connection: Connection) -> None:
        """Something about a socket changed. Nothing happens for one that is not (yet, or any more) online."""
        if connection.id in self._own:
            self._put(_describe_socket(connection, self._worker_id))
            self._changed.add(connection.id)
            self._come.set()

    def publish_after(self, signal: Signal) -> None:
        """Publish a signal once what changed so far has been told: who asks about it then finds it so."""
        self._after.append(signal)
        self._come.set()

    def leave(self, connection: Connection) -> None:
        """A socket is gone."""
        if self._own.pop(connection.id, None) is not None:
            self._drop(connection.id)
            self._changed.discard(connection.id)
            self._gone.add(connection.id)
            self._left.add(connection.peer_key)
            self._come.set()

    def players_of(self, peer: PeerKey) -> list[str]:
        """Who is online in a game: the union of its sockets' lists, by name."""
        names: dict[str, str] = {}
        for socket in self.by_peer.get(peer, {}).values():
            for name in socket.players:
                names.setdefault(player_key(name), name)
        return [names[key] for key in sorted(names)]

    def list_games(self) -> list[tuple[int, list[str]]]:
        """Return the games that are online, by id, each with the names of its players."""
        return [
            (game_id, self.players_of(peer))
            for peer in self.by_peer
            if (game_id := peer_keys.find_game_id(peer)) is not None
        ]

    def has_player(self, peer: PeerKey, name: str) -> bool:
        """True if the player is online in the game, in any spelling."""
        key = player_key(name)
        return any(
            player_key(player) == key for socket in self.by_peer.get(peer, {}).values() for player in socket.players
        )

    def find_peer(self, name: str) -> PeerKey | None:
        """The key of the peer of this short name (any case, any spaces) that is online."""
        peer = self._peer_by_name.get(game_key(name))
        return peer if peer in self.by_peer else None

    def say_goodbye(self) -> None:
        """This worker stops: take its sockets and itself out of Redis."""
        self._remember({connection.peer_key for connection in self._own.values()})
        self._signals.command("DEL", WORKER_KEY + self._worker_id, SOCKETS_KEY + self._worker_id)
        self._signals.publish(PresenceChanged(self._worker_id, is_leaving=True))

    def _tell(self) -> None:
        """Write what changed, all that waits at once."""
        while True:
            self._come.wait()
            self._come.clear()
            try:
                self._tell_once()
            except Exception:
                _log.exception("presence could not be told")
            gevent.sleep(0.01)  # a burst of changes becomes a few signals

    def _tell_once(self) -> None:
        changed, self._changed = self._changed, set()
        gone, self._gone = self._gone, set()
        left, self._left = self._left, set()
        is_again, self._is_again = self._is_again, False
        sockets = [self.sockets[socket_id] for socket_id in changed if socket_id in self._own]
        self._write(sockets)
        if gone:
            self._signals.command("HDEL", SOCKETS_KEY + self._worker_id, *gone)
            self._remember(left)
        self._told.update(socket.id for socket in sockets)
        self._told -= gone
        signal = PresenceChanged(
            self._worker_id, sockets, sorted(gone), is_again=is_again, count=len(self._told) if is_again else None
        )
        self._signals.publish(signal)
        for after in self._after:
            self._signals.publish(after)
        self._after.clear()

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
        self._signals.publish(PresenceChanged(self._worker_id, count=len(self._told)))

    def _write(self, sockets: Sequence[SocketPresence]) -> None:
        """Write sockets into this worker's hash. A command for each would cost as much as everything else of them."""
        key = SOCKETS_KEY + self._worker_id
        for start in range(0, len(sockets), WRITTEN_AT_ONCE):
            fields: list[Any] = []
            for socket in sockets[start : start + WRITTEN_AT_ONCE]:
                fields += (socket.id, _encode(socket))
            self._signals.command("HSET", key, *fields)
        if sockets:
            self._signals.command("PEXPIRE", key, int(self._expires_seconds * 1000))

    def _remember(self, peers: Iterable[str | None]) -> None:
        """Note when peers were last online, for workers that start later: a quick reconnect is to be seen as one."""
        now = time.time()
        scores = [part for peer in peers if peer is not None for part in (now, peer)]
        if scores:
            self._signals.command("ZADD", RECENT_KEY, *scores)
            self._signals.command("ZREMRANGEBYSCORE", RECENT_KEY, "-inf", now - RECENT_SECONDS)

    def _follow(self, signal: PresenceChanged) -> None:
        if signal.worker == self._worker_id:
            return
        self._workers_seen[signal.worker] = time.monotonic()
        for socket in signal.sockets:
            self._put(socket, is_news=not signal.is_again)
        for socket_id in signal.gone:
            self._drop(socket_id)
        if signal.is_leaving:
            self._drop_worker(signal.worker)
        elif signal.count is not None and signal.count != self._count(signal.worker):
            _log.info("presence signals were lost, reading again", lost_from=signal.worker)
            gevent.spawn(self._compare, signal.worker)

    def _rebuild(self) -> None:
        """Listening has begun (again): write all of our own, and read everyone's."""
        self._signals.command("DEL", SOCKETS_KEY + self._worker_id)  # sockets may have gone while Redis was away
        self._changed.update(self._own)
        self._is_again = True
        self._come.set()
        # A worker that lives speaks within a refresh; one that died a while ago is not to be given its full time again.
        seen = time.monotonic() - self._expires_seconds + 1.5 * self._refresh_seconds
        for worker, before in self._workers_seen.items():
            self._workers_seen[worker] = max(before, seen)
        for socket in self._read():
            self._workers_seen.setdefault(socket.worker, seen)
            self._put(socket, is_news=False)
        self._ready.set()

    def _compare(self, worker: str) -> None:
        """Make the view of another worker's sockets what Redis says. Wrong again if one came or went meanwhile: then
        the next count shows it.
        """
        before = {socket.id for socket in self.sockets.values() if socket.worker == worker}
        found = {socket.id: socket for socket in self._read() if socket.worker == worker}
        for socket_id in before - found.keys():
            self._drop(socket_id)
        for socket_id in found.keys() - before:
            self._put(found[socket_id], is_news=False)

    def _read(self) -> list[SocketPresence]:
        """The sockets of other workers as Redis knows them."""
        try:
            sockets = list_sockets(self._signals.redis)
        except (redis.RedisError, OSError, msgspec.MsgspecError) as error:
            _log.warning("presence could not be read, it comes with the next signals", error=str(error))
            return []
        return [socket for socket in sockets if socket.worker != self._worker_id]

    def _count(self, worker: str) -> int:
        return sum(1 for socket in self.sockets.values() if socket.worker == worker)

    def _drop_lost_workers(self) -> None:
        """Forget sockets of workers that have said nothing for as long as their keys live."""
        if not self._signals.is_connected:
            return  # nobody can be heard now
        oldest = time.monotonic() - self._expires_seconds
        for worker in [worker for worker, seen in self._workers_seen.items() if seen < oldest]:
            _log.warning("a worker was lost", lost=worker)
            self._drop_worker(worker)

    def _drop_worker(self, worker: str) -> None:
        self._workers_seen.pop(worker, None)
        for socket in [socket for socket in self.sockets.values() if socket.worker == worker]:
            self._drop(socket.id)

    def _put(self, socket: SocketPresence, *, is_news: bool = True) -> None:
        before = self.sockets.get(socket.id)
        if before is not None and before.game != socket.game:
            self._forget_name(before)
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
        if not sockets:
            del self.by_peer[socket.peer]
            self._forget_name(socket)
        self.on_change(socket.peer, True)

    def _forget_name(self, socket: SocketPresence) -> None:
        if self._peer_by_name.get(game_key(socket.game)) == socket.peer:
            del self._peer_by_name[game_key(socket.game)]


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
        supports=sorted(connection.supports),
        channels=sorted(connection.channels),
        players=list(connection.players.values()),
    )
