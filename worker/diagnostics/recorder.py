"""Keeps what owners want to know of their game's sockets, in Redis, for a day (read by `shared/diagnostics.py`).

On the way of a frame nothing happens but one append to a bounded deque, of bytes that are there anyway. What is slow
(masking, encoding) happens every few seconds, for the few frames that are kept. A broadcast is kept once for its
topic, however many sockets it goes to.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import deque
from typing import Any

import gevent
import msgspec
import structlog

from shared import grapevine
from shared.diagnostics import (
    DISCONNECTS_AT_MOST,
    FRAMES_AT_MOST,
    KEEP_SECONDS,
    KEY,
    REFUSALS_AT_MOST,
    TOPIC_KEY,
    BroadcastFrame,
    Disconnect,
    Headroom,
    Refusal,
    SeenFrame,
    State,
)
from shared.peer_keys import PeerKey
from shared.protocol import INCOMING, FrameError, parse_frame
from shared.protocol.codes import Code
from worker.signals import Signals
from worker.sockets.connection import FRAME_BYTES, Connection, Trace
from worker.sockets.limits import RateLimits
from worker.wire.fanout import Frames

FLUSH_SECONDS = 3.0
PEERS_A_FLUSH = 500  # the next ones are written FLUSH_SECONDS later: owners' pages may lag when thousands come back
HIDDEN = "•••"

_SECRETS = frozenset(["client_id", "client_secret", "secret", "password", "token"])
_SENSITIVE = re.compile(rb"client_|secret|password|token|tell|history|authenticate|\\u", re.IGNORECASE)
_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger(__name__)


class _Notes:
    """What is not written yet of one peer."""

    __slots__ = ("disconnects", "refusals", "trace")

    def __init__(self) -> None:
        self.trace: Trace = deque(maxlen=FRAMES_AT_MOST)
        self.disconnects: deque[Disconnect] = deque(maxlen=DISCONNECTS_AT_MOST)
        self.refusals: deque[tuple[float, bytes, str | None, str, str]] = deque(maxlen=REFUSALS_AT_MOST)


class Diagnostics:
    """The notes of one worker."""

    def __init__(self, worker_id: str, signals: Signals, limits: RateLimits) -> None:
        self._worker_id = worker_id
        self._signals = signals
        self._limits = limits
        self._notes: dict[PeerKey, _Notes] = {}
        self._topics: dict[str, deque[tuple[float, PeerKey | None, Frames]]] = {}
        self._connections: dict[PeerKey, set[Connection]] = {}

    def start(self) -> None:
        """Begin to write every few seconds."""
        self._load_script()
        self._signals.on_connected(self._load_script)  # a Redis that was restarted has lost it
        gevent.spawn(self._run)

    def _load_script(self) -> None:
        self._signals.command("SCRIPT", "LOAD", PUT_NOTES)

    def arrived(self, connection: Connection) -> None:
        """A socket has authenticated: its frames are its peer's from now on."""
        peer = connection.peer_key
        assert peer is not None
        trace = self._notes_of(peer).trace
        trace.extend(connection.trace)
        connection.trace = trace
        self._connections.setdefault(peer, set()).add(connection)

    def left(self, connection: Connection, code: int | None, reason: str) -> None:
        """A socket of a peer is gone."""
        peer = connection.peer_key
        assert peer is not None
        connections = self._connections.get(peer, set())
        connections.discard(connection)
        if not connections:
            self._connections.pop(peer, None)
        now = time.time()
        disconnect = Disconnect(now, code, reason, round(now - connection.opened_at, 3))
        self._notes_of(peer).disconnects.append(disconnect)

    def refused(self, connection: Connection, data: bytes, event: str | None, code: str, error: str) -> None:
        """A frame was answered, or would have been, with a failure. event: None where it has none."""
        peer = connection.peer_key or connection.claimed
        if peer is not None and peer != grapevine.KEY:  # browsers have no owner who would look
            self._notes_of(peer).refusals.append((time.time(), data[:FRAME_BYTES], event, code, error))

    def broadcast(self, topic: str, frames: Frames, except_peer: PeerKey | None) -> None:
        """A frame for all who listen to a topic. Called where it comes from, not by every worker it comes to."""
        kept = self._topics.get(topic)
        if kept is None:
            kept = self._topics[topic] = deque(maxlen=FRAMES_AT_MOST)
        kept.append((time.time(), except_peer, frames))

    def forget_said(self, channel_id: int, peer: PeerKey) -> None:
        """Something that this peer said on a channel is redacted: keep no frames that may have its text."""
        topic = channel_topic(channel_id)
        self._topics.pop(topic, None)
        if peer in self._notes:
            self._notes[peer].trace.clear()
        self._signals.command("DEL", TOPIC_KEY + topic, KEY + peer + ":frames")

    def flush(self) -> None:
        """Write what came since the last time."""
        topics, self._topics = self._topics, {}
        for topic, broadcasts in topics.items():
            self._append(
                TOPIC_KEY + topic,
                [BroadcastFrame(at, peer, _json_of(frames)) for at, peer, frames in broadcasts],
                FRAMES_AT_MOST,
            )
            gevent.sleep(0)
        written = 0
        for peer in list(self._notes):
            notes = self._notes.pop(peer)
            has_news = bool(notes.trace or notes.disconnects or notes.refusals)
            if has_news or peer in self._connections:
                self._notes[peer] = notes  # at the end, so that every peer gets its turn
            if has_news:
                self._flush_peer(peer, notes)
                written += 1
                if written == PEERS_A_FLUSH:
                    break
                gevent.sleep(0)

    def _flush_peer(self, peer: PeerKey, notes: _Notes) -> None:
        frames, disconnects, refusals = list(notes.trace), list(notes.disconnects), list(notes.refusals)
        for kept in (notes.trace, notes.disconnects, notes.refusals):
            kept.clear()
        lists = (
            (
                ":frames",
                FRAMES_AT_MOST,
                [_encode(SeenFrame(at, "in" if is_in else "out", mask(data))) for at, is_in, data in frames],
            ),
            (":disconnects", DISCONNECTS_AT_MOST, [_encode(disconnect) for disconnect in disconnects]),
            (
                ":refusals",
                REFUSALS_AT_MOST,
                [
                    _encode(Refusal(at, mask(data), code, error, expected(event, code)))
                    for at, data, event, code, error in refusals
                ],
            ),
        )
        arguments: list[Any] = [KEEP_SECONDS, STATES_AT_MOST, self._worker_id, _encode(self._state(peer))]
        for suffix, at_most, items in lists:
            arguments += [suffix, at_most, len(items), *items]
        self._signals.command("EVALSHA", PUT_NOTES_SHA, 1, KEY + peer, *arguments)

    def _state(self, peer: PeerKey) -> State:
        connections = self._connections.get(peer, set())
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


