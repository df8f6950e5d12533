"""The client without sockets, threads or a clock: frames go in, events and frames come out.

Whoever drives it (`gossip_client.aio`, `gossip_client.sync`, a test) tells it what happened and what time it is, in
seconds of any steady clock, then takes `frames()` to send and `events()` to tell.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from uuid import UUID

from gossip_client import events, requests
from gossip_client.backoff import Backoff
from gossip_client.errors import (
    AuthenticationFailed,
    Dropped,
    GossipError,
    NotConnected,
    RequestFailed,
    RequestTimedOut,
)
from gossip_client.events import (
    AuthenticationRefused,
    ChannelMessage,
    Connected,
    Disconnected,
    ErrorReported,
    Event,
    GameConnected,
    GapRemains,
    HistoryPage,
    PlayersStatus,
    Restarting,
    SendDropped,
)
from gossip_client.frames import Frame, Ref, encode, join, parse
from gossip_client.missed import Channel
from gossip_client.outbox import Outbox
from gossip_client.requests import Answers, Request
from gossip_client.view import View

PROTOCOL_VERSION = "2.4.0"
LONGEST_PAYLOAD = 65_000  # bytes; with its event and ref a frame stays under the 64 KiB that a server takes
SUBSCRIPTIONS = ("channels/subscribe", "channels/unsubscribe")
_log = logging.getLogger("gossip_client")


@dataclass(frozen=True)
class Config:
    """What a client is, and how patient. Times in seconds.

    supports: the flags to declare; `channels` always is. players: who is online here, asked at every heartbeat. game:
    one's own short name, if known: its own lines are then certain to be left out of what was missed. sync: for
    applications, the value of `sync` in each authenticate (see docs/protocol.md, §8). quiet_seconds: older servers do
    not mark the end of a list of answers; it has ended when nothing came for so long. silence_seconds: a server that
    says nothing for so long is gone. history_pages: how many pages of 100 messages a gap is filled with at most.
    """

    client_id: str
    client_secret: str = field(repr=False)
    channels: Collection[str] = ()
    supports: Collection[str] = ("channels",)
    players: Callable[[], Iterable[str] | None] | None = None
    user_agent: str | None = None
    game: str | None = None
    sync: Callable[[], Mapping[str, Any] | bool | None] | None = None
    keeps_view: bool = True
    fills_gaps: bool = True
    queue_limit: int = 100
    queue_seconds: float = 120.0
    answer_seconds: float = 15.0
    quiet_seconds: float = 1.0
    silence_seconds: float = 60.0
    refresh_seconds: float = 300.0
    history_pages: int = 10
    backoff: Backoff = field(default_factory=Backoff)


class State(Enum):
    """Away: no connection. Opening: waiting for the answer to `authenticate`. Ready. Closed: for good."""

    AWAY = auto()
    OPENING = auto()
    READY = auto()
    CLOSED = auto()


class Core:
    """One client. After every call, take `frames()` and `events()`; call `tick` at `wakes_at()`."""

    def __init__(self, config: Config, *, view: View | None = None, rng: random.Random | None = None) -> None:
        self.config = config
        self.view = view or View()
        self.state = State.AWAY
        self.server_version: str | None = None
        self.reconnect_at: float | None = 0.0
        self.close_reason: str | None = None
        self.refusal: AuthenticationFailed | None = None
        self._rng = rng or random.Random()
        self._flags = ["channels", *sorted(set(config.supports) - {"channels"})]
        self._frames: list[str] = []
        self._events: list[Event] = []
        self._pending: dict[Ref, Request[Any]] = {}
        self._sentinels: dict[Ref, Ref] = {}
        self._outbox = Outbox(limit=config.queue_limit, seconds=config.queue_seconds)
        self._channels: dict[str, Channel] = {}
        self._introduced: list[str] = []
        self._later: list[tuple[float, Callable[[float], None]]] = []
        for name in config.channels:
            self._channels[name.lower()] = Channel(name, is_wanted=True)
        self._own: deque[tuple[str, str, str]] = deque(maxlen=500)
        self._fills = 0
        self._was_connected = False
        self._ready_at: float | None = None
        self._heard_at = 0.0
        self._opening_until = 0.0
        self._refresh_at: float | None = None
        self._restart_until: float | None = None

    # What comes out

    def frames(self) -> list[str]:
        """Frames to send now, in order; each is given once."""
        frames, self._frames = self._frames, []
        return frames

    def events(self) -> list[Event]:
        """Events to tell now, in order; each is given once."""
        told, self._events = self._events, []
        return told

    def wakes_at(self) -> float | None:
        """When `tick` is due; None for never. (`reconnect_at` is apart.)"""
        times = [request.deadline for request in self._pending.values() if request.deadline is not None]
        if self.state is State.OPENING:
            times.append(self._opening_until)
        if self.state is State.READY:
            times.append(self._heard_at + self.config.silence_seconds)
            if self._refresh_at is not None:
                times.append(self._refresh_at)
        times += [due for due, _ in self._later]
        outbox = self._outbox.wakes_at(is_ready=self.state is State.READY and not self._fills)
        if outbox is not None:
            times.append(outbox)
        return min(times, default=None)

    @property
    def is_ready(self) -> bool:
        """Whether requests can be sent now."""
        return self.state is State.READY

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is waited for, now or later: then reading must go on, however much there is to tell."""
        return bool(self._pending or self._later or len(self._outbox))

    @property
    def has_history(self) -> bool:
        """Whether the server keeps a history that can be asked for."""
        return _version(self.server_version) >= (2, 4)

    @property
    def channels(self) -> list[str]:
        """The channels that this client wants to hear."""
        return [channel.name for channel in self._channels.values() if channel.is_wanted]

    # The connection

    def opened(self, now: float) -> None:
        """A socket is open: introduce ourselves."""
        config = self.config
        self.state = State.OPENING
        self.close_reason = self.refusal = None
        self.reconnect_at = None
        self._heard_at = now
        self._opening_until = now + 2 * config.answer_seconds
        self._introduced = self.channels
        payload: dict[str, Any] = {
            "client_id": config.client_id,
            "client_secret": config.client_secret,
            "supports": self._flags,
            "channels": self._introduced,
            "version": PROTOCOL_VERSION,
        }
        if config.user_agent:
            payload["user_agent"] = config.user_agent
        if (players := names_of(config.players)) is not None:
            payload["players"] = players
        try:
            if config.sync is not None and (wanted := config.sync()) is not None:
                payload["sync"] = wanted
            self._frames.append(encode("authenticate", payload))
        except Exception:  # its database may be gone for a moment
            _log.exception("the application failed to say what to sync")
            self.close_reason = "the application failed to say what to sync"

    def received(self, text: str | bytes, now: float) -> None:
        """The server sent a message."""
        if self.state is State.CLOSED:
            return
        self._heard_at = now
        frame = parse(text)
        if frame is None:
            if self.state is State.OPENING:
                self.close_reason = "this is no server of the network: what it sends are no frames"
            else:
                _log.warning("the server sent what is no frame, and it is ignored: %.100r", text)
            return
        if self.state is State.OPENING:
            if frame.event == "authenticate":
                self._authenticated(frame, now)
                return
            if frame.event == "error":
                self.close_reason = f"the server refused to begin: {frame.error}"
        if frame.event == "heartbeat":
            players = names_of(self.config.players)
            self._frames.append(encode("heartbeat", None if players is None else {"players": players}))
        elif frame.ref is not None and frame.ref in self._sentinels:
            request = self._pending.get(self._sentinels.pop(frame.ref))
            if request is not None:
                self._finish(request, None, now)
        elif frame.ref is not None and (request := self._pending.get(frame.ref)) is not None:
            self._answered(request, frame, now)
        else:
            self._noticed(frame, now)
        self._flush(now)

    def closed(self, now: float, reason: str, *, code: int | None = None) -> None:
        """The connection is gone, or could not be made. Sets `reconnect_at`."""
        if self.state is State.CLOSED:
            return
        if self._ready_at is not None:
            self.config.backoff.lasted(now - self._ready_at)
        self.state = State.AWAY
        self._ready_at = self._refresh_at = None
        self._fills = 0
        if self.refusal is not None:
            wait = self.config.backoff.refused(self._rng)
        elif self._restart_until is not None and now < self._restart_until + 60:
            wait = max(0.0, self._restart_until - now) + self._rng.uniform(0.0, 1.0)
        else:
            wait = self.config.backoff.lost(self._rng)
        self._restart_until = None
        self.reconnect_at = now + wait
        for channel in self._channels.values():
            channel.leave_gap()
        self._abandon()
        self.view.clear()
        self._frames.clear()
        self._events.append(Disconnected(self.close_reason or reason, code, wait))
        self.close_reason = None

    def shut(self) -> None:
        """Close for good: nothing more is sent, and what waits is dropped."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self.reconnect_at = None
        self._abandon()
        for request in self._outbox.empty():
            self._dropped(request, "closed")
        self.view.clear()
        self._events.append(Disconnected("closed", None, None))

    def tick(self, now: float) -> None:
        """Time has passed."""
        for request in [*self._pending.values()]:
            if request.deadline is not None and request.deadline <= now:
                is_list_without_end = request.mode is Answers.MANY and not self.has_history
                error = None if is_list_without_end else RequestTimedOut(f"{request.event}: no answer in time")
                self._finish(request, error, now)
        due = [action for at, action in self._later if at <= now]
        self._later = [(at, action) for at, action in self._later if at > now]
        for action in due:
            action(now)
        for request in self._outbox.expire(now):
            self._dropped(request, "too-old")
        if self.state is State.OPENING and now >= self._opening_until:
            self.close_reason = "the server did not answer the authentication"
        if self.state is State.READY:
            if now >= self._heard_at + self.config.silence_seconds:
                self.close_reason = f"the server said nothing for {self.config.silence_seconds:g} s"
            if self._refresh_at is not None and now >= self._refresh_at:
                self._refresh(now)
        self._flush(now)

    # Requests

    def ask(self, request: Request[Any], now: float) -> None:
        """Send a request, or let it wait for the connection if it may. Its `on_done` tells when it has ended."""
        request.asked_at = now
        if request.body is not None and len(request.body) > LONGEST_PAYLOAD:
            text = f"too long: {LONGEST_PAYLOAD:,} bytes are the most that can be sent"
            request.finish(RequestFailed(request.event, text, code="invalid"))
            if request.waits and self.state is not State.READY:
                self._dropped(request, str(request.error))
            return
        if request.event in SUBSCRIPTIONS and request.payload is not None:
            self._want(str(request.payload["channel"]), request.event == "channels/subscribe")
            if self.state in (State.AWAY, State.OPENING):
                request.finish()  # the next authentication carries the list, or what follows this one does
                return
        if self.state is State.CLOSED:
            request.finish(Dropped(request.event, "closed") if request.waits else NotConnected("the client is closed"))
        elif request.waits and (self.state is not State.READY or self._fills or not self._outbox.is_idle):
            for dropped in self._outbox.put(request):
                self._dropped(dropped, "queue-full")
            self._flush(now)
        elif self.state is State.READY:
            self._send(request, now)
        else:
            request.finish(NotConnected(f"{request.event}: there is no connection now"))

    def withdraw(self, request: Request[Any]) -> None:
        """Nobody waits for its answer any more: if it has not been sent, it is not."""
        if self._outbox.withdraw(request):
            self._dropped(request, "cancelled")

    def _send(self, request: Request[Any], now: float) -> None:
        seconds = self.config.answer_seconds if request.seconds is None else request.seconds
        request.ref = self._fresh_ref()
        request.answers = []
        request.deadline = now + seconds
        self._pending[request.ref] = request
        self._frames.append(join(request.event, request.body, request.ref))
        if request.event == "channels/send" and request.payload is not None:
            said = request.payload
            self._own.append((str(said["channel"]).lower(), str(said["name"]), str(said["message"]).strip()))
        if request.mode is Answers.MANY:
            if self.has_history:
                # Status requests are answered in the order asked: the answer to this one ends those of the other.
                sentinel = self._fresh_ref()
                self._sentinels[sentinel] = request.ref
                self._frames.append(encode(request.event, {"game": "Grapevine"}, sentinel))
            else:
                request.deadline = now + max(2.0, 2 * self.config.quiet_seconds)

    def _answered(self, request: Request[Any], frame: Frame, now: float) -> None:
        if frame.is_failure or (frame.event == "error" and frame.error):
            retry_after = None if frame.retry_after_ms is None else frame.retry_after_ms / 1000
            text = frame.error or "failed"
            self._finish(request, RequestFailed(request.event, text, code=frame.code, retry_after=retry_after), now)
            return
        if request.mode is Answers.ONE:
            request.answers.append(frame)
            self._finish(request, None, now)
        elif request.mode is Answers.MANY:
            request.answers.append(frame)
            request.deadline = now + (self.config.answer_seconds if self.has_history else self.config.quiet_seconds)
        else:
            request.answers = [frame]
            request.deadline = now + (request.seconds or self.config.answer_seconds)
            if (event := events.read_sync(frame)) is not None:
                self._events.append(event)
            if frame.event == "sync/complete":
                self._finish(request, None, now)

    def _finish(self, request: Request[Any], error: GossipError | None, now: float) -> None:
        if request.ref is not None:
            self._pending.pop(request.ref, None)
        if request.mode is Answers.MANY:
            self._sentinels = {ref: other for ref, other in self._sentinels.items() if other != request.ref}
        was_queued = request is self._outbox.in_flight
        if self._outbox.answered(request, error, now):
            return
        request.finish(error)
        if request.event == "channels/subscribe" and request.payload is not None:
            self._subscribed(str(request.payload["channel"]), error, now)
        if was_queued and error is not None:
            self._dropped(request, str(error))

    def _flush(self, now: float) -> None:
        while self.state is State.READY and not self._fills and (request := self._outbox.next(now)) is not None:
            self._send(request, now)

    def _abandon(self) -> None:
        """The connection is gone, and with it every answer that was waited for."""
        pending, self._pending = self._pending, {}
        self._sentinels.clear()
        self._later.clear()
        self._outbox.in_flight = None
        for request in pending.values():
            if request.waits:
                request.finish(Dropped(request.event, "connection-lost"))
                self._dropped(request, "connection-lost")
            elif request.event in SUBSCRIPTIONS and self.state is not State.CLOSED:
                request.finish()  # the next authentication carries the list
            else:
                request.finish(NotConnected(f"{request.event}: the connection was lost before the answer came"))

    def _dropped(self, request: Request[Any], reason: str) -> None:
        self._events.append(SendDropped(request.event, request.payload or {}, reason))

    # Being let in

    def _authenticated(self, frame: Frame, now: float) -> None:
        if frame.status != "success":
            self._refused(AuthenticationFailed("authenticate", frame.error or "refused", code=frame.code))
            return
        version = frame.fields.get("version")
        self.server_version = version if isinstance(version, str) else "1.0.0"
        self.state = State.READY
        self._ready_at = now
        self.config.backoff.lasted(0.0)
        refused = _names(frame.fields.get("refused_channels"))
        for name in refused:
            self._want(name, False)
        self._settle_channels(refused, now)
        ignored = _names(frame.fields.get("ignored"))
        counts = events.read_counts(frame.fields.get("counts"))
        self._events.append(Connected(self.server_version, refused, ignored, self._was_connected, counts))
        self._was_connected = True
        if self.has_history and self.config.fills_gaps:
            for channel in self._channels.values():
                self._catch_up(channel, now)
        self._refresh(now)
        self._flush(now)

    def _settle_channels(self, refused: Collection[str], now: float) -> None:
        """Ask for what has changed since the list of channels was sent."""

        def done(request: Request[None]) -> None:
            if isinstance(request.error, RequestFailed):  # nobody waits for the answer
                self._events.append(ErrorReported(request.error.text, request.error.code))

        had = {name.lower(): name for name in self._introduced}
        wanted = {name.lower(): name for name in self.channels}
        for name in wanted.keys() - had.keys():
            request = requests.subscribe(wanted[name])
            request.on_done = done
            self._send(request, now)
        for name in had.keys() - wanted.keys() - {name.lower() for name in refused}:
            self._send(requests.unsubscribe(had[name]), now)

    def _refused(self, failure: AuthenticationFailed) -> None:
        if not failure.is_about_credentials and len(self._flags) > 1:
            self._flags = ["channels"]  # the oldest servers refuse flags that they do not know
            self.close_reason = f"the server refused the flags ({failure.text}); trying again without them"
            return
        self.refusal = failure
        self.close_reason = f"the server refused the authentication: {failure.text}"
        self._events.append(AuthenticationRefused(failure.text, failure.code))

    # What the server tells

    def _noticed(self, frame: Frame, now: float) -> None:
        if frame.status == "success" and frame.payload is None:
            return  # an answer that came too late
        event = events.read_event(frame)
        if event is None:
            return
        if isinstance(event, ChannelMessage):
            if not self._channel(event.channel).hear(event):
                return
        elif isinstance(event, Restarting):
            self._restart_until = now + event.downtime
        elif self.config.keeps_view:
            self.view.apply(event)
            if isinstance(event, GameConnected):
                self._look_at(event.game, now)
        self._events.append(event)

    def _look_at(self, game: str, now: float) -> None:
        """Ask who a game is that came online."""
        if "games" in self._flags:
            self._ask_quietly(requests.games_status(game), now, lambda found: [*map(self.view.set_game, found)])
        if "players" in self._flags:
            self._ask_quietly(requests.players_status(game), now, self._set_players)

    def _set_players(self, found: list[PlayersStatus]) -> None:
        for status in found:
            self.view.set_players_of(status)

    def _refresh(self, now: float) -> None:
        """Ask for everyone: heartbeats of other games change what no notice tells."""
        self._refresh_at = None
        if not self.config.keeps_view:
            return
        if "games" in self._flags:
            self._ask_quietly(requests.games_status(), now, self.view.set_games)
        if "players" in self._flags:
            self._ask_quietly(requests.players_status(), now, self.view.set_players)
        if len(self._flags) > 1:
            self._refresh_at = now + self.config.refresh_seconds

    def _ask_quietly(self, request: Request[Any], now: float, use: Callable[[Any], object]) -> None:
        """A request of the core's own: its failure is nobody's business."""

        def done(request: Request[Any]) -> None:
            if request.error is None:
                try:
                    use(request.result())
                except GossipError as error:
                    _log.warning("%s", error)

        request.on_done = done
        self._send(request, now)

    # Channels, and what was missed of them

    def _channel(self, name: str) -> Channel:
        channel = self._channels.get(name.lower())
        if channel is None:
            channel = self._channels[name.lower()] = Channel(name, is_wanted=False)
        return channel

    def _want(self, name: str, is_wanted: bool) -> None:
        if is_wanted:
            self._channel(name).is_wanted = True
            return
        channel = self._channels.pop(name.lower(), None)
        if channel is not None and channel.is_filling:
            channel.leave_gap()
            self._fills -= 1

    def _subscribed(self, name: str, error: GossipError | None, now: float) -> None:
        if isinstance(error, RequestFailed):
            self._want(name, False)
        elif error is None and self.has_history and self.config.fills_gaps:
            channel = self._channel(name)
            if channel.newest is None:
                self._find_newest(channel, now)

    def _catch_up(self, channel: Channel, now: float) -> None:
        if channel.newest is None:
            self._find_newest(channel, now)
        else:
            channel.is_filling = True
            self._fills += 1
            self._read_page(channel, channel.after, self.config.history_pages, now)

    def _find_newest(self, channel: Channel, now: float) -> None:
        """Where the history stands now, so that a later gap has a beginning."""

        def use(page: HistoryPage) -> None:
            channel.begin(max((message.id or 0 for message in page.messages), default=0))

        self._ask_quietly(requests.history(channel.name, before=None, after=None, limit=1), now, use)

    def _read_page(self, channel: Channel, after: int, pages: int, now: float) -> None:
        request = requests.history(channel.name, before=None, after=after, limit=100)

        def done(request: Request[HistoryPage]) -> None:
            page = _page(request) if channel.is_filling else None
            if page is not None:
                for message in page.messages:
                    if not self._is_own(message) and channel.hear(message):
                        self._events.append(message)
            if not channel.is_filling:
                return  # the connection went meanwhile
            if isinstance(request.error, RequestFailed) and request.error.retry_after is not None:
                again = self._heard_at + max(0.1, request.error.retry_after)
                self._later.append((again, lambda now: self._read_page(channel, after, pages, now)))
                return
            if page is None:
                self._events.append(GapRemains(channel.name, after))
            elif page.more and page.messages:
                last = max(message.id or 0 for message in page.messages)
                if pages > 1 and last > after:
                    self._read_page(channel, last, pages - 1, self._heard_at)
                    return
                self._events.append(GapRemains(channel.name, last))
            self._fills -= 1
            self._events.extend(channel.filled())

        request.on_done = done
        self._send(request, now)

    def _is_own(self, message: ChannelMessage) -> bool:
        if self.config.game is not None:
            return message.game.lower() == self.config.game.lower()
        line = (message.channel.lower(), message.name, message.message.strip())
        return line in self._own

    def _fresh_ref(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))


def names_of(players: Callable[[], Iterable[str] | None] | None) -> list[str] | None:
    """Ask the game who is online. None where it does not say."""
    if players is None:
        return None
    try:
        names = players()
        if isinstance(names, str):
            raise TypeError(f"players is to return a list of names, not one text: {names!r}")
        return None if names is None else [str(name) for name in names]
    except Exception:
        _log.exception("the game failed to say who is online; the server keeps its last list")
        return None


def _page(request: Request[HistoryPage]) -> HistoryPage | None:
    try:
        return request.result()
    except GossipError:
        return None


def _names(value: object) -> tuple[str, ...]:
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()


def _version(text: str | None) -> tuple[int, ...]:
    """The numbers of a version; what is none counts as 1.0.0."""
    numbers = []
    for part in (text or "1.0.0").split(".")[:3]:
        if not part.isdecimal() or len(part) > 9:
            break
        numbers.append(int(part))
    return tuple(numbers) or (1, 0, 0)
