"""Who is online now, as pages show it: read from Redis every other second at most, however many pages ask."""

from __future__ import annotations

import logging
import time

import redis
from flask import current_app

from shared.bus import Bus
from shared.presence import SocketPresence, list_sockets
from shared.protocol.types import player_key
from shared.services.profiles import Online

log = logging.getLogger(__name__)

KEPT_SECONDS = 2.0


def online_sockets() -> list[SocketPresence]:
    """Every socket on the network. None while Redis is away."""
    bus: Bus = current_app.extensions["bus"]
    known: tuple[float, list[SocketPresence]] | None = current_app.extensions.get("online")
    if known is not None and time.monotonic() - known[0] < KEPT_SECONDS:
        return known[1]
    try:
        found = list_sockets(bus.redis)
    except redis.RedisError as error:
        log.warning("redis is away, nobody is shown as online: %s", error)
        found = []
    current_app.extensions["online"] = (time.monotonic(), found)
    return found


def online_players() -> Online:
    """(peer key, player's key) of everyone online. Nobody while Redis is away."""
    return frozenset((socket.peer, player_key(name)) for socket in online_sockets() for name in socket.players)
