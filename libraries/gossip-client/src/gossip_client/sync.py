"""The front for threads: `with Client(…) as client`."""

from __future__ import annotations

import logging
import selectors
import socket as stdlib_socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from gossip_client import requests
from gossip_client.client import CLOSE_SECONDS, EVENTS_AHEAD, MAX_BYTES, BaseClient
from gossip_client.core import State, names_of
from gossip_client.errors import ConnectFailed, GossipError, NotConnected
from gossip_client.events import Event, GameStatus, HistoryPage, PlayersStatus, SyncComplete
from gossip_client.explain import closing, explain, is_final
from gossip_client.requests import Request

T = TypeVar("T")
_log = logging.getLogger("gossip_client")
_WRITE_SECONDS = 30.0  # the longest that a server may take nothing
_LOOK_AGAIN = 0.25  # seconds; the longest that the reading thread does not look at the time


class Client(BaseClient):
    """A game's or an application's connection, kept up by a thread of its own until `close`.

    Events go to the handlers (`on`), which run one after the other in another thread, and may make requests; and to
    `for event in client.events()`, or `take`. All methods may be called from any thread.

    What a server is asked (`send`, `players_status` …) returns its answer. Each of these raises RequestFailed where the
    server says no, RequestTimedOut where it says nothing for `answer_seconds`, and NotConnected while there is no
    connection; `send` and `tell` wait for it instead, and raise Dropped where they could not. All are GossipErrors.
    """

    def connect(self, *, seconds: float = 30.0) -> None:
        """Connect, and wait until the server has let us in. From then on the client reconnects by itself.

        Raises AuthenticationFailed, or ConnectFailed after so many seconds without a connection, or at once where
        whoever answers is no server of the network, or where the client is closed meanwhile. It is closed then. A
        client that is connected already stays as it is.
        """
        if self._is_started:
            return
        self._start_afresh()
        core = self.core
        self._lock = threading.Lock()
        self._send_lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._told: deque[Event] = deque()
        self._stream: deque[Event] = deque()
        self._is_streamed = False
        self._closing = threading.Event()
        self._socket: ClientConnection | None = None
        self._last_reason = "no answer"
        self._failure: GossipError | None = None  # set by the other thread
        self._players_now: list[str] | None = None
        self._threads = [
            threading.Thread(target=self._live, name="gossip-client", daemon=True),
            threading.Thread(
                target=self._dispatch,
                args=(self._news, self._told, self._closing),  # its own, should the client connect again meanwhile
                name="gossip-client-handlers",
                daemon=True,
            ),
        ]
        try:
            for thread in self._threads:
                thread.start()
            with self._news:
                is_over = self._news.wait_for(
                    lambda: core.server_version or self._failure or self._closing.is_set(), seconds
                )
                failure: GossipError | None = self._failure
        except BaseException:  # Ctrl-C: nobody wants it connected any more
            self.close()
            raise
        if failure is not None:
            self.close()
            raise failure
        if core.server_version is None and self._closing.is_set():
            raise ConnectFailed(f"the client was closed before it was connected ({self._last_reason})")
        if not is_over:
            self.close()
            raise ConnectFailed(f"no connection within {seconds:g} s: {self._last_reason}")

    def close(self) -> None:
        """Say goodbye. What still waits to be sent is dropped; a handler that takes more than 3 s is left to itself."""
        if self._core is None or not hasattr(self, "_threads") or self._closing.is_set():
            return
        self._closing.set()
        with self._news:
            self.core.shut()
            self._collect()
            self._news.notify_all()
            socket = self._socket
        if socket is not None:
            try:
                socket.close()
            except (OSError, WebSocketException):
                pass
        live, dispatch = self._threads
        for thread, seconds in (
            # What makes a connection cannot be interrupted; it ends by itself, and touches nothing any more.
            (live, _LOOK_AGAIN if socket is None else CLOSE_SECONDS),
            (dispatch, CLOSE_SECONDS),
        ):
            if thread is not threading.current_thread() and thread.is_alive():
                thread.join(seconds)

    @property
    def _is_started(self) -> bool:
        return hasattr(self, "_threads") and not self._closing.is_set()

    def __enter__(self) -> Client:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self) -> None:
        """Connect if that was not done, then stay until the client is closed (by a handler, or another thread)."""
        if not self._is_started:
            self.connect()
        while not self._closing.wait(1.0):
            pass

    def events(self) -> Iterator[Event]:
        """Every event, from the oldest that is still kept on (10,000); ends when the client is closed.

        While this is read, a reader that is slow slows the connection down, and nothing is lost. A loop that is left
        ends that; what it had not come to is kept for the next one.
        """
        self._check_connected()
        try:
            while events := self.take(seconds=None, limit=1):
                yield from events
        finally:
            with self._news:
                self._is_streamed = False
                self._news.notify_all()

    def take(self, *, seconds: float | None = None, limit: int = EVENTS_AHEAD) -> list[Event]:
        """The next events, as many as are there, `limit` at most. Empty when none came in time, or at the end.

        Whoever takes goes on taking: the connection waits for a taker that is slow, and nothing is lost.
        """
        self._check_connected()
        with self._news:
            self._is_streamed = True
            self._news.wait_for(lambda: self._stream or self._closing.is_set(), seconds)
            taken = [self._stream.popleft() for _ in range(min(limit, len(self._stream)))]
            self._news.notify_all()
        return taken

    @property
    def is_closed(self) -> bool:
        """Whether the client was closed, and every event was taken."""
        return hasattr(self, "_threads") and self._closing.is_set() and not self._stream

    # Requests

    def subscribe(self, channel: str) -> None:
        """Hear a channel, now and after every reconnect. Raises RequestFailed (`channel-refused`).

        While there is no connection it returns at once; a refusal is then told by an event: in
        `Connected.refused_channels`, or as ErrorReported.
        """
        self._do(requests.subscribe(channel))

    def unsubscribe(self, channel: str) -> None:
        """Hear a channel no more."""
        self._do(requests.unsubscribe(channel))

    def send(self, channel: str, name: str, message: str) -> None:
        """Let a player say something; returns when the server has taken it. Waits while there is no connection.

        message: 1 to 4,000 characters of plain text. Raises RequestFailed (`muted`, `rate-limited`, `not-subscribed`
        …); Dropped where it could not wait any longer.
        """
        self._do(requests.send(channel, name, message))

    def sign_in(self, name: str) -> None:
        """A player came online here. Heartbeats say it too, where `players` is given."""
        self._do(requests.sign_in(name))

    def sign_out(self, name: str) -> None:
        """A player left."""
        self._do(requests.sign_out(name))

    def tell(
        self, from_name: str, to_game: str, to_name: str, message: str, *, sent_at: datetime | None = None
    ) -> None:
        """Tell a player of another game something. Waits while there is no connection.

        to_game: a short name, in any case. sent_at: now, if it is left out; a time without a zone is this machine's.
        Raises RequestFailed (`player-offline`, `game-offline`, `not-supported` …); Dropped.
        """
        self._do(requests.tell(from_name, to_game, to_name, message, sent_at))

    def players_status(self, game: str | None = None) -> list[PlayersStatus]:
        """Who is online: in all games, or in one (with no players where it is offline).

        Raises RequestFailed (`unknown-game`).
        """
        return self._do(requests.players_status(game))

    def games_status(self, game: str | None = None) -> list[GameStatus]:
        """The games that are online; or one, online or not. Raises RequestFailed (`unknown-game`)."""
        return self._do(requests.games_status(game))

    def history(
        self, channel: str, *, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> HistoryPage:
        """What was said on a subscribed channel, oldest first (servers of 2.4.0 on).

        before, after: ids of messages; the newest before, or the oldest after it. limit: 100 at most.
        Raises RequestFailed (`not-subscribed`); older servers refuse it, or do not answer.
        """
        return self._do(requests.history(channel, before=before, after=after, limit=limit))

    def sync(self, since: int | None = None) -> SyncComplete:
        """For applications: ask for what came after a cursor, or for everything (None).

        The records come as SyncRecords, before this returns. Raises RequestFailed (`not-an-application`).
        """
        return self._do(requests.sync(since))

    def request(self, event: str, payload: dict[str, Any] | None = None) -> Any:
        """Any other request with one answer; returns its payload, None where it has none."""
        return self._do(requests.any_request(event, payload))

    def post(self, request: Request[Any]) -> None:
        """Send a request of `gossip_client.requests` without waiting.

        Its `on_done` is called from another thread, with the client locked: it may note the end, and no more.
        """
        self._check_connected()
        with self._news:
            self.core.ask(request, time.monotonic())
            self._collect()
            self._news.notify_all()  # a reader that waits for room must read the answer all the same
        self._pump()

    def _check_connected(self) -> None:
        if not hasattr(self, "_threads"):
            raise NotConnected("connect() comes first")

    def _do(self, request: Request[T]) -> T:
        if hasattr(self, "_threads") and threading.current_thread() is self._threads[0]:
            raise RuntimeError("`players` must not wait for the server: the thread that calls it reads the answers")
        answered = threading.Event()
        request.on_done = lambda request: answered.set()
        self.post(request)
        try:
            answered.wait()
        except BaseException:  # Ctrl-C
            with self._news:
                self.core.withdraw(request)
                self._collect()
            raise
        return request.result()

    # The connection

    def _live(self) -> None:
        try:
            self._reconnect()
        except Exception as error:  # a fault of this library: say so rather than wait for nothing
            _log.exception("the connection's thread failed")
            with self._news:
                self._failure = GossipError(f"a fault in gossip-client: {error!r}")
                self._closing.set()
                self.core.shut()  # whoever waits for an answer waits no more
                self._collect()
                self._news.notify_all()

    def _reconnect(self) -> None:
        core = self.core
        while not self._closing.is_set():
            while not self._closing.wait(min(1.0, max(0.0, (core.reconnect_at or 0.0) - time.monotonic()))):
                self._tick()
                if time.monotonic() >= (core.reconnect_at or 0.0):
                    break
            if self._closing.is_set():
                return
            code, error = None, None
            try:
                with connect(
                    self.url, open_timeout=15, ping_interval=None, max_size=MAX_BYTES, compression=None, close_timeout=2
                ) as socket:
                    self._ask_players()
                    with self._lock:
                        if core.state is State.CLOSED:
                            return  # closed while the connection was being made
                        self._socket = socket
                        core.opened(time.monotonic())
                    reason = self._read(socket)
            except ConnectionClosed as closed:
                reason, code = closing(closed)
            except (OSError, WebSocketException, EOFError, ImportError) as failure:  # the last for a SOCKS proxy
                error = failure
                reason = explain(failure, self.url)
            with self._news:
                if core is not self._core or core.state is State.CLOSED:
                    return  # closed, and perhaps connected anew by others, meanwhile
                self._socket = None
                core.closed(time.monotonic(), reason, code=code)
                self._last_reason = reason
                if core.server_version is None:
                    if core.refusal is not None:
                        self._failure = core.refusal
                    elif error is not None and is_final(error):
                        self._failure = ConnectFailed(reason)
                self._collect()
                self._news.notify_all()

    def _read(self, socket: ClientConnection) -> str:
        """Read until there is a reason to close, which is returned. Raises ConnectionClosed."""
        core = self.core
        while not self._closing.is_set():
            self._pump()
            if core.close_reason is not None:
                return core.close_reason
            now = time.monotonic()
            with self._lock:
                due = core.wakes_at()
            wait = _LOOK_AGAIN if due is None else min(_LOOK_AGAIN, max(0.0, due - now))
            try:
                text = socket.recv(timeout=wait)
            except TimeoutError:
                self._tick()
                continue
            if len(text) < 1000 and "heartbeat" in (text if isinstance(text, str) else text.decode(errors="replace")):
                self._ask_players()
            with self._news:
                core.received(text, time.monotonic())
                self._collect()
                self._news.wait_for(lambda: not self._is_crowded() or core.is_waiting or self._closing.is_set())
        return "closed"

    def _ask_players(self) -> None:
        """Ask the game who is online before the core does: not under the client's lock, as the game may hold one of
        its own while it calls the client."""
        self._players_now = names_of(self._players)

    def _players_of_core(self) -> Callable[[], list[str] | None] | None:
        return None if self._players is None else lambda: self._players_now

    def _is_crowded(self) -> bool:
        return len(self._told) >= EVENTS_AHEAD or (self._is_streamed and len(self._stream) >= EVENTS_AHEAD)

    def _tick(self) -> None:
        with self._lock:
            self.core.tick(time.monotonic())
            self._collect()

    def _collect(self) -> None:
        """Hand on what the core has to tell. The lock is held."""
        if told := self.core.events():
            self._keep(self._stream, told, is_read=self._is_streamed)
            self._told.extend(event for event in told if self._handlers_of(event))
            self._news.notify_all()

    def _pump(self) -> None:
        """Send what the core has to send, in its order."""
        with self._send_lock:
            with self._lock:
                socket, frames = self._socket, self.core.frames() if self._socket is not None else []
            if socket is not None:
                try:
                    for frame in frames:
                        if not self._takes_more(socket):
                            stdlib_socket.socket.shutdown(socket.socket, stdlib_socket.SHUT_RDWR)
                            return
                        socket.send(frame)
                except (ConnectionClosed, OSError, ValueError):
                    pass  # the reading thread sees it too

    def _takes_more(self, socket: ClientConnection) -> bool:
        """Wait until the connection has room for a frame. False where it has none for long: the server reads no more.

        Without this a write would wait for ever, and everyone who wants to write or to close with it.
        """
        deadline = time.monotonic() + _WRITE_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(socket.socket, selectors.EVENT_WRITE)
            while not selector.select(_LOOK_AGAIN):
                if self._closing.is_set() or socket is not self._socket or time.monotonic() >= deadline:
                    return False
        return True

    def _dispatch(self, news: threading.Condition, told: deque[Event], closing: threading.Event) -> None:
        while True:
            with news:
                news.wait_for(lambda: told or closing.is_set())
                if not told:
                    return
                event = told.popleft()
                if len(told) == EVENTS_AHEAD // 2:
                    news.notify_all()
            for handler in self._handlers_of(event):
                try:
                    handler(event)
                except GossipError as error:
                    _log.warning("a handler of %s failed: %s", type(event).__name__, error)
                except BaseException:  # an exit too: it would end this thread alone, and everyone would wait for it
                    _log.exception("a handler of %s failed", type(event).__name__)
