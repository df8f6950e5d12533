"""Games that come online and go: `games/connect` and `games/disconnect` (docs/protocol.md, §7).

Each worker finds them out for its own sockets, from its own view of who is online, so nothing is sent between workers
and no notice can be given twice. A game is announced with its first socket, and as gone when it has had none for
`offline_seconds`; if it returns sooner, neither is said. Redis remembers when games were last online, so that a
worker that starts does not take those that return to it for new ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import gevent
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
from worker.wire.fanout import Fanout, Frames
from worker.wire.frames import frame_text

GAMES = "games"  # the fan-out topic of sockets with the flag

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Known:
    """A game that is online, or was a moment ago. offline_since: Unix time; None while it has a socket."""

    name: str
    is_shown: bool
    offline_since: float | None = None


class Notices:
    """Which games this worker's sockets have been told of. Watches the presence view."""

    def __init__(
        self,
        presence: Presence,
        fanout: Fanout,
        signals: Signals,
        database: Database,
        diagnostics: Diagnostics,
        *,
        offline_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._presence = presence
        self._fanout = fanout
        self._signals = signals
        self._database = database
        self._diagnostics = diagnostics
        self._offline_seconds = offline_seconds
        self._clock = clock
        self._known: dict[PeerKey, _Known] = {}
        self._offline: dict[PeerKey, None] = {}  # those without a socket, the first to be told of first

    def start(self) -> None:
        """Take over who was online a moment ago, and begin to watch for those that stay away."""
        self._remember_recent()
        gevent.spawn(self._run)

    def changed(self, peer: PeerKey, is_news: bool) -> None:
        """Something about a peer's sockets changed (called by the presence view)."""
        sockets = self._presence.by_peer.get(peer)
        known = self._known.get(peer)
        if not sockets:
            if known is not None and known.offline_since is None:
                known.offline_since = self._clock()
                self._offline[peer] = None
            return
        socket = _newest(sockets.values())
        is_shown = socket.is_displayed and not socket.is_application
        if known is None:
            self._known[peer] = _Known(socket.game, is_shown)
            if is_shown and is_news:
                self._say(GameConnected(game=socket.game), peer)
            return
        known.name, known.is_shown = socket.game, is_shown
        if known.offline_since is not None:
            known.offline_since = None
            del self._offline[peer]

    def tick(self) -> None:
        """Tell of those that have been away for long enough."""
        latest = self._clock() - self._offline_seconds
        for peer in list(self._offline):
            known = self._known[peer]
            if known.offline_since is not None and known.offline_since > latest:
                break
            del self._offline[peer], self._known[peer]
            if known.is_shown:
                self._say(GameDisconnected(game=known.name), peer)

    def _run(self) -> None:
        while True:
            gevent.sleep(min(self._offline_seconds / 10, 1.0))
            try:
                self.tick()
            except Exception:
                _log.exception("games' notices failed")

    def _say(self, notice: GameConnected | GameDisconnected, peer: PeerKey) -> None:
        frames = Frames.same(frame_text(encode_event(notice.event, notice)))
        self._fanout.broadcast(GAMES, frames, except_peer=peer)
        self._diagnostics.broadcast(GAMES, frames, peer)

    def _remember_recent(self) -> None:
        try:
            recent = list_recent(self._signals.redis, after=self._clock() - self._offline_seconds)
            absent = [peer for peer in recent if peer not in self._known]
            found = self._database.read(lambda session: peers.list_peers(session, absent))
        except (redis.RedisError, OSError, SQLAlchemyError) as error:
            _log.warning("who was online a moment ago is not known", error=str(error))
            return
        for key in sorted(absent, key=lambda peer: recent[peer]):
            peer = found.get(key)
            if peer is not None and key not in self._known:
                self._known[key] = _Known(peer.short_name, peer.is_displayed, recent[key])
                self._offline[key] = None


def _newest(sockets: Iterable[SocketPresence]) -> SocketPresence:
    return max(sockets, key=lambda socket: socket.since)
