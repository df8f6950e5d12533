"""What an owner may see of their game's sockets: frames, disconnects, refusals, limits. In Redis, bounded, for a day.

Workers write (`worker/diagnostics/recorder.py`), the site reads. Broadcasts are kept once a topic, not once a receiver:
`read` puts them in among the frames of a game that was listening.
"""

from __future__ import annotations

from typing import Any

import msgspec
import redis

from shared.peer_keys import PeerKey
from shared.presence import WORKER_KEY

FRAMES_AT_MOST = 100
DISCONNECTS_AT_MOST = 20
REFUSALS_AT_MOST = 50
KEEP_SECONDS = 86_400
KEY = "gossip:diagnostics:"
TOPIC_KEY = "gossip:diagnostics-topic:"
SAME_NOTICE_SECONDS = 5.0  # every worker keeps games' notices


class SeenFrame(msgspec.Struct, frozen=True):
    """One frame. at: Unix time. way: "in" from the game, "out" to it. Secrets and tells' texts are masked."""

    at: float
    way: str
    frame: str


class BroadcastFrame(msgspec.Struct, frozen=True):
    """One frame that all who listen to a topic were sent, but for the sockets of `except_peer`."""

    at: float
    except_peer: str | None
    frame: str


class Disconnect(msgspec.Struct, frozen=True):
    """One socket's end. code: the WebSocket close code; None where it just vanished. seconds: how long it lived."""

    at: float
    code: int | None
    reason: str
    seconds: float


class Refusal(msgspec.Struct, frozen=True):
    """A frame that was refused: what was wrong with it, and what was expected instead."""

    at: float
    frame: str
    code: str
    error: str
    expected: str


class Headroom(msgspec.Struct, frozen=True):
    """How much is left of a limit, in its emptiest bucket. of: the player or socket whose it is; "" for the game's."""

    limit: str
    of: str
    left: float
    burst: int
    per_second: float


class State(msgspec.Struct, frozen=True):
    """What one worker last knew of a game: what it listens to, each with since when (Unix time), and its limits."""

    at: float
    is_online: bool
    topics: dict[str, float]
    limits: list[Headroom]


class Diagnostics(msgspec.Struct, frozen=True):
    """Everything kept of one game, oldest first."""

    frames: list[SeenFrame]
    disconnects: list[Disconnect]
    refusals: list[Refusal]
    limits: list[Headroom]


def read(client: redis.Redis, peer: PeerKey) -> Diagnostics:
    """The diagnostics of a peer. Raises redis.RedisError."""
    key = KEY + peer
    raw_states: Any = client.hgetall(key + ":states")
    states = [_state(client, worker, value) for worker, value in raw_states.items()]
    frames = _list(client, key + ":frames", SeenFrame)
    for topic, since, until in _spans(states):
        frames += _heard(_list(client, TOPIC_KEY + topic, BroadcastFrame), peer, since, until)
    frames.sort(key=lambda frame: frame.at)
    limits: dict[str, Headroom] = {}
    for state in states:
        for headroom in state.limits:
            known = limits.get(headroom.limit)
            if known is None or headroom.left < known.left:
                limits[headroom.limit] = headroom
    return Diagnostics(
        frames=frames[-FRAMES_AT_MOST:],
        disconnects=_list(client, key + ":disconnects", Disconnect),
        refusals=_list(client, key + ":refusals", Refusal),
        limits=[limits[name] for name in sorted(limits)],
    )


def _state(client: redis.Redis, worker: bytes, value: bytes) -> State:
    """What a worker wrote of a game; one that was killed did not come to say that the game is gone."""
    state = msgspec.json.decode(value, type=State)
    is_running = bool(client.exists(WORKER_KEY + worker.decode()))
    return state if is_running else msgspec.structs.replace(state, is_online=False)


def _spans(states: list[State]) -> list[tuple[str, float, float]]:
    """Topics with the times from and until which the game listened, on any worker."""
    spans: dict[str, tuple[float, float]] = {}
    for state in states:
        until = float("inf") if state.is_online else state.at
        for topic, since in state.topics.items():
            earliest, latest = spans.get(topic, (since, until))
            spans[topic] = min(earliest, since), max(latest, until)
    return [(topic, since, until) for topic, (since, until) in spans.items()]


def _heard(broadcasts: list[BroadcastFrame], peer: str, since: float, until: float) -> list[SeenFrame]:
    found: list[SeenFrame] = []
    said: dict[str, float] = {}
    for broadcast in sorted(broadcasts, key=lambda broadcast: broadcast.at):
        if broadcast.except_peer == peer or not since <= broadcast.at <= until:
            continue
        what = broadcast.frame.partition('"payload":')[2]
        if broadcast.at - said.get(what, 0.0) < SAME_NOTICE_SECONDS and '"games/' in broadcast.frame:
            continue
        said[what] = broadcast.at
        found.append(SeenFrame(broadcast.at, "out", broadcast.frame))
    return found


def _list(client: redis.Redis, key: str, kind: Any) -> list[Any]:
    values: Any = client.lrange(key, 0, -1)
    return [msgspec.json.decode(value, type=kind) for value in values]
