"""Announces games that come online or go offline: `games/connect` and `games/disconnect` (docs/protocol.md, §7).

Each worker notifies its own sockets, based on its own view of who is online. So workers exchange no messages about it,
and no socket is notified twice. A game goes online with its first socket, and offline after `offline_seconds` without
one. If it reconnects within that time, nothing is announced. Redis remembers when games were last online, so that a
worker that has just started does not announce games that reconnect to it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import gevent
import msgspec
import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.peer_keys import PeerKey
from shared.presence import SocketPresence, list_recent
from shared.protocol import encode_event
from shared.protocol.games import GameConnected, GameDisconnected
from shared.services import peers
from worker.database import Database
from worker.diagnostics.recorder import Diagnostics
from worker.network.presence import Presence
from worker.signals import Signals
from worker.wire.broadcasts import Frames
from worker.wire.fanout import Fanout
from worker.wire.frames import frame_text

GAMES = "games"  # the fan-out topic of sockets with the flag

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Game:
    """A game that is online, or was recently.

    Attributes:
        offline_since: The Unix time at which it lost its last socket. None if it has one.
    """

    name: str
    is_shown: bool
    offline_since: float | None = None


class NoticesState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The games that are online or were recently: name, whether it is shown, and since when it has been offline.

    Attributes:
        offline: The keys of those without a socket, oldest first.
    """

    games: dict[PeerKey, tuple[str, bool, float | None]] = {}
    offline: list[PeerKey] = []


class Notices:
    """The games that this worker has announced to its sockets."""

    def __init__(
        self,
        presence: Presence,
        fanout: Fanout,
        signals: Signals,
        database: Database,
        diagnostics: Diagnostics,
        *,
        offline_seconds: float,
    ) -> None:
        self._presence = presence
        self._fanout = fanout
        self._signals = signals
        self._database = database
        self._diagnostics = diagnostics
        self._offline_seconds = offline_seconds
        self._games: dict[PeerKey, _Game] = {}
        self._offline: dict[PeerKey, None] = {}  # games without a socket, oldest first

    def start(self, state: NoticesState | None = None) -> None:
        """Start announcing games that go offline.

        Args:
            state: What another process has announced to the same sockets. Without it, read which games were online
                recently.
        """
        if state is None:
            self._read_recent()
        else:
            self._games = {peer: _Game(*game) for peer, game in state.games.items()}
            self._offline = dict.fromkeys(state.offline)
        gevent.spawn(self._run)

    def export_state(self) -> NoticesState:
        """Return what was announced, for another process."""
        games = {peer: (game.name, game.is_shown, game.offline_since) for peer, game in self._games.items()}
        return NoticesState(games, list(self._offline))

    def changed(self, peer: PeerKey, is_news: bool) -> None:
        """Announce a peer if it has come online. Called after its sockets have changed.

        Args:
            is_news: False if this worker learned of it late, so that a new socket is not announced.
        """
        sockets = self._presence.by_peer.get(peer)
        game = self._games.get(peer)
        if not sockets:
            if game is not None and game.offline_since is None:
                game.offline_since = time.time()
                self._offline[peer] = None
            return
        socket = _newest(sockets.values())
        is_shown = socket.is_displayed and not socket.is_application
        if game is None:
            self._games[peer] = _Game(socket.game, is_shown)
            if is_shown and is_news:
                self._announce(GameConnected(game=socket.game), peer)
            return
        game.name, game.is_shown = socket.game, is_shown
        if game.offline_since is not None:
            game.offline_since = None
            del self._offline[peer]

    def tick(self) -> None:
        """Announce the games that have been offline for long enough."""
        latest = time.time() - self._offline_seconds
        for peer in list(self._offline):
            game = self._games[peer]
            if game.offline_since is not None and game.offline_since > latest:
                break
            del self._offline[peer], self._games[peer]
            if game.is_shown:
                self._announce(GameDisconnected(game=game.name), peer)

    def _run(self) -> None:
        while True:
            gevent.sleep(min(self._offline_seconds / 10, 1.0))
            try:
                self.tick()
            except Exception:
                _log.exception("games could not be announced as offline")

    def _announce(self, notice: GameConnected | GameDisconnected, peer: PeerKey) -> None:
        frames = Frames.same(frame_text(encode_event(notice.event, notice)))
        self._fanout.broadcast(GAMES, frames, except_listener=peer)
        self._diagnostics.record_broadcast(GAMES, frames, peer)

    def _read_recent(self) -> None:
        try:
            recent = list_recent(self._signals.redis, after=time.time() - self._offline_seconds)
            absent = [peer for peer in recent if peer not in self._games]
            records = self._database.read(lambda session: peers.list_peers(session, absent))
        except (redis.RedisError, OSError, SQLAlchemyError) as error:
            _log.warning("cannot read which games were online recently", error=str(error))
            return
        for key in sorted(absent, key=lambda peer: recent[peer]):
            peer = records.get(key)
            if peer is not None and key not in self._games:
                self._games[key] = _Game(peer.short_name, peer.is_displayed, recent[key])
                self._offline[key] = None


def _newest(sockets: Iterable[SocketPresence]) -> SocketPresence:
    return max(sockets, key=lambda socket: socket.since)
