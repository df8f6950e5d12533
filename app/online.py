"""Who is online now. Read from Redis at most once every two seconds, however many pages ask."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar

import redis
from flask import Flask, current_app

from shared.bus import Bus
from shared.peer_keys import PeerKey, find_game_id
from shared.presence import SocketPresence, list_sockets
from shared.protocol.types import player_key
from shared.services.profiles import Online

log = logging.getLogger(__name__)

CACHE_SECONDS = 2.0
MAX_NAMES = 10_000  # of one game, over all its sockets

T = TypeVar("T")


class OnlineNow:
    """The network's presence. May be wrong for a few seconds.

    Attributes:
        games: The players' names of each connected game, by game id, sorted without case. Includes hidden games: ask
            the database which ones visitors may see.
        sockets: None while Redis is down.
    """

    def __init__(self, sockets: Sequence[SocketPresence] | None = ()) -> None:
        self.sockets = sockets
        self.games = _players_by_game(sockets or ())
        self._results: dict[object, Any] = {}

    @cached_property
    def players(self) -> Online:
        """The (peer key, player key) of everyone online."""
        sockets = _names_by_socket(self.sockets or ())
        return frozenset((socket.peer, player_key(name)) for socket, names in sockets for name in names)

    def count_players(self, game_ids: Iterable[int]) -> int:
        """Return the number of players in these games."""
        return sum(len(self.games.get(game_id, ())) for game_id in game_ids)

    def once(self, key: object, make: Callable[[], T]) -> T:
        """Return what `make` returned when it was first called with this key for this reading."""
        if key not in self._results:
            self._results[key] = make()
        result: T = self._results[key]
        return result


class _Cache:
    """The last reading. One thread reads at a time; meanwhile the others use the previous reading."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.read_at: float | None = None
        self.now = OnlineNow()


def online_now() -> OnlineNow:
    """Return every online game with its players. Empty while Redis is down."""
    cache: _Cache = current_app.extensions.setdefault("online", _Cache())
    if cache.read_at is not None and time.monotonic() - cache.read_at < CACHE_SECONDS:
        return cache.now
    # The first reading has no previous one to fall back on, so all threads wait for it.
    if cache.lock.acquire(blocking=cache.read_at is None):
        try:
            if cache.read_at is None or time.monotonic() - cache.read_at >= CACHE_SECONDS:
                cache.now = _read(current_app)
                cache.read_at = time.monotonic()
        finally:
            cache.lock.release()
    return cache.now


def online_players() -> Online:
    """Return the (peer key, player key) of everyone online. Empty while Redis is down."""
    return online_now().players


def list_sockets_of(peer: PeerKey) -> list[SocketPresence] | None:
    """Return the sockets of a peer, oldest first. None while Redis is down."""
    sockets = online_now().sockets
    return None if sockets is None else sorted((s for s in sockets if s.peer == peer), key=lambda socket: socket.since)


def _read(app: Flask) -> OnlineNow:
    bus: Bus = app.extensions["bus"]
    try:
        return OnlineNow(list_sockets(bus.redis))
    except redis.RedisError as error:
        log.warning("redis is down, so nobody is shown as online: %s", error)
        return OnlineNow(None)


def _players_by_game(sockets: Iterable[SocketPresence]) -> dict[int, tuple[str, ...]]:
    """Return each game's players. A game may have several sockets, each with its own players."""
    games: dict[int, dict[str, str]] = {}
    for socket, listed in _names_by_socket(sockets):
        game_id = find_game_id(socket.peer)
        if game_id is not None:
            names = games.setdefault(game_id, {})
            for name in listed:
                names.setdefault(player_key(name), name)
    return {game_id: tuple(names[key] for key in sorted(names)) for game_id, names in games.items()}


def _names_by_socket(sockets: Iterable[SocketPresence]) -> Iterator[tuple[SocketPresence, Sequence[str]]]:
    """Yield each socket with its players, MAX_NAMES for each peer, so that no game makes every page slow."""
    names_left: dict[PeerKey, int] = {}
    for socket in sockets:
        left = names_left.get(socket.peer, MAX_NAMES)
        names_left[socket.peer] = max(0, left - len(socket.players))
        yield socket, socket.players[:left]
