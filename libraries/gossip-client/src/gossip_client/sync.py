"""The client for threads: `with Client(…) as client`."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from gossip_client.client import CLOSE_SECONDS, CONNECT_OPTIONS, EVENTS_AHEAD, BaseClient
from gossip_client.core import Core, State, names_of
from gossip_client.errors import ConnectFailed, GossipError, NotConnected
from gossip_client.events import Event
from gossip_client.explain import describe_close, explain, is_final
from gossip_client.requests import Request
from gossip_client.sync_requests import SyncRequests
from gossip_client.writer import POLL_SECONDS, Writer

T = TypeVar("T")
_LATE_SECONDS = 2.0  # how late the reading thread may notice that a request has timed out
_log = logging.getLogger("gossip_client")


class Client(SyncRequests, BaseClient):
    """The connection of a game or an application. A separate thread keeps it up until `close`.

    Events go to the handlers (`on`), which run one after the other in another thread and may make requests; and to
    `for event in client.events()`, or `take`. All methods may be called from any thread. For the requests (`send`,
    `players_status` …) and what they raise, see `SyncRequests`.

    A client cannot be used in a process that was forked after `connect`: all methods but `connect` raise NotConnected
    there, and `connect` makes its own connection.
    """

    def _set_up(self) -> None:
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._writer = Writer()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self._reset()

    def _reset(self) -> None:
        self._process_id = os.getpid()
        self._handler_queue: deque[Event] = deque()
        self._stream: deque[Event] = deque()
        self._is_streamed = False
        self._socket: ClientConnection | None = None
        self._last_reason = "no answer"
        self._failure: GossipError | None = None  # set by the reading thread, raised by `connect`
        self._players_answer: list[str] | None = None
        self._sync_answer: Future[Mapping[str, Any] | bool | None] = Future()

    def connect(self, *, seconds: float = 30.0) -> None:
        """Connect, and wait until the server has accepted the credentials. The client then reconnects automatically.

        Does nothing if the client is connected already. If it raises, the client is closed.

        Args:
            seconds: How long to wait for the first connection.

        Raises:
            AuthenticationFailed: The server refused the credentials.
            ConnectFailed: There was no connection in time, something other than a Gossip server answered, or the
                client was closed meanwhile.
        """
        if self._is_forked:
            self._forget_parent()
        try:
            with self._news:
                if self._is_started:
                    return
                core = self._start()
                is_closing = self._closing.is_set
                is_settled = self._news.wait_for(
                    lambda: core.server_version or self._failure or is_closing(), timeout=seconds
                )
                failure = self._failure
        except BaseException:  # Ctrl-C: the caller no longer wants the connection
            self.close()
            raise
        if failure is not None:
            self.close()
            raise failure
        if core.server_version is None and is_closing():
            raise ConnectFailed(f"the client was closed before it was connected ({self._last_reason})")
        if not is_settled:
            self.close()
            raise ConnectFailed(f"no connection within {seconds:g} s: {self._last_reason}")

    def close(self) -> None:
        """Close the connection and drop all queued sends. Waits at most 3 s for a handler that is running."""
        if not self._is_started or self._is_forked or sys.is_finalizing():
            return
        with self._news:
            if self._closing.is_set():
                return
            self._closing.set()
            self.core.shut()
            self._publish_events()
            self._news.notify_all()
            socket = self._socket
            reader, dispatcher = self._threads
        if socket is not None:
            try:
                socket.close()
            except (OSError, WebSocketException):
                pass
        # Nothing can interrupt a thread that is just connecting. It ends by itself, without any further effect.
        for thread, seconds in ((reader, CLOSE_SECONDS if socket else POLL_SECONDS), (dispatcher, CLOSE_SECONDS)):
            if thread is not threading.current_thread() and thread.is_alive():
                thread.join(seconds)

    def __enter__(self) -> Client:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self) -> None:
        """Connect if the client is not connected, then wait until a handler or another thread closes it."""
        if not self._is_started or self._is_forked:
            self.connect()
        while not self._closing.wait(1.0):
            pass

    def events(self) -> Iterator[Event]:
        """Yield every event, beginning with the oldest of the last 10,000. Ends when the client is closed.

        While a loop reads the events, the connection waits for it if it is slow, and no event is lost. Leaving the
        loop ends the waiting; the next loop begins where this one left off.
        """
        self._check_usable()
        try:
            while events := self.take(seconds=None, limit=1):
                yield from events
        finally:
            with self._news:
                self._is_streamed = False
                self._news.notify_all()

    def take(self, *, seconds: float | None = None, limit: int = EVENTS_AHEAD) -> list[Event]:
        """Return the next events. Call it repeatedly: the connection waits for a slow caller, and loses nothing.

        Args:
            seconds: How long to wait for the first event; None waits until the client is closed.
            limit: The greatest number of events to return.

        Returns:
            The events; an empty list if none came in time, or if the client is closed and has no more.
        """
        self._check_usable()
        with self._news:
            self._is_streamed = True
            self._news.wait_for(lambda: self._stream or self._closing.is_set(), seconds)
            events = [self._stream.popleft() for _ in range(min(limit, len(self._stream)))]
            self._news.notify_all()
        return events

    @property
    def is_closed(self) -> bool:
        """Whether the client has been closed, and all its events have been taken."""
        return bool(self._threads) and self._closing.is_set() and not self._stream

    @property
    def is_connected(self) -> bool:
        """Whether the server has accepted this client, and the connection is open."""
        return super().is_connected and not self._is_forked

    def post(self, request: Request[Any]) -> None:
        """Send a request of `gossip_client.requests` without waiting for the answer.

        Its `on_done` is called from another thread, while the client is locked: it must return at once, and must not
        call the client.
        """
        self._check_usable()
        with self._news:
            self.core.ask(request, time.monotonic())
            self._publish_events()
            self._news.notify_all()  # a reader that waits for room must now read anyway, to get the answer
        self._write_frames()

    def _do(self, request: Request[T]) -> T:
        if self._threads and threading.current_thread() is self._threads[0]:
            raise RuntimeError(
                "`players` and `sync` must not wait for the server: the thread that calls them reads the answers"
            )
        answered = threading.Event()
        request.on_done = lambda request: answered.set()
        self.post(request)
        try:
            while not answered.wait(1.0):
                # The reading thread fails requests that have timed out; but it may be stuck in the game's `players`.
                with self._news:
                    self.core.expire(request, time.monotonic() - _LATE_SECONDS)
                    self._publish_events()
        except BaseException:  # Ctrl-C
            with self._news:
                self.core.withdraw(request)
                self._publish_events()
            raise
        return request.result()

    # Threads and processes

    @property
    def _is_started(self) -> bool:
        return bool(self._threads) and not self._closing.is_set()

    @property
    def _is_forked(self) -> bool:
        return self._process_id != os.getpid()

    def _check_usable(self) -> None:
        """Raise NotConnected if this client's threads do not run in this process."""
        if not self._threads:
            raise NotConnected("call connect() first")
        if self._is_forked:
            raise NotConnected("this process was forked after connect(): call connect() again")
        if sys.is_finalizing():
            raise NotConnected("the interpreter is shutting down")

    def _forget_parent(self) -> None:
        """Start over in a forked process: its threads are gone, and may have left its locks held forever."""
        self._core = None
        self._view.clear()
        self._set_up()

    def _start(self) -> Core:
        """Start the threads. The lock is held."""
        core = self._renew_core()
        self._reset()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._run_reader, args=(core, self._closing), name="gossip-client", daemon=True),
            threading.Thread(
                target=self._run_handlers,
                args=(self._handler_queue, self._closing),  # the client may connect again before this thread ends
                name="gossip-client-handlers",
                daemon=True,
            ),
        ]
        for thread in self._threads:
            thread.start()
        return core

    # The reading thread

    def _run_reader(self, core: Core, closing: threading.Event) -> None:
        try:
            self._keep_connected(core, closing)
        except BaseException as error:  # a bug in this library, or an exit in a callback: end every wait
            _log.exception("the connection's thread failed")
            with self._news:
                closing.set()
                self._failure = GossipError(f"a fault in gossip-client: {error!r}")
                try:
                    core.shut()
                finally:
                    self._publish_events()
                    self._news.notify_all()

    def _keep_connected(self, core: Core, closing: threading.Event) -> None:
        while self._wait_to_connect(core, closing):
            code, error = None, None
            try:
                with connect(self.url, open_timeout=15, close_timeout=2, **CONNECT_OPTIONS) as socket:
                    self._ask_players()
                    self._ask_application()
                    with self._lock:
                        if core.state is State.CLOSED:
                            return  # closed while it was connecting
                        self._socket = socket
                        core.opened(time.monotonic())
                    reason = self._read_frames(socket, core, closing)
            except ConnectionClosed as closed:
                reason, code = describe_close(closed)
            except (OSError, WebSocketException, EOFError, ImportError) as failure:  # ImportError: a SOCKS proxy
                error = failure
                reason = explain(failure, self.url)
            with self._news:
                if core.state is State.CLOSED:
                    return  # closed meanwhile; it may even be connected again, by another thread
                self._socket = None
                core.closed(time.monotonic(), reason, code=code)
                self._last_reason = reason
                if core.server_version is None:
                    if core.refusal is not None:
                        self._failure = core.refusal
                    elif error is not None and is_final(error):
                        self._failure = ConnectFailed(reason)
                self._publish_events()
                self._news.notify_all()

    def _wait_to_connect(self, core: Core, closing: threading.Event) -> bool:
        """Wait until it is time to connect. Return False if the client is closed instead."""
        while not closing.is_set():
            wait = (core.reconnect_at or 0.0) - time.monotonic()
            if wait <= 0:
                return True
            closing.wait(min(1.0, wait))
            self._tick(core)
        return False

    def _read_frames(self, socket: ClientConnection, core: Core, closing: threading.Event) -> str:
        """Read until there is a reason to close the connection, and return it. Raises ConnectionClosed."""
        while not closing.is_set():
            self._write_frames()
            if core.close_reason is not None:
                return core.close_reason
            with self._lock:
                wakes_at = core.wakes_at()
            wait = POLL_SECONDS if wakes_at is None else min(POLL_SECONDS, max(0.0, wakes_at - time.monotonic()))
            try:
                text = socket.recv(timeout=wait)
            except TimeoutError:
                self._tick(core)
                continue
            if len(text) < 1000 and "heartbeat" in (text if isinstance(text, str) else text.decode(errors="replace")):
                self._ask_players()
            with self._news:
                core.received(text, time.monotonic())
                self._publish_events()
                self._news.wait_for(lambda: not self._is_crowded() or core.is_waiting or closing.is_set())
        return "closed"

    def _ask_players(self) -> None:
        """Call the game's `players` before the core does.

        Not while the client is locked: the game may hold a lock of its own while it calls the client, and take the
        same lock in `players`.
        """
        self._players_answer = names_of(self._players)

    def _ask_application(self) -> None:
        """Call the application's `sync` before the core does, for the same reason."""
        if self._config.sync is None:
            return
        answer: Future[Mapping[str, Any] | bool | None] = Future()
        try:
            answer.set_result(self._config.sync())
        except Exception as error:  # the core logs it, and tries again with the next connection
            answer.set_exception(error)
        self._sync_answer = answer

    def _players_for_core(self) -> Callable[[], list[str] | None] | None:
        return None if self._players is None else lambda: self._players_answer

    def _sync_for_core(self) -> Callable[[], Mapping[str, Any] | bool | None] | None:
        return None if self._config.sync is None else lambda: self._sync_answer.result(timeout=0)

    def _is_crowded(self) -> bool:
        return len(self._handler_queue) >= EVENTS_AHEAD or (self._is_streamed and len(self._stream) >= EVENTS_AHEAD)

    def _tick(self, core: Core) -> None:
        with self._lock:
            core.tick(time.monotonic())
            self._publish_events()

    def _publish_events(self) -> None:
        """Pass the core's events on to the handlers and to `take`. The lock is held."""
        if events := self.core.events():
            self._keep_events(self._stream, events, is_read=self._is_streamed)
            self._handler_queue.extend(event for event in events if self._handlers_of(event))
            self._news.notify_all()

    def _write_frames(self) -> None:
        """Send the core's frames, in order."""

        def take() -> tuple[ClientConnection | None, list[str]]:
            with self._lock:
                return self._socket, [] if self._socket is None else self.core.frames()

        def is_current(socket: ClientConnection) -> bool:
            return socket is self._socket and not self._closing.is_set()

        self._writer.write(take, is_current)

    # The handlers' thread

    def _run_handlers(self, queue: deque[Event], closing: threading.Event) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: queue or closing.is_set())
                if not queue:
                    return
                event = queue.popleft()
                if len(queue) == EVENTS_AHEAD // 2:
                    self._news.notify_all()
            for handler in self._handlers_of(event):
                try:
                    handler(event)
                except GossipError as error:
                    _log.warning("a handler of %s failed: %s", type(event).__name__, error)
                except BaseException:  # even an exit: it would end this thread alone, and the reader would wait for it
                    _log.exception("a handler of %s failed", type(event).__name__)
