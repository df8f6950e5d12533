"""The client without sockets, threads or a clock: frames go in, events and frames come out.

The driver (`gossip_client.aio`, `gossip_client.sync`, a test) tells the core what happened and what time it is, in
seconds of any steady clock. It then sends `frames()` and delivers `events()`.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any

from gossip_client import events
from gossip_client.channels import Channels
from gossip_client.config import LONGEST_PAYLOAD, PROTOCOL_VERSION, Config
from gossip_client.errors import AuthenticationFailed, Dropped, GossipError, NotConnected, RequestFailed
from gossip_client.events import ChannelMessage, Connected, Event, Restarting, SendDropped
from gossip_client.frames import Frame, encode, parse
from gossip_client.outbox import Outbox
from gossip_client.pending import PendingRequests, failure_of, is_overdue, timeout_of
from gossip_client.presence import Presence
from gossip_client.requests import Answers, Request
from gossip_client.session import Session, State, cut_names, names_of
from gossip_client.view import View

__all__ = ["LONGEST_PAYLOAD", "PROTOCOL_VERSION", "Config", "Core", "State", "names_of"]

_SUBSCRIPTIONS = ("channels/subscribe", "channels/unsubscribe")
_log = logging.getLogger("gossip_client")


class Core:
    """One client. After each call, take `frames()` and `events()`; call `tick` at `wakes_at()`."""

    def __init__(self, config: Config, *, view: View | None = None, rng: random.Random | None = None) -> None:
        self.config = config
        self.view = view or View()
        self._frames: list[str] = []
        self._events: list[Event] = []
        rng = rng or random.Random()
        self._session = Session(config, rng)
        self._pending = PendingRequests(config, rng)
        self._outbox = Outbox(limit=config.queue_limit, seconds=config.queue_seconds)
        self._channels = Channels(
            config, self._session, send=self._send, ask_in_background=self._ask_in_background, emit=self._events.append
        )
        self._presence = Presence(config, self._session, self.view, self._ask_in_background)

    # What the driver reads

    def frames(self) -> list[str]:
        """Return the frames to send now, in order. Returns each frame once."""
        frames = self._frames.copy()
        self._frames.clear()
        return frames

    def events(self) -> list[Event]:
        """Return the events to deliver now, in order. Returns each event once."""
        events = self._events.copy()
        self._events.clear()
        return events

    def wakes_at(self) -> float | None:
        """Return when `tick` is due, or None for never. `reconnect_at` is not included."""
        may_send = self.is_ready and not self._channels.is_filling
        times = (
            self._pending.wakes_at(),
            self._session.wakes_at(),
            self._presence.wakes_at(),
            self._channels.wakes_at(),
            self._outbox.wakes_at(may_send=may_send),
        )
        return min((time for time in times if time is not None), default=None)

    @property
    def state(self) -> State:
        """The state of the client."""
        return self._session.state

    @property
    def is_ready(self) -> bool:
        """Whether requests can be sent now."""
        return self._session.state is State.READY

    @property
    def is_waiting(self) -> bool:
        """Whether a request has not been answered yet. The driver must then go on reading, even if events pile up."""
        return bool(len(self._pending) or self._channels.has_retries or len(self._outbox))

    @property
    def server_version(self) -> str | None:
        """The server's protocol version; None before the first successful authentication."""
        return self._session.server_version

    @property
    def has_history(self) -> bool:
        """Whether the server keeps a history."""
        return self._session.has_history

    @property
    def reconnect_at(self) -> float | None:
        """When to connect (again); None while there is a connection, or when the client is closed."""
        return self._session.reconnect_at

    @property
    def close_reason(self) -> str | None:
        """Why the driver should close the connection now; None if it should not."""
        return self._session.close_reason

    @property
    def refusal(self) -> AuthenticationFailed | None:
        """The server's refusal of the last authentication, if it refused."""
        return self._session.refusal

    @property
    def channels(self) -> list[str]:
        """The channels that this client subscribes to."""
        return self._channels.names

    # What happens to the connection

    def opened(self, now: float) -> None:
        """Authenticate: a connection is open."""
        frame = self._session.open(self._channels.names, now)
        if frame is not None:
            self._frames.append(frame)

    def received(self, text: str | bytes, now: float) -> None:
        """Handle a message of the server."""
        session = self._session
        if session.state is State.CLOSED:
            return
        session.received_at = now
        frame = parse(text)
        if frame is None:
            if session.state is State.OPENING:
                session.close_reason = (
                    "the server does not speak this protocol: it sent something that is not a JSON frame"
                )
            else:
                _log.warning("ignored a message of the server that is not a JSON frame: %.100r", text)
            return
        if session.state is State.OPENING:
            if frame.event == "authenticate":
                self._authenticated(frame, now)
                return
            if frame.event == "error":
                session.close_reason = f"the server refused to begin: {frame.error}"
        if frame.event == "heartbeat":
            players = names_of(self.config.players)
            payload = None if players is None else {"players": cut_names(players, LONGEST_PAYLOAD - 100)}
            self._frames.append(encode("heartbeat", payload))
        elif frame.ref is not None and self._pending.is_end_mark(frame.ref):
            request = self._pending.end_list(frame.ref)
            if request is not None:
                self._finish(request, None, now)
        elif (request := self._pending.find(frame.ref)) is not None:
            self._answered(request, frame, now)
        else:
            self._noticed(frame, now)
        self._send_queued(now)

    def closed(self, now: float, reason: str, *, code: int | None = None) -> None:
        """Note that the connection is gone, or could not be made. Sets `reconnect_at`."""
        if self.state is State.CLOSED:
            return
        disconnected = self._session.lose(now, reason, code)
        self._channels.connection_lost()
        self._fail_pending()
        self._presence.clear()
        self._frames.clear()
        self._events.append(disconnected)

    def shut(self) -> None:
        """Close the client: it sends nothing more, and drops all queued sends."""
        if self.state is State.CLOSED:
            return
        disconnected = self._session.shut()
        self._fail_pending()
        self._channels.connection_lost()
        for request in self._outbox.empty():
            self._report_dropped(request, "closed")
        self._presence.clear()
        self._events.append(disconnected)

    def tick(self, now: float) -> None:
        """Do what is due at this time."""
        for request in self._pending.overdue(now):
            self._finish(request, timeout_of(request, is_ordered=self.has_history), now)
        self._channels.tick(now)
        for request in self._outbox.expire(now):
            self._report_dropped(request, "too-old")
        self._session.tick(now)
        self._presence.tick(now)
        self._send_queued(now)

    # Requests

    def ask(self, request: Request[Any], now: float) -> None:
        """Send a request, or queue it if it may wait for the connection. Its `on_done` is called when it has ended."""
        request.asked_at = now
        if request.body is not None and len(request.body) > LONGEST_PAYLOAD:
            text = f"too long: a payload may have at most {LONGEST_PAYLOAD:,} bytes"
            request.finish(RequestFailed(request.event, text, code="invalid"))
            if request.waits and not self.is_ready:
                self._report_dropped(request, str(request.error))
            return
        if request.event in _SUBSCRIPTIONS and request.payload is not None:
            name = str(request.payload["channel"])
            if request.event == "channels/subscribe":
                self._channels.add(name)
            else:
                self._channels.remove(name)
            if self.state in (State.AWAY, State.OPENING):
                request.finish()  # the next authentication names the channels, or `send_changes` follows this one
                return
        if self.state is State.CLOSED:
            request.finish(Dropped(request.event, "closed") if request.waits else NotConnected("the client is closed"))
        elif request.waits and (not self.is_ready or self._channels.is_filling or not self._outbox.is_idle):
            for dropped in self._outbox.put(request):
                self._report_dropped(dropped, "queue-full")
            self._send_queued(now)
        elif self.is_ready:
            self._send(request, now)
        else:
            request.finish(NotConnected(f"{request.event}: there is no connection now"))

    def withdraw(self, request: Request[Any]) -> None:
        """Drop a request if it has not been sent: its caller no longer waits for the answer."""
        if self._outbox.withdraw(request):
            self._report_dropped(request, "cancelled")

    def expire(self, request: Request[Any], now: float) -> None:
        """Fail a request if its time is over, although nobody has called `tick`.

        For a caller that waits in another thread than the one that drives the core.
        """
        if request.is_done:
            return
        if is_overdue(request, now) and self._pending.find(request.ref) is request:
            self._finish(request, timeout_of(request, is_ordered=True), now)
        for dropped in self._outbox.expire(now):
            self._report_dropped(dropped, "too-old")

    def _send(self, request: Request[Any], now: float) -> None:
        self._frames += self._pending.add(request, now, is_ordered=self.has_history)
        if request.event == "channels/send" and request.payload is not None:
            self._channels.note_own_line(request.payload)

    def _answered(self, request: Request[Any], frame: Frame, now: float) -> None:
        error = failure_of(request, frame)
        if error is not None:
            self._finish(request, error, now)
            return
        is_last = self._pending.receive(request, frame, now, is_ordered=self.has_history)
        if request.mode is Answers.SYNC and (event := events.read_sync(frame)) is not None:
            self._events.append(event)
        if is_last:
            self._finish(request, None, now)

    def _finish(self, request: Request[Any], error: GossipError | None, now: float) -> None:
        self._pending.remove(request)
        was_queued = request is self._outbox.in_flight
        if self._outbox.answered(request, error, now):
            return  # it will be sent again
        request.finish(error)
        if request.event == "channels/subscribe" and request.payload is not None:
            self._channels.subscribed(str(request.payload["channel"]), error, now)
        if was_queued and error is not None:
            self._report_dropped(request, str(error))

    def _send_queued(self, now: float) -> None:
        while self.is_ready and not self._channels.is_filling and (request := self._outbox.next(now)) is not None:
            self._send(request, now)

    def _fail_pending(self) -> None:
        """Fail the requests whose answers were lost with the connection."""
        self._outbox.in_flight = None
        for request in self._pending.clear():
            if request.waits:
                request.finish(Dropped(request.event, "connection-lost"))
                self._report_dropped(request, "connection-lost")
            elif request.event in _SUBSCRIPTIONS and self.state is not State.CLOSED:
                request.finish()  # the next authentication names the channels
            else:
                request.finish(NotConnected(f"{request.event}: the connection was lost before the answer came"))

    def _report_dropped(self, request: Request[Any], reason: str) -> None:
        self._events.append(SendDropped(request.event, request.payload or {}, reason))

    def _ask_in_background(self, request: Request[Any], now: float, use: Callable[[Any], None]) -> None:
        """Send a request of the core's own, and use its result. Failures are ignored: no caller waits for it."""

        def handle(request: Request[Any]) -> None:
            if request.error is None:
                try:
                    use(request.result())
                except GossipError as error:
                    _log.warning("%s", error)

        request.on_done = handle
        self._send(request, now)

    # What the server says unasked

    def _authenticated(self, frame: Frame, now: float) -> None:
        event = self._session.authenticated(frame, now)
        if isinstance(event, Connected):
            self._channels.send_changes(event.refused_channels, now)
        if event is not None:
            self._events.append(event)
        if self.is_ready:
            self._channels.catch_up(now)
            self._presence.refresh(now)
            self._send_queued(now)

    def _noticed(self, frame: Frame, now: float) -> None:
        if frame.status == "success" and frame.payload is None:
            return  # an answer that came too late
        event = events.read_event(frame)
        if event is None:
            return
        if isinstance(event, ChannelMessage):
            if not self._channels.receive(event):
                return
        elif isinstance(event, Restarting):
            self._session.announce_restart(event, now)
        else:
            self._presence.apply(event, now)
        self._events.append(event)
