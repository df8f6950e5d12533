"""The asyncio front: `async with Client(…) as client`."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from gossip_client import requests
from gossip_client.client import CLOSE_SECONDS, EVENTS_AHEAD, MAX_BYTES, BaseClient
from gossip_client.core import State
from gossip_client.errors import ConnectFailed, GossipError, NotConnected
from gossip_client.events import Event, GameStatus, HistoryPage, PlayersStatus, SyncComplete
from gossip_client.explain import closing, explain, is_final
from gossip_client.requests import Request

T = TypeVar("T")
_log = logging.getLogger("gossip_client")


class Client(BaseClient):
    """A game's or an application's connection, kept up until `close`. All of it in the event loop that connects it:
    from elsewhere, `asyncio.run_coroutine_threadsafe(client.send(…), loop)`.

    Events go to the handlers (`on`), which run one after the other and may be coroutines; and to `async for event in
    client.events()`.

    What a server is asked (`send`, `players_status` …) returns its answer. Each of these raises RequestFailed where the
    server says no, RequestTimedOut where it says nothing for `answer_seconds`, and NotConnected while there is no
    connection; `send` and `tell` wait for it instead, and raise Dropped where they could not. All are GossipErrors.
    """

    _loop: asyncio.AbstractEventLoop

    async def connect(self, *, seconds: float = 30.0) -> None:
        """Connect, and wait until the server has let us in. From then on the client reconnects by itself.

        Raises AuthenticationFailed, or ConnectFailed after so many seconds without a connection, or at once where
        whoever answers is no server of the network, or where the client is closed meanwhile. It is closed then. A
        client that is connected already stays as it is.
        """
        if self._is_started:
            self._check_loop()
            return
        self._start_afresh()
        self._loop = asyncio.get_running_loop()
        self._told: deque[Event] = deque()
        self._stream: deque[Event] = deque()
        self._is_streamed = False
        self._changed = asyncio.Event()
        self._streamed = asyncio.Event()
        self._roomy = asyncio.Event()
        self._to_write = asyncio.Event()
        self._outgoing: deque[str] = deque()
        self._closing = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._socket: ClientConnection | None = None
        self._last_reason = "no answer"
        self._first: asyncio.Future[None] = self._loop.create_future()
        self._tasks = [asyncio.create_task(self._live()), asyncio.create_task(self._dispatch())]
        try:
            await asyncio.wait_for(asyncio.shield(self._first), seconds)
        except TimeoutError:
            await self.close()
            raise ConnectFailed(f"no connection within {seconds:g} s: {self._last_reason}") from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Say goodbye. What still waits to be sent is dropped; a handler that does not end within 3 s is cancelled."""
        if self._core is None or not hasattr(self, "_tasks") or self._closing.is_set():
            return
        self._check_loop()
        self._closing.set()
        if not self._first.done():
            self._first.set_exception(
                ConnectFailed(f"the client was closed before it was connected ({self._last_reason})")
            )
        if not self._first.cancelled():
            self._first.exception()  # somebody has seen it
        self.core.shut()
        self._pump()
        if self._timer is not None:
            self._timer.cancel()
        own = asyncio.current_task()
        live, dispatch = self._tasks
        if self._socket is not None:
            await self._socket.close()
        live.cancel()
        await asyncio.gather(live, return_exceptions=True)
        self._changed.set()
        self._streamed.set()
        if dispatch is not own:
            await asyncio.wait({dispatch}, timeout=CLOSE_SECONDS)
            if dispatch.cancel():
                _log.warning("a handler did not end when the client was closed: it is cancelled")
                await asyncio.wait({dispatch}, timeout=CLOSE_SECONDS)

    @property
    def _is_started(self) -> bool:
        return hasattr(self, "_tasks") and not self._closing.is_set()

    async def __aenter__(self) -> Client:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run(self) -> None:
        """Connect if that was not done, then stay until the client is closed."""
        if not self._is_started:
            await self.connect()
        await self._closing.wait()

    async def events(self) -> AsyncIterator[Event]:
        """Every event, from the oldest that is still kept on (10,000); ends when the client is closed.

        While this is read, a reader that is slow slows the connection down, and nothing is lost. A loop that is left
        ends that; what it had not come to is kept for the next one.
        """
        self._check_loop()
        self._is_streamed = True
        try:
            while True:
                while self._stream:
                    event = self._stream.popleft()
                    if len(self._stream) < EVENTS_AHEAD // 2:
                        self._roomy.set()
                    yield event
                if self._closing.is_set():
                    return
                self._streamed.clear()
                await self._streamed.wait()
        finally:
            self._is_streamed = False
            self._roomy.set()

    # Requests

    async def subscribe(self, channel: str) -> None:
        """Hear a channel, now and after every reconnect. Raises RequestFailed (`channel-refused`).

        While there is no connection it returns at once; a refusal is then told by an event: in
        `Connected.refused_channels`, or as ErrorReported.
        """
        await self._do(requests.subscribe(channel))

    async def unsubscribe(self, channel: str) -> None:
        """Hear a channel no more."""
        await self._do(requests.unsubscribe(channel))

    async def send(self, channel: str, name: str, message: str) -> None:
        """Let a player say something; returns when the server has taken it. Waits while there is no connection.

        message: 1 to 4,000 characters of plain text. Raises RequestFailed (`muted`, `rate-limited`, `not-subscribed`
        …); Dropped where it could not wait any longer.
        """
        await self._do(requests.send(channel, name, message))

    async def sign_in(self, name: str) -> None:
        """A player came online here. Heartbeats say it too, where `players` is given."""
        await self._do(requests.sign_in(name))

    async def sign_out(self, name: str) -> None:
        """A player left."""
        await self._do(requests.sign_out(name))

    async def tell(
        self, from_name: str, to_game: str, to_name: str, message: str, *, sent_at: datetime | None = None
    ) -> None:
        """Tell a player of another game something. Waits while there is no connection.

        to_game: a short name, in any case. sent_at: now, if it is left out; a time without a zone is this machine's.
        Raises RequestFailed (`player-offline`, `game-offline`, `not-supported` …); Dropped.
        """
        await self._do(requests.tell(from_name, to_game, to_name, message, sent_at))

    async def players_status(self, game: str | None = None) -> list[PlayersStatus]:
        """Who is online: in all games, or in one (with no players where it is offline).

        Raises RequestFailed (`unknown-game`).
        """
        return await self._do(requests.players_status(game))

    async def games_status(self, game: str | None = None) -> list[GameStatus]:
        """The games that are online; or one, online or not. Raises RequestFailed (`unknown-game`)."""
        return await self._do(requests.games_status(game))

    async def history(
        self, channel: str, *, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> HistoryPage:
        """What was said on a subscribed channel, oldest first (servers of 2.4.0 on).

        before, after: ids of messages; the newest before, or the oldest after it. limit: 100 at most.
        Raises RequestFailed (`not-subscribed`); older servers refuse it, or do not answer.
        """
        return await self._do(requests.history(channel, before=before, after=after, limit=limit))

    async def sync(self, since: int | None = None) -> SyncComplete:
        """For applications: ask for what came after a cursor, or for everything (None).

        The records come as SyncRecords, before this returns. Raises RequestFailed (`not-an-application`).
        """
        return await self._do(requests.sync(since))

    async def request(self, event: str, payload: dict[str, Any] | None = None) -> Any:
        """Any other request with one answer; returns its payload, None where it has none."""
        return await self._do(requests.any_request(event, payload))

    def _check_loop(self) -> None:
        if not hasattr(self, "_tasks"):
            raise NotConnected("connect() comes first")
        if not self._closing.is_set() and asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("this client is connected in another event loop: see asyncio.run_coroutine_threadsafe")

    async def _do(self, request: Request[T]) -> T:
        self._check_loop()
        answered: asyncio.Future[None] = self._loop.create_future()
        request.on_done = lambda request: None if answered.done() else answered.set_result(None)
        self.core.ask(request, self._loop.time())
        self._roomy.set()  # a reader that waits for room must read the answer all the same
        self._pump()
        try:
            await answered
        except asyncio.CancelledError:
            self.core.withdraw(request)
            self._pump()
            raise
        return request.result()

    # The connection

    async def _live(self) -> None:
        try:
            await self._reconnect()
        except Exception as error:  # a fault of this library: say so rather than wait for nothing
            _log.exception("the connection's task failed")
            if not self._first.done():
                self._first.set_exception(error)
            self._end()
        except asyncio.CancelledError:  # by `close`, or with the whole event loop
            self._end()
            raise

    def _end(self) -> None:
        self._closing.set()
        self.core.shut()  # whoever waits for an answer waits no more
        self._pump()
        self._streamed.set()

    async def _reconnect(self) -> None:
        core = self.core
        while not self._closing.is_set():
            if core.reconnect_at is not None:
                await asyncio.sleep(max(0.0, core.reconnect_at - self._loop.time()))
            code, error = None, None
            try:
                async with connect(
                    self.url, open_timeout=15, ping_interval=None, max_size=MAX_BYTES, compression=None, close_timeout=2
                ) as self._socket:
                    reason = "the connection was lost"
                    core.opened(self._loop.time())
                    writer = asyncio.create_task(self._write(self._socket))
                    try:
                        await self._read(self._socket)
                    finally:
                        writer.cancel()
            except ConnectionClosed as closed:
                reason, code = closing(closed)
            except (OSError, WebSocketException, EOFError, ImportError) as failure:  # the last for a SOCKS proxy
                error = failure
                reason = explain(failure, self.url)
            finally:
                self._socket = None
            core.closed(self._loop.time(), reason, code=code)
            self._last_reason = reason
            if not self._first.done():
                if core.refusal is not None:
                    self._first.set_exception(core.refusal)
                elif error is not None and is_final(error):
                    self._first.set_exception(ConnectFailed(reason))
            self._outgoing.clear()
            self._pump()

    async def _read(self, socket: ClientConnection) -> None:
        self._pump()
        while True:
            text = await socket.recv()
            self.core.received(text, self._loop.time())
            self._pump()
            while self._is_crowded() and not self.core.is_waiting:
                self._roomy.clear()
                await self._roomy.wait()

    def _is_crowded(self) -> bool:
        return len(self._told) >= EVENTS_AHEAD or (self._is_streamed and len(self._stream) >= EVENTS_AHEAD)

    async def _write(self, socket: ClientConnection) -> None:
        try:
            while True:
                while self._outgoing:
                    await socket.send(self._outgoing.popleft())
                self._to_write.clear()
                await self._to_write.wait()
        except ConnectionClosed:
            return  # the reader sees it too

    def _pump(self) -> None:
        """Hand on what the core has to send and to tell, and wake it when it wants to be."""
        core = self.core
        if frames := core.frames():
            self._outgoing.extend(frames)
            self._to_write.set()
        if told := core.events():
            self._keep(self._stream, told, is_read=self._is_streamed)
            self._told.extend(event for event in told if self._handlers_of(event))
            self._changed.set()
            self._streamed.set()
        if core.is_ready and not self._first.done():
            self._first.set_result(None)
        if core.close_reason is not None and self._socket is not None:
            ending = asyncio.create_task(self._socket.close(1000, core.close_reason[:100]))
            ending.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._socket = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if core.state is not State.CLOSED and core.close_reason is None and (due := core.wakes_at()) is not None:
            self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.core.tick(self._loop.time())
        self._pump()

    async def _dispatch(self) -> None:
        while True:
            while self._told:
                event = self._told.popleft()
                if len(self._told) < EVENTS_AHEAD // 2:
                    self._roomy.set()
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
            self._changed.clear()
            await self._changed.wait()