# Appends to a peer's lists and writes this worker's state of it, in one command. As four commands, one with the text
# of a script, this was a fifth of what a returning game cost.
# The states are a hash with a field for each worker. Workers come and go: when there are too many fields, the hash
# is deleted, and the workers that still run write theirs again.
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
STATES_AT_MOST = 32


def channel_topic(channel_id: int) -> str:
    """The topic of a channel's broadcasts, here."""
    return f"channel:{channel_id}"


def mask(data: bytes) -> str:
    """A frame without credentials and without the text of tells and of the history; cut off where it is long."""
    if data.isascii() and not _SENSITIVE.search(data):
        return data[:FRAME_BYTES].decode("ascii")
    try:
        frame = parse_frame(data)
        whole = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (FrameError, ValueError, RecursionError):
        if _SENSITIVE.search(data):
            return f"{HIDDEN} (not readable, and may hold secrets)"
        return data[:FRAME_BYTES].decode("utf-8", "replace")
    if not _is_secret(frame.event, whole):
        return data[:FRAME_BYTES].decode("utf-8", "replace")
    return msgspec.json.encode(_hide(whole, is_private=_is_private(frame.event))).decode()[:FRAME_BYTES]


def expected(event: str | None, code: str) -> str:
    """What a frame that was refused should have been like."""
    if event is None or code == Code.NOT_JSON:
        return 'one JSON object a frame: {"event": "...", "ref": "...", "payload": {...}}'
    known = INCOMING.get(event)
    if known is None:
        return "one of the events " + ", ".join(INCOMING)
    if code == Code.MISSING_SUPPORT:
        return f'"{known.flag}" among the "supports" of authenticate'
    if code == Code.INVALID:
        example = {"event": event, "ref": "…", "payload": known.example}
        return msgspec.json.encode(example).decode()
    return _EXPECTED.get(code, "")


_EXPECTED: dict[str, str] = {
    Code.INVALID_CREDENTIALS: "the client id and the secret of the game's page, as they were made last",
    Code.UNAUTHENTICATED: "authenticate first",
    Code.ALREADY_AUTHENTICATED: "one authenticate a socket",
    Code.NOT_SUBSCRIBED: "channels/subscribe to the channel first",
    Code.CHANNEL_REFUSED: "a name of 3 to 15 letters, - or _ that is not blocked",
    Code.RATE_LIMITED: "fewer of these; retry_after_ms says when the next is admitted",
    Code.UNKNOWN_GAME: "the short name of a registered game",
    Code.GAME_OFFLINE: "a game that is online: games/status lists them",
    Code.PLAYER_OFFLINE: "a player who was signed in or named in a heartbeat",
    Code.NOT_SUPPORTED: "a game that declared the flag",
    Code.NOT_AN_APPLICATION: "the credentials of a network application",
}


def _json_of(frames: Frames) -> str:
    """The JSON in a ready WebSocket frame, in the form that older clients see."""
    framed = frames.framed(0)
    return framed[framed.find(b"{") :][:FRAME_BYTES].decode("utf-8", "replace")


def _is_private(event: str) -> bool:
    """Tells; and the history, from which a text may be redacted later."""
    return event.lower().startswith("tell") or event.lower() == "channels/history"


def _is_secret(event: str, frame: Any) -> bool:
    return event.lower() == "authenticate" or _is_private(event) or _holds_secret(frame)


def _holds_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return any(key.lower() in _SECRETS or _holds_secret(part) for key, part in value.items())
    return isinstance(value, list) and any(map(_holds_secret, value))


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
