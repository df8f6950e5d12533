"""Who is online, as stored in Redis: for each worker a hash of its sockets, which expires unless it is refreshed.

Workers write it (`worker/network/presence.py`), and workers and the site read it. It may be wrong for seconds. It is
never the only copy: each worker can write its own sockets again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import redis
import structlog

from shared import grapevine
from shared.peer_keys import PeerKey
from shared.protocol.types import player_key

SOCKETS_KEY = "gossip:sockets:"  # a hash for each worker: its sockets, by id
SOCKET_KEY = "gossip:socket:"  # a key for each socket, as workers wrote them before 2.5; read until none is left
WORKER_KEY = "gossip:worker:"
MAX_PEOPLE = 200
MAX_NAMES = 10_000  # of one game's players that are counted as listeners
RECENT_KEY = "gossip:recent"  # a sorted set: peer keys by the Unix time when they were last online

_log = structlog.get_logger(__name__)


class SocketPresence(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One live socket of a peer.

    Attributes:
        since, seen_at: Unix times in seconds.
        channels: ids, since names change.
        players: the players on this socket's list.
    """

    id: str
    worker: str
    peer: PeerKey
    game: str
    is_application: bool = False
    is_displayed: bool = True
    address: str = ""
    since: float = 0.0
    seen_at: float = 0.0
    version: str = "1.0.0"
    user_agent: str | None = None
    supports: tuple[str, ...] = ()
    channels: list[int] = []
    players: list[str] = []


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is subscribed to a channel.

    Attributes:
        people: the usernames of those who chat in the browser, at most MAX_PEOPLE of `people_count`.
        games: short names, each with the number of its players online.
    """

    people: list[str]
    people_count: int
    games: list[tuple[str, int]]


def find_listeners(sockets: Iterable[SocketPresence], channel_id: int) -> Listeners:
    """Return who is subscribed to a channel, without applications, hidden games, and people who hide being online."""
    people: dict[str, str] = {}
    games: dict[str, set[str]] = {}
    for socket in sockets:
        if channel_id not in socket.channels or socket.is_application or not socket.is_displayed:
            continue
        if socket.peer == grapevine.KEY:
            people |= {player_key(name): name for name in socket.players}
        else:
            names = games.setdefault(socket.game, set())
            names.update(map(player_key, socket.players[: max(0, MAX_NAMES - len(names))]))
    return Listeners(
        people=[people[key] for key in sorted(people)[:MAX_PEOPLE]],
        people_count=len(people),
        games=sorted(((game, len(names)) for game, names in games.items()), key=lambda game: game[0].lower()),
    )


def list_sockets(client: redis.Redis) -> list[SocketPresence]:
    """Return every socket on the network. Skips entries of a worker of another version that cannot be read.

    Raises:
        redis.RedisError: Redis is down.
    """
    keys = [bytes(key) for key in client.scan_iter(match="gossip:socket*", count=1000)]
    values = _values(client, [key for key in keys if key.startswith(SOCKET_KEY.encode())])
    for key in keys:
        if key.startswith(SOCKETS_KEY.encode()):
            entries: Any = client.hvals(key.decode())
            values += entries
    sockets = []
    for value in values:
        try:
            sockets.append(msgspec.json.decode(value, type=SocketPresence))
        except msgspec.MsgspecError as error:
            _log.warning("a socket's presence cannot be read", error=str(error))
    return sockets


def list_workers(client: redis.Redis) -> list[dict[str, Any]]:
    """Return all running workers, each as it describes itself. Raises redis.RedisError."""
    keys = list(client.scan_iter(match=WORKER_KEY + "*", count=1000))
    return [msgspec.json.decode(value) for value in _values(client, keys)]


def list_recent(client: redis.Redis, *, after: float) -> dict[PeerKey, float]:
    """Return the peers that were online after a Unix time, each with the last known time. Raises redis.RedisError."""
    scores: Any = client.zrangebyscore(RECENT_KEY, after, "+inf", withscores=True)
    return {PeerKey(peer.decode()): score for peer, score in scores}


def _values(client: redis.Redis, keys: list[Any]) -> list[bytes | str]:
    values: list[bytes | str] = []
    for start in range(0, len(keys), 500):
        values += [value for value in client.mget(keys[start : start + 500]) if value is not None]
    return values
