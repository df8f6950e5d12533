"""The client for asyncio: `async with Client(…) as client`."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from gossip_client.aio_requests import AioRequests
from gossip_client.client import CLOSE_SECONDS, CONNECT_OPTIONS, EVENTS_AHEAD, BaseClient
from gossip_client.core import Core, State
from gossip_client.errors import ConnectFailed, GossipError, NotConnected
from gossip_client.events import Event
from gossip_client.explain import describe_close, explain, is_final
from gossip_client.requests import Request

T = TypeVar("T")
_log = logging.getLogger("gossip_client")


class Client(AioRequests, BaseClient):
    """The connection of a game or an application. Separate tasks keep it up until `close`.

    Events go to the handlers (`on`), which run one after the other and may be coroutines; and to `async for event in
    client.events()`. For the requests (`send`, `players_status` …) and what they raise, see `AioRequests`.

    Use a client only in the event loop that connected it. From another thread:
    `asyncio.run_coroutine_threadsafe(client.send(…), loop)`.
    """

    _loop: asyncio.AbstractEventLoop
    _connected: asyncio.Future[None]  # done after the first authentication

    def _set_up(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._handler_queue: deque[Event] = deque()
        self._stream: deque[Event] = deque()
        self._is_streamed = False
        self._has_handler_events = asyncio.Event()
        self._has_events = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_frames = asyncio.Event()
        self._closing = asyncio.Event()
        self._outgoing: deque[str] = deque()
        self._socket: ClientConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_reason = "no answer"

    async def connect(self, *, seconds: float = 30.0) -> None:
        """Connect, and wait until the server has accepted the credentials. The client then reconnects automatically.

        Does nothing if the client is connected already. If it raises, the client is closed.

        Args:
            seconds: How long to wait for the first connection.

        Raises:
            AuthenticationFailed: The server refused the credentials.
            ConnectFailed: There was no connection in time, something other than a Gossip server answered, or the
                client was closed meanwhile.
        """
        if self._is_started:
            self._check_loop()
            return
        self._set_up()
        core = self._renew_core()
        self._loop = asyncio.get_running_loop()
        self._connected = self._loop.create_future()
        self._tasks = [asyncio.create_task(self._run_connection(core)), asyncio.create_task(self._run_handlers())]
        try:
            await asyncio.wait_for(asyncio.shield(self._connected), seconds)
        except TimeoutError:
            await self.close()
            raise ConnectFailed(f"no connection within {seconds:g} s: {self._last_reason}") from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection and drop all queued sends. Cancels a running handler that does not end within 3 s."""
        if not self._is_started:
            return
        self._check_loop()
        self._closing.set()
        if not self._connected.done():
            self._connected.set_exception(
                ConnectFailed(f"the client was closed before it was connected ({self._last_reason})")
            )
        if not self._connected.cancelled():
            self._connected.exception()  # marks it as retrieved, so that asyncio does not log it
        self.core.shut()
        self._pump()
        if self._timer is not None:
            self._timer.cancel()
        connection_task, handlers_task = self._tasks
        if self._socket is not None:
            await self._socket.close()
        connection_task.cancel()
        await asyncio.gather(connection_task, return_exceptions=True)
        self._has_handler_events.set()
        self._has_events.set()
        if handlers_task is not asyncio.current_task():
            await asyncio.wait({handlers_task}, timeout=CLOSE_SECONDS)
            if handlers_task.cancel():
                _log.warning("a handler did not end when the client was closed, and was cancelled")
                await asyncio.wait({handlers_task}, timeout=CLOSE_SECONDS)

    async def __aenter__(self) -> Client:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run(self) -> None:
        """Connect if the client is not connected, then wait until it is closed."""
        if not self._is_started:
            await self.connect()
        await self._closing.wait()

    async def events(self) -> AsyncIterator[Event]:
        """Yield every event, beginning with the oldest of the last 10,000. Ends when the client is closed.

        While a loop reads the events, the connection waits for it if it is slow, and no event is lost. Leaving the
        loop ends that; the next loop begins where this one left off.
        """
        self._check_loop()
        self._is_streamed = True
        try:
            while True:
                while self._stream:
                    event = self._stream.popleft()
                    if len(self._stream) < EVENTS_AHEAD // 2:
                        self._has_room.set()
                    yield event
                if self._closing.is_set():
                    return
                self._has_events.clear()
                await self._has_events.wait()
        finally:
            self._is_streamed = False
            self._has_room.set()

    @property
    def _is_started(self) -> bool:
        return bool(self._tasks) and not self._closing.is_set()

    def _check_loop(self) -> None:
        if not self._tasks:
            raise NotConnected("call connect() first")
        if not self._closing.is_set() and asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("this client is connected in another event loop: see asyncio.run_coroutine_threadsafe")

    async def _do(self, request: Request[T]) -> T:
        self._check_loop()
        answered: asyncio.Future[None] = self._loop.create_future()
        request.on_done = lambda request: None if answered.done() else answered.set_result(None)
        self.core.ask(request, self._loop.time())
        self._has_room.set()  # a reader that waits for room must now read anyway, to get the answer
        self._pump()
        try:
            await answered
        except asyncio.CancelledError:
            self.core.withdraw(request)
            self._pump()
            raise
        return request.result()

    # The connection's task

    async def _run_connection(self, core: Core) -> None:
        try:
            await self._keep_connected(core)
        except Exception as error:  # a bug in this library: end every wait
            _log.exception("the connection's task failed")
            if not self._connected.done():
                self._connected.set_exception(error)
            self._end(core)
        except BaseException:  # cancelled, by `close` or with the event loop; or an exit in a callback
            self._end(core)
            raise

    def _end(self, core: Core) -> None:
        self._closing.set()
        core.shut()
        self._pump()
        self._has_events.set()

    async def _keep_connected(self, core: Core) -> None:
        while not self._closing.is_set():
            if core.reconnect_at is not None:
                await asyncio.sleep(max(0.0, core.reconnect_at - self._loop.time()))
            code, error = None, None
            try:
                async with connect(self.url, open_timeout=15, close_timeout=2, **CONNECT_OPTIONS) as self._socket:
                    reason = "the connection was lost"
                    core.opened(self._loop.time())
                    writer = asyncio.create_task(self._write_frames(self._socket))
                    try:
                        await self._read_frames(self._socket)
                    finally:
                        writer.cancel()
            except ConnectionClosed as closed:
                reason, code = describe_close(closed)
            except (OSError, WebSocketException, EOFError, ImportError) as failure:  # ImportError: a SOCKS proxy
                error = failure
                reason = explain(failure, self.url)
            finally:
                self._socket = None
            core.closed(self._loop.time(), reason, code=code)
            self._last_reason = reason
            if not self._connected.done():
                if core.refusal is not None:
                    self._connected.set_exception(core.refusal)
                elif error is not None and is_final(error):
                    self._connected.set_exception(ConnectFailed(reason))
            self._outgoing.clear()
            self._pump()

    async def _read_frames(self, socket: ClientConnection) -> None:
        self._pump()
        while True:
            text = await socket.recv()
            self.core.received(text, self._loop.time())
            self._pump()
            while self._is_crowded() and not self.core.is_waiting:
                self._has_room.clear()
                await self._has_room.wait()

    def _is_crowded(self) -> bool:
        return len(self._handler_queue) >= EVENTS_AHEAD or (self._is_streamed and len(self._stream) >= EVENTS_AHEAD)

    async def _write_frames(self, socket: ClientConnection) -> None:
        try:
            while True:
                while self._outgoing:
                    await socket.send(self._outgoing.popleft())
                self._has_frames.clear()
                await self._has_frames.wait()
        except ConnectionClosed:
            return  # the reader sees it too

    def _pump(self) -> None:
        """Take the core's frames and events, close the connection if the core wants that, and set the timer."""
        core = self.core
        if frames := core.frames():
            self._outgoing.extend(frames)
            self._has_frames.set()
        if events := core.events():
            self._keep_events(self._stream, events, is_read=self._is_streamed)
            self._handler_queue.extend(event for event in events if self._handlers_of(event))
            self._has_handler_events.set()
            self._has_events.set()
        if core.is_ready and not self._connected.done():
            self._connected.set_result(None)
        if core.close_reason is not None and self._socket is not None:
            closing = asyncio.create_task(self._socket.close(1000, core.close_reason[:100]))
            closing.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._socket = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if core.state is not State.CLOSED and core.close_reason is None and (wakes_at := core.wakes_at()) is not None:
            self._timer = self._loop.call_at(wakes_at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.core.tick(self._loop.time())
        self._pump()

    # The handlers' task

    async def _run_handlers(self) -> None:
        while True:
            while self._handler_queue:
                event = self._handler_queue.popleft()
                if len(self._handler_queue) < EVENTS_AHEAD // 2:
                    self._has_room.set()
                for handler in self._handlers_of(event):
                    try:
                        result = handler(event)
                        if inspect.isawaitable(result):
                            await result
                    except GossipError as error:
                        _log.warning("a handler of %s failed: %s", type(event).__name__, error)
                    except asyncio.CancelledError:
                        if (task := asyncio.current_task()) is not None and task.cancelling():
                            raise
                        _log.warning("a handler of %s was cancelled", type(event).__name__)
                    except Exception:
                        _log.exception("a handler of %s failed", type(event).__name__)
            if self._closing.is_set():
                return
            self._has_handler_events.clear()
            await self._has_handler_events.wait()
