"""The network as a whole: restart notices, and its present status."""

from __future__ import annotations

from collections import Counter
from typing import Any

import redis
from sqlalchemy.orm import Session

from shared import presence
from shared.bus import Bus, announce
from shared.errors import Invalid, Unavailable
from shared.services import versions
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require
from shared.signals import RestartAnnounced

MAX_DOWNTIME_SECONDS = 3_600


def announce_restart(session: Session, actor: Actor, bus: Bus, *, downtime_seconds: int) -> None:
    """Have every worker send `restart` to every socket, at most once: the notice rides in Redis only. For admins.

    Raises Forbidden, Invalid (field `downtime`), Unavailable (Redis is down).
    """
    require(actor, Act.ANNOUNCE_RESTART)
    if not 1 <= downtime_seconds <= MAX_DOWNTIME_SECONDS:
        raise Invalid(f"the downtime must be from 1 to {MAX_DOWNTIME_SECONDS} seconds", field="downtime")
    if not bus.is_up():
        raise Unavailable("Redis cannot be reached, so no worker would receive this: try again when it is back")
    announce(session, RestartAnnounced(downtime_seconds))


def network_status(session: Session, bus: Bus) -> dict[str, Any]:
    """Return the games, applications, sockets and workers that are online, and the cursor.

    While Redis is down, `redis` is False, the lists are empty and only the cursor is right.
    """
    status: dict[str, Any] = {"cursor": versions.last_cursor(session), "redis": True}
    try:
        sockets = presence.list_sockets(bus.redis)
        workers = presence.list_workers(bus.redis)
    except redis.RedisError:
        return status | {"redis": False, "games": [], "applications": [], "sockets": [], "workers": []}
    sockets_by_worker = Counter(socket.worker for socket in sockets)
    return status | {
        "games": sorted({socket.game for socket in sockets if not socket.is_application}),
        "applications": sorted({socket.game for socket in sockets if socket.is_application}),
        "sockets": sorted(
            (
                {
                    "game": socket.game,
                    "worker": socket.worker,
                    "address": socket.address,
                    "since": socket.since,
                    "version": socket.version,
                    "user_agent": socket.user_agent,
                    "supports": socket.supports,
                    "players": len(socket.players),
                }
                for socket in sockets
            ),
            key=lambda socket: (socket["game"], socket["since"]),
        ),
        "workers": sorted(
            # Count the sockets here: a worker reports its own count only from time to time.
            (worker | {"sockets": sockets_by_worker[worker["id"]]} for worker in workers),
            key=lambda worker: str(worker["id"]),
        ),
    }
