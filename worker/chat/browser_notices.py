"""Sends `players/sign-in` and `players/sign-out` for people who chat in the browser (docs/protocol.md, §5).

As with games (`notices.py`), each worker notifies its own sockets, based on its own view of who is online. A person is
online while they have a page open at any worker, and goes offline when they have had none for a while. So a second
page, a reload or a worker's restart is not announced.
"""

from __future__ import annotations

import time

import gevent
import msgspec
import structlog

from shared import grapevine
from shared.protocol import encode_event
from shared.protocol.players import PlayerSignedIn, PlayerSignedOut
from shared.protocol.types import player_key
from worker.network.player_notices import PLAYERS
from worker.network.presence import Presence
from worker.wire.broadcasts import Frames
from worker.wire.fanout import Fanout
from worker.wire.frames import frame_text

AWAY_SECONDS = 15.0

_log = structlog.get_logger(__name__)


class BrowserNoticesState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The attributes of `BrowserNotices`."""

    announced: dict[str, str] = {}
    away: dict[str, float] = {}


class BrowserNotices:
    """The people in browsers that this worker has announced to its sockets."""

    def __init__(self, presence: Presence, fanout: Fanout, *, away_seconds: float = AWAY_SECONDS) -> None:
        self._presence = presence
        self._fanout = fanout
        self._away_seconds = away_seconds
        self._announced: dict[str, str] = {}  # names by player key
        self._away: dict[str, float] = {}  # when a person's last page closed, by player key, oldest first

    def start(self, state: BrowserNoticesState | None = None) -> None:
        """Start announcing people who go offline.

        Args:
            state: What another process has announced to the same sockets.
        """
        if state is not None:
            self._announced, self._away = dict(state.announced), dict(state.away)
        gevent.spawn(self._run)

    def export_state(self) -> BrowserNoticesState:
        """Return what was announced, for another process."""
        return BrowserNoticesState(self._announced, self._away)

    def changed(self, is_news: bool) -> None:
        """Announce people who have come online. Called after Grapevine's sockets have changed.

        Args:
            is_news: False if this worker learned of it late, so that nobody is announced.
        """
        names = {player_key(name): name for name in self._presence.players_of(grapevine.KEY)}
        del names[grapevine.SYSTEM]
        for key, name in names.items():
            self._away.pop(key, None)
            if key not in self._announced:
                self._announced[key] = name
                if is_news:
                    self._announce(PlayerSignedIn(game=grapevine.SHORT_NAME, name=name))
        for key in self._announced.keys() - names.keys() - self._away.keys():
            self._away[key] = time.monotonic()

    def tick(self) -> None:
        """Announce the people who have been away for long enough."""
        latest = time.monotonic() - self._away_seconds
        for key, since in list(self._away.items()):
            if since > latest:
                break
            del self._away[key]
            self._announce(PlayerSignedOut(game=grapevine.SHORT_NAME, name=self._announced.pop(key)))

    def _announce(self, notice: PlayerSignedIn | PlayerSignedOut) -> None:
        frames = Frames.same(frame_text(encode_event(notice.event, notice)))
        self._fanout.broadcast(PLAYERS, frames, except_listener=grapevine.KEY)

    def _run(self) -> None:
        while True:
            gevent.sleep(min(self._away_seconds / 10, 1.0))
            try:
                self.tick()
            except Exception:
                _log.exception("people could not be announced as offline")
