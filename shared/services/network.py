"""The network as a whole: restart notices, and what it looks like now."""

from __future__ import annotations

from collections import Counter
from typing import Any

import redis
from sqlalchemy.orm import Session

from shared import presence
from shared.bus import Bus, announce
from shared.errors import Invalid, Unavailable
from shared.services import users, versions
from shared.signals import RestartAnnounced

DOWNTIME_LONGEST = 3_600


def announce_restart(session: Session, bus: Bus, *, downtime_seconds: int, actor_id: int | None = None) -> None:
    """Let every worker send `restart` to every socket: a drop is coming, of so many whole seconds.

    Raises Forbidden, Invalid, and Unavailable without Redis. At most once: it rides in Redis only.
    """
    users.require_admin(session, actor_id)
    if not 1 <= downtime_seconds <= DOWNTIME_LONGEST:
        raise Invalid(f"the downtime must be from 1 to {DOWNTIME_LONGEST} seconds", field="downtime")
    if not bus.is_up():
        raise Unavailable("Redis cannot be reached, so no worker would hear of it: try again when it is back")
    announce(session, RestartAnnounced(downtime_seconds))


def network_status(session: Session, bus: Bus) -> dict[str, Any]:
    """Games online, sockets, workers and the cursor. Without Redis only the cursor is known: `redis` is then False."""
    status: dict[str, Any] = {"cursor": versions.last_cursor(session), "redis": True}
    try:
        sockets = presence.list_sockets(bus.redis)
        workers = presence.list_workers(bus.redis)
    except redis.RedisError:
        return status | {"redis": False, "games": [], "applications": [], "sockets": [], "workers": []}
    held = Counter(socket.worker for socket in sockets)
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
            # A worker tells of itself now and then only; who has a socket is known at once.
            (worker | {"sockets": held[worker["id"]]} for worker in workers),
            key=lambda worker: str(worker["id"]),
        ),
    }
