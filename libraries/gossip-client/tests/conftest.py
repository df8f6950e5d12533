"""Fixtures: both clients behind one blocking interclient, so that each test runs with both."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from gossip_client import Event
from gossip_client.aio import Client as AioClient
from gossip_client.sync import Client as SyncClient

from tests.support.waiting import wait_until

sys.path.insert(0, str(Path(__file__).parent))

from old_server import OldServer

T = TypeVar("T")


class BlockingClient:
    """A client of either kind, with methods that block and all its events in `received`."""

    def __init__(self, front: str, url: str, client_id: str, secret: str, **options: Any) -> None:
        self.received: list[Any] = []
        self._news = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        if front == "aio":
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.client: Any = (AioClient if front == "aio" else SyncClient)(url, client_id, secret, **options)
        self.client.on(Event)(self._receive)

    def _receive(self, event: Event) -> None:
        with self._news:
            self.received.append(event)
            self._news.notify_all()

    def wait_for(self, kind: type, *, seconds: float = 30.0, count: int = 1, **matching: Any) -> Any:
        """Return the first event of a class (or the count-th) whose fields match."""

        def matches() -> list[Any]:
            return [
                event
                for event in self.received
                if isinstance(event, kind) and all(getattr(event, name) == value for name, value in matching.items())
            ]

        with self._news:
            assert self._news.wait_for(lambda: len(matches()) >= count, seconds), f"no {kind.__name__}: {self.received}"
            return matches()[count - 1]

    def until(self, condition: Callable[[], Any], *, seconds: float = 30.0) -> Any:
        """Wait for a condition that no event reports."""
        return wait_until(condition, seconds=seconds, what=f"the condition; received: {self.received}")

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.client, name)
        if self._loop is None or not asyncio.iscoroutinefunction(value):
            return value
        loop = self._loop
        return lambda *args, **kwargs: asyncio.run_coroutine_threadsafe(value(*args, **kwargs), loop).result(30)


@pytest.fixture(params=["sync", "aio"])
def make_client(request: pytest.FixtureRequest) -> Iterator[Callable[..., BlockingClient]]:
    """Makes clients, connected unless `connect=False`. Closes them after the test."""
    clients: list[BlockingClient] = []

    def make(
        url: str, client_id: str = "id", secret: str = "secret", *, connect: bool = True, **options: Any
    ) -> BlockingClient:
        client = BlockingClient(request.param, url, client_id, secret, **options)
        clients.append(client)
        if connect:
            client.connect()
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def old_server() -> Iterator[Callable[..., OldServer]]:
    """Starts servers of the first protocol."""
    servers: list[OldServer] = []

    def start(*args: Any, **options: Any) -> OldServer:
        servers.append(OldServer(*args, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def run_async() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine in its own thread: a browser's event loop may be running in the tests' thread."""

    def run(coroutine: Coroutine[Any, Any, T]) -> T:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, asyncio.wait_for(coroutine, 50)).result()

    return run
