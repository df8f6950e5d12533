"""`players/sign-in` and `players/sign-out` of those who chat in the browser (docs/protocol.md, §5).

As with games (`notices.py`), each worker finds them out for its own sockets from its own view of who is online: a
person is there while one of their pages is open, at any worker, and is gone when there has been none for a while. So
another page, a reload or a worker's restart is no news.
"""

from __future__ import annotations

import time

import gevent
import structlog

from shared import grapevine
from shared.protocol import encode_event
from shared.protocol.players import PlayerSignedIn, PlayerSignedOut
from shared.protocol.types import player_key
from worker.network.player_notices import PLAYERS
from worker.network.presence import Presence
from worker.wire.fanout import Fanout, Frames
from worker.wire.frames import frame_text

AWAY_SECONDS = 15.0

_log = structlog.get_logger(__name__)


class BrowserNotices:
    """Which people this worker's sockets believe to be online in the browser. Watches the presence view."""

    def __init__(self, presence: Presence, fanout: Fanout, *, away_seconds: float = AWAY_SECONDS) -> None:
        self._presence = presence
        self._fanout = fanout
        self._away_seconds = away_seconds
        self._known: dict[str, str] = {}
        self._away: dict[str, float] = {}  # since when; the first to go first

    def start(self) -> None:
        """Begin to watch for those who stay away."""
        gevent.spawn(self._run)

    def changed(self, is_news: bool) -> None:
        """Something about Grapevine's sockets changed (called by the presence view)."""
        names = {player_key(name): name for name in self._presence.players_of(grapevine.KEY)}
        del names[grapevine.SYSTEM]
        for key, name in names.items():
            self._away.pop(key, None)
            if key not in self._known:
                self._known[key] = name
                if is_news:
                    self._say(PlayerSignedIn(game=grapevine.SHORT_NAME, name=name))
        for key in self._known.keys() - names.keys() - self._away.keys():
            self._away[key] = time.monotonic()

    def tick(self) -> None:
        """Tell of those who have been away for long enough."""
        latest = time.monotonic() - self._away_seconds
        for key, since in list(self._away.items()):
            if since > latest:
                break
            del self._away[key]
            self._say(PlayerSignedOut(game=grapevine.SHORT_NAME, name=self._known.pop(key)))

    def _say(self, notice: PlayerSignedIn | PlayerSignedOut) -> None:
        frames = Frames.same(frame_text(encode_event(notice.event, notice)))
        self._fanout.broadcast(PLAYERS, frames, except_peer=grapevine.KEY)

    def _run(self) -> None:
        while True:
            gevent.sleep(min(self._away_seconds / 10, 1.0))
            try:
                self.tick()
            except Exception:
                _log.exception("notices of people who chat failed")
