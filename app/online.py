"""Who is online now, as pages show it: read from Redis every other second at most, however many pages ask."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import redis
from flask import Flask, current_app

from shared.bus import Bus
from shared.peer_keys import PeerKey, find_game_id
from shared.presence import SocketPresence, list_sockets
from shared.protocol.types import player_key
from shared.services.profiles import Online

log = logging.getLogger(__name__)

KEPT_SECONDS = 2.0


@dataclass(frozen=True)
class OnlineNow:
    """The network as presence tells of it; it may be wrong for seconds.

    games: the names of the players of each game with a socket, by its id, sorted without case. Hidden games are among
    them: what is shown to strangers must be asked of the database. sockets: None while Redis is away.
    """

    players: Online = frozenset()
    games: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    sockets: Sequence[SocketPresence] | None = ()

    def count_players(self, game_ids: list[int]) -> int:
        """How many players these games have together."""
        return sum(len(self.games.get(game_id, ())) for game_id in game_ids)


class _Kept:
    """What was read last. One thread reads at a time; the others are given what is known meanwhile."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.read_at: float | None = None
        self.now = OnlineNow()


def online_now() -> OnlineNow:
    """Every game online with its players. Nobody while Redis is away."""
    kept: _Kept = current_app.extensions.setdefault("online", _Kept())
    if kept.read_at is not None and time.monotonic() - kept.read_at < KEPT_SECONDS:
        return kept.now
    # Who is the first of all has nothing to show meanwhile, and waits.
    if kept.lock.acquire(blocking=kept.read_at is None):
        try:
            if kept.read_at is None or time.monotonic() - kept.read_at >= KEPT_SECONDS:
                kept.now = _read(current_app)
                kept.read_at = time.monotonic()
        finally:
            kept.lock.release()
    return kept.now


def online_players() -> Online:
    """(peer key, player's key) of everyone online. Nobody while Redis is away."""
    return online_now().players


def sockets_of(peer: PeerKey) -> list[SocketPresence] | None:
    """The sockets of a peer, the oldest first. None while Redis is away."""
    found = online_now().sockets
    return None if found is None else sorted((s for s in found if s.peer == peer), key=lambda socket: socket.since)


def _read(app: Flask) -> OnlineNow:
    bus: Bus = app.extensions["bus"]
    try:
        return _summed_up(list_sockets(bus.redis))
    except redis.RedisError as error:
        log.warning("redis is away, nobody is shown as online: %s", error)
        return OnlineNow(sockets=None)


def _summed_up(sockets: list[SocketPresence]) -> OnlineNow:
    """A game may have several sockets, each with players of its own."""
    players = set()
    games: dict[int, dict[str, str]] = {}
    for socket in sockets:
        game_id = find_game_id(socket.peer)
        names = {} if game_id is None else games.setdefault(game_id, {})
        for name in socket.players:
            key = player_key(name)
            players.add((socket.peer, key))
            names.setdefault(key, name)
    return OnlineNow(
        frozenset(players),
        {game_id: tuple(names[key] for key in sorted(names)) for game_id, names in games.items()},
        sockets,
    )
