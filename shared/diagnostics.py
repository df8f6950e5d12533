"""What owners can see about their game's sockets: frames, disconnects, refusals, limits.

Redis keeps a bounded number of each for a day. Workers write them (`worker/diagnostics/recorder.py`) and the site reads
them. A broadcast is stored once for its fan-out topic, not for each receiver; `read` merges it into the frames of a
game that was subscribed to the topic.
"""

from __future__ import annotations

from typing import Any

import msgspec
import redis

from shared.peer_keys import PeerKey
from shared.presence import WORKER_KEY

MAX_FRAMES = 100
MAX_DISCONNECTS = 20
MAX_REFUSALS = 50
KEEP_SECONDS = 86_400
KEY = "gossip:diagnostics:"
TOPIC_KEY = "gossip:diagnostics-topic:"
SAME_NOTICE_SECONDS = 5.0  # every worker stores games' notices, so they are merged


class SeenFrame(msgspec.Struct, frozen=True):
    """One frame, with secrets and tells' texts masked. `at` is a Unix time; `way` is "in" (from the game) or "out"."""

    at: float
    way: str
    frame: str


class BroadcastFrame(msgspec.Struct, frozen=True):
    """One frame that was sent to all subscribers of a topic, except the sockets of `except_peer`."""

    at: float
    except_peer: PeerKey | None
    frame: str


class Disconnect(msgspec.Struct, frozen=True):
    """The end of a socket. `code` is None if the connection was lost. `seconds` is how long it lived."""

    at: float
    code: int | None
    reason: str
    seconds: float


class Refusal(msgspec.Struct, frozen=True):
    """A frame that was refused, what was wrong with it, and what was expected."""

    at: float
    frame: str
    code: str
    error: str
    expected: str


class Headroom(msgspec.Struct, frozen=True):
    """How much of a limit is left in its emptiest bucket: that of a player or socket (`of`) or of the game ("")."""

    limit: str
    of: str
    left: float
    burst: int
    per_second: float


class State(msgspec.Struct, frozen=True):
    """What one worker last knew of a game: its topics, each with the Unix time of subscribing, and its limits."""

    at: float
    is_online: bool
    topics: dict[str, float]
    limits: list[Headroom]


class Diagnostics(msgspec.Struct, frozen=True):
    """Everything that is stored about one game, oldest first."""

    frames: list[SeenFrame]
    disconnects: list[Disconnect]
    refusals: list[Refusal]
    limits: list[Headroom]


def peer_key(peer: PeerKey) -> str:
    """Return what all keys of a peer begin with. The braces keep them in one shard of a cluster."""
    return f"{KEY}{{{peer}}}"


def read(client: redis.Redis, peer: PeerKey) -> Diagnostics:
    """Return the diagnostics of a peer.

    Raises:
        redis.RedisError: Redis is down.
    """
    key = peer_key(peer)
    raw_states: Any = client.hgetall(key + ":states")
    states = [_state(client, worker, value) for worker, value in raw_states.items()]
    frames = _list(client, key + ":frames", SeenFrame)
    for topic, since, until in _spans(states):
        frames += _received(_list(client, TOPIC_KEY + topic, BroadcastFrame), peer, since, until)
    frames.sort(key=lambda frame: frame.at)
    limits: dict[str, Headroom] = {}
    for state in states:
        for headroom in state.limits:
            smallest = limits.get(headroom.limit)
            if smallest is None or headroom.left < smallest.left:
                limits[headroom.limit] = headroom
    return Diagnostics(
        frames=frames[-MAX_FRAMES:],
        disconnects=_list(client, key + ":disconnects", Disconnect),
        refusals=_list(client, key + ":refusals", Refusal),
        limits=[limits[name] for name in sorted(limits)],
    )


def _state(client: redis.Redis, worker: bytes, value: bytes) -> State:
    """Return what a worker wrote. If the worker no longer runs, the game is not online there."""
    state = msgspec.json.decode(value, type=State)
    is_running = bool(client.exists(WORKER_KEY + worker.decode()))
    return state if is_running else msgspec.structs.replace(state, is_online=False)


def _spans(states: list[State]) -> list[tuple[str, float, float]]:
    """Return each topic with the first and last times at which the game was subscribed to it, on any worker."""
    spans: dict[str, tuple[float, float]] = {}
    for state in states:
        until = float("inf") if state.is_online else state.at
        for topic, since in state.topics.items():
            earliest, latest = spans.get(topic, (since, until))
            spans[topic] = min(earliest, since), max(latest, until)
    return [(topic, since, until) for topic, (since, until) in spans.items()]


def _received(broadcasts: list[BroadcastFrame], peer: PeerKey, since: float, until: float) -> list[SeenFrame]:
    frames: list[SeenFrame] = []
    last_sent: dict[str, float] = {}
    for broadcast in sorted(broadcasts, key=lambda broadcast: broadcast.at):
        if broadcast.except_peer == peer or not since <= broadcast.at <= until:
            continue
        content = broadcast.frame.partition('"payload":')[2]
        if broadcast.at - last_sent.get(content, 0.0) < SAME_NOTICE_SECONDS and '"games/' in broadcast.frame:
            continue
        last_sent[content] = broadcast.at
        frames.append(SeenFrame(broadcast.at, "out", broadcast.frame))
    return frames


def _list(client: redis.Redis, key: str, kind: Any) -> list[Any]:
    values: Any = client.lrange(key, 0, -1)
    return [msgspec.json.decode(value, type=kind) for value in values]
