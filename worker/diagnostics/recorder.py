"""Records what owners can see about their game's sockets. It is kept in Redis for a day, for `shared/diagnostics.py`.

Recording a frame costs one append of existing bytes to a bounded list. The slow work (masking, encoding) is done every
few seconds, for the few frames that are kept. A broadcast is recorded once for its topic, not for each socket.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import gevent
import msgspec
import redis
import structlog

from shared import grapevine
from shared.diagnostics import (
    KEEP_SECONDS,
    MAX_DISCONNECTS,
    MAX_FRAMES,
    MAX_REFUSALS,
    TOPIC_KEY,
    BroadcastFrame,
    Disconnect,
    Headroom,
    Refusal,
    SeenFrame,
    State,
    peer_key,
)
from shared.peer_keys import PeerKey
from shared.protocol import INCOMING, FrameError, parse_frame
from shared.protocol.codes import Code
from worker.signals import Signals
from worker.sockets.connection import FRAME_BYTES, Connection, Trace
from worker.sockets.limits import RateLimits
from worker.sockets.newest import Newest
from worker.sockets.registry import Sockets
from worker.wire.broadcasts import Frames

FLUSH_SECONDS = 3.0
PEERS_PER_FLUSH = 500  # others are written FLUSH_SECONDS later: owners' pages may lag when thousands of games reconnect
HIDDEN = "•••"

_SECRETS = frozenset(["client_id", "client_secret", "secret", "password", "token"])
_SENSITIVE = re.compile(rb"client_|secret|password|token|tell|history|authenticate|\\u", re.IGNORECASE)
_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger(__name__)


class NotesState(msgspec.Struct, omit_defaults=True):
    """The records about one peer that are not in Redis yet: see `_Notes`."""

    trace: list[tuple[float, bool, bytes]] = []
    disconnects: list[Disconnect] = []
    refusals: list[tuple[float, bytes, str | None, str, str]] = []


class DiagnosticsState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The records that are not in Redis yet: by peer, and the broadcasts by topic, in the form for older clients."""

    notes: dict[PeerKey, NotesState] = {}
    topics: dict[str, list[tuple[float, PeerKey | None, bytes]]] = {}


class _Notes:
    """The records about one peer that are not in Redis yet."""

    __slots__ = ("disconnects", "refusals", "trace")

    def __init__(self) -> None:
        self.trace: Trace = Newest(MAX_FRAMES)
        self.disconnects: Newest[Disconnect] = Newest(MAX_DISCONNECTS)
        self.refusals: Newest[tuple[float, bytes, str | None, str, str]] = Newest(MAX_REFUSALS)


class Diagnostics:
    """Records what happens to this worker's sockets."""

    def __init__(self, worker_id: str, signals: Signals, limits: RateLimits, sockets: Sockets) -> None:
        self._worker_id = worker_id
        self._signals = signals
        self._limits = limits
        self._sockets = sockets
        self._notes: dict[PeerKey, _Notes] = {}
        self._topics: dict[str, deque[tuple[float, PeerKey | None, Frames]]] = {}

    def export_state(self) -> DiagnosticsState:
        """Return what is not in Redis yet, for another process."""
        return DiagnosticsState(
            {
                peer: NotesState(list(notes.trace), list(notes.disconnects), list(notes.refusals))
                for peer, notes in self._notes.items()
                if notes.trace or notes.disconnects or notes.refusals
            },
            {
                topic: [(at, peer, frames.framed(0)) for at, peer, frames in broadcasts]
                for topic, broadcasts in self._topics.items()
            },
        )

    def restore(self, state: DiagnosticsState, connections: Iterable[Connection]) -> None:
        """Continue with the records of another process, and record the frames of its authenticated connections."""
        for peer, records in state.notes.items():
            notes = self._notes_of(peer)
            notes.trace.add_all(records.trace)
            notes.disconnects.add_all(records.disconnects)
            notes.refusals.add_all(records.refusals)
        for topic, broadcasts in state.topics.items():
            frames = [(at, peer, Frames.same(framed)) for at, peer, framed in broadcasts]
            self._topics[topic] = deque(frames, maxlen=MAX_FRAMES)
        for connection in connections:
            connection.trace.clear()
            self.record_arrival(connection)

    def start(self) -> None:
        """Start writing to Redis every few seconds."""
        gevent.spawn(self._load_script)
        self._signals.on_connected(self._load_script)  # a restarted Redis has lost it
        gevent.spawn(self._run)

    def _load_script(self) -> None:
        try:
            self._signals.redis.script_load(PUT_NOTES)
        except (redis.RedisError, OSError) as error:
            _log.warning("redis is unavailable, diagnostics are not written", error=str(error))

    def record_arrival(self, connection: Connection) -> None:
        """Record a socket's frames for its peer. Called when the socket has authenticated."""
        peer = connection.peer_key
        assert peer is not None
        trace = self._notes_of(peer).trace
        trace.add_all(connection.trace)
        connection.trace = trace

    def record_disconnect(self, connection: Connection, code: int | None, reason: str) -> None:
        """Record that a socket of a peer has disconnected."""
        peer = connection.peer_key
        assert peer is not None
        now = time.time()
        disconnect = Disconnect(now, code, reason, round(now - connection.opened_at, 3))
        self._notes_of(peer).disconnects.add(disconnect)

    def record_refusal(self, connection: Connection, data: bytes, event: str | None, code: str, error: str) -> None:
        """Record a frame that failed, even if it was not answered.

        Args:
            event: Its event. None if it has none.
        """
        peer = connection.peer_key or connection.claimed
        if peer is not None and peer != grapevine.KEY:  # browsers have no owner
            self._notes_of(peer).refusals.add((time.time(), data[:FRAME_BYTES], event, code, error))

    def record_broadcast(self, topic: str, frames: Frames, except_peer: PeerKey | None) -> None:
        """Record a broadcast to a topic. Only the worker where it originates calls this."""
        broadcasts = self._topics.get(topic)
        if broadcasts is None:
            broadcasts = self._topics[topic] = deque(maxlen=MAX_FRAMES)
        broadcasts.append((time.time(), except_peer, frames))

    def forget_lines(self, channel_id: int, peer: PeerKey) -> None:
        """Delete all frames that may contain a line of this peer on a channel. Called after a line was redacted."""
        topic = channel_topic(channel_id)
        self._topics.pop(topic, None)
        if peer in self._notes:
            self._notes[peer].trace.clear()
        self._signals.command("DEL", TOPIC_KEY + topic)
        self._signals.command("DEL", peer_key(peer) + ":frames")

    def flush(self) -> None:
        """Write to Redis what was recorded since the last time."""
        topics, self._topics = self._topics, {}
        for topic, broadcasts in topics.items():
            self._append(
                TOPIC_KEY + topic,
                [BroadcastFrame(at, peer, _decode_json(frames)) for at, peer, frames in broadcasts],
                MAX_FRAMES,
            )
            gevent.sleep(0)
        written = 0
        for peer in list(self._notes):
            notes = self._notes.pop(peer)
            is_changed = bool(notes.trace or notes.disconnects or notes.refusals)
            if is_changed or peer in self._sockets.by_peer:
                self._notes[peer] = notes  # at the end, so that every peer gets its turn
            if is_changed:
                self._flush_peer(peer, notes)
                written += 1
                if written == PEERS_PER_FLUSH:
                    break
                gevent.sleep(0)

    def _flush_peer(self, peer: PeerKey, notes: _Notes) -> None:
        frames, disconnects, refusals = list(notes.trace), list(notes.disconnects), list(notes.refusals)
        for records in (notes.trace, notes.disconnects, notes.refusals):
            records.clear()
        lists = (
            (
                ":frames",
                MAX_FRAMES,
                [_encode(SeenFrame(at, "in" if is_in else "out", mask(data))) for at, is_in, data in frames],
            ),
            (":disconnects", MAX_DISCONNECTS, [_encode(disconnect) for disconnect in disconnects]),
            (
                ":refusals",
                MAX_REFUSALS,
                [
                    _encode(Refusal(at, mask(data), code, error, expected(event, code)))
                    for at, data, event, code, error in refusals
                ],
            ),
        )
        arguments: list[Any] = [KEEP_SECONDS, MAX_STATES, self._worker_id, _encode(self._state(peer))]
        for suffix, at_most, items in lists:
            arguments += [suffix, at_most, len(items), *items]
        self._signals.command("EVALSHA", PUT_NOTES_SHA, 1, peer_key(peer), *arguments)

    def _state(self, peer: PeerKey) -> State:
        connections = self._sockets.by_peer.get(peer, ())
        topics: dict[str, float] = {}
        for connection in connections:
            for flag in ("players", "games"):
                if flag in connection.supports:
                    topics[flag] = min(topics.get(flag, connection.opened_at), connection.opened_at)
            for channel_id, since in connection.channels.items():
                topic = channel_topic(channel_id)
                topics[topic] = min(topics.get(topic, since), since)
        limits = self._limits.headroom(peer, {connection.id: connection.limits for connection in connections})
        return State(time.time(), bool(connections), topics, [msgspec.convert(limit, Headroom) for limit in limits])

    def _append(self, key: str, items: list[Any], at_most: int) -> None:
        if items:
            self._signals.command("RPUSH", key, *map(_encode, items))
            self._signals.command("LTRIM", key, -at_most, -1)
            self._signals.command("EXPIRE", key, KEEP_SECONDS)

    def _notes_of(self, peer: PeerKey) -> _Notes:
        notes = self._notes.get(peer)
        if notes is None:
            notes = self._notes[peer] = _Notes()
        return notes

    def _run(self) -> None:
        while True:
            gevent.sleep(FLUSH_SECONDS)
            try:
                self.flush()
            except Exception:
                _log.exception("diagnostics could not be written")


# Appends to a peer's lists and writes this worker's state of the peer, in one command, since separate commands would be
# a large part of the cost of a reconnecting game.
# The states are a hash with a field for each worker. Since old workers leave fields behind, the hash is deleted when it
# has too many fields, and the running workers write theirs again.
PUT_NOTES = """
local key, keep = KEYS[1], ARGV[1]
local states = key .. ':states'
if redis.call('HLEN', states) >= tonumber(ARGV[2]) and redis.call('HEXISTS', states, ARGV[3]) == 0 then
  redis.call('DEL', states)
end
redis.call('HSET', states, ARGV[3], ARGV[4])
redis.call('EXPIRE', states, keep)
local at = 5
while at <= #ARGV do
  local list, longest, count = key .. ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  for number = at + 3, at + 2 + count do
    redis.call('RPUSH', list, ARGV[number])
  end
  if count > 0 then
    redis.call('LTRIM', list, -longest, -1)
    redis.call('EXPIRE', list, keep)
  end
  at = at + 3 + count
end
"""
PUT_NOTES_SHA = hashlib.sha1(PUT_NOTES.encode()).hexdigest()
MAX_STATES = 32


def channel_topic(channel_id: int) -> str:
    """Return the name under which a channel's broadcasts are recorded."""
    return f"channel:{channel_id}"


def mask(data: bytes) -> str:
    """Return a frame as text, shortened, without credentials and without the text of tells and of the history."""
    if data.isascii() and not _SENSITIVE.search(data):
        return data[:FRAME_BYTES].decode("ascii")
    try:
        frame = parse_frame(data)
        whole = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (FrameError, ValueError, RecursionError):
        if _SENSITIVE.search(data):
            return f"{HIDDEN} (not readable, may contain secrets)"
        return data[:FRAME_BYTES].decode("utf-8", "replace")
    if not _is_secret(frame.event, whole):
        return data[:FRAME_BYTES].decode("utf-8", "replace")
    return msgspec.json.encode(_hide(whole, is_private=_is_private(frame.event))).decode()[:FRAME_BYTES]


def expected(event: str | None, code: str) -> str:
    """Return what a refused frame should have looked like."""
    if event is None or code == Code.NOT_JSON:
        return 'one JSON object in each frame: {"event": "...", "ref": "...", "payload": {...}}'
    frame_type = INCOMING.get(event)
    if frame_type is None:
        return "one of the events " + ", ".join(INCOMING)
    if code == Code.MISSING_SUPPORT:
        return f'"{frame_type.flag}" in the "supports" of authenticate'
    if code == Code.INVALID:
        example = {"event": event, "ref": "…", "payload": frame_type.example}
        return msgspec.json.encode(example).decode()
    return _EXPECTED.get(code, "")


_EXPECTED: dict[str, str] = {
    Code.INVALID_CREDENTIALS: "the latest client id and secret from the game's page",
    Code.UNAUTHENTICATED: "authenticate first",
    Code.ALREADY_AUTHENTICATED: "only one authenticate on each socket",
    Code.NOT_SUBSCRIBED: "subscribe to the channel first, with channels/subscribe",
    Code.CHANNEL_REFUSED: "a name of 3 to 15 letters, - or _ that is not blocked",
    Code.RATE_LIMITED: "fewer of these frames; retry_after_ms says when the next one is accepted",
    Code.UNKNOWN_GAME: "the short name of a registered game",
    Code.GAME_OFFLINE: "a game that is online; games/status lists them",
    Code.PLAYER_OFFLINE: "a player who has signed in or was listed in a heartbeat",
    Code.NOT_SUPPORTED: "a game that supports the flag",
    Code.NOT_AN_APPLICATION: "the credentials of a network application",
}


def _decode_json(frames: Frames) -> str:
    """Return the JSON in a ready WebSocket frame, in the form for older clients."""
    framed = frames.framed(0)
    return framed[framed.find(b"{") :][:FRAME_BYTES].decode("utf-8", "replace")


def _is_private(event: str) -> bool:
    """Return whether an event contains tells, or history, whose text may be redacted later."""
    return event.lower().startswith("tell") or event.lower() == "channels/history"


def _is_secret(event: str, frame: Any) -> bool:
    return event.lower() == "authenticate" or _is_private(event) or _contains_secret(frame)


def _contains_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return any(key.lower() in _SECRETS or _contains_secret(part) for key, part in value.items())
    return isinstance(value, list) and any(map(_contains_secret, value))


def _hide(value: Any, *, is_private: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: HIDDEN
            if key.lower() in _SECRETS or (is_private and key.lower() == "message")
            else _hide(part, is_private=is_private)
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [_hide(part, is_private=is_private) for part in value]
    return value
