"""Both fronts behind one blocking face, so that each test runs on both."""

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


class Face:
    """A client of either front. `heard`: every event so far; attributes are the client's, requests block."""

    def __init__(self, front: str, url: str, client_id: str, secret: str, **options: Any) -> None:
        self.heard: list[Any] = []
        self._news = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        if front == "aio":
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.client: Any = (AioClient if front == "aio" else SyncClient)(url, client_id, secret, **options)
        self.client.on(Event)(self._hear)

    def _hear(self, event: Event) -> None:
        with self._news:
            self.heard.append(event)
            self._news.notify_all()

    def wait_for(self, kind: type, *, seconds: float = 10.0, count: int = 1, **matching: Any) -> Any:
        """The first event of a class whose fields match; or the count-th."""

        def found() -> list[Any]:
            return [
                event
                for event in self.heard
                if isinstance(event, kind) and all(getattr(event, name) == value for name, value in matching.items())
            ]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= count, seconds), f"no {kind.__name__}: {self.heard}"
            return found()[count - 1]

    def until(self, condition: Callable[[], Any], *, seconds: float = 10.0) -> Any:
        """Wait for something that no event tells."""
        return wait_until(condition, seconds=seconds, what=f"the condition; heard: {self.heard}")

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.client, name)
        if self._loop is None or not asyncio.iscoroutinefunction(value):
            return value
        loop = self._loop
        return lambda *args, **kwargs: asyncio.run_coroutine_threadsafe(value(*args, **kwargs), loop).result(30)


@pytest.fixture(params=["sync", "aio"])
def make_client(request: pytest.FixtureRequest) -> Iterator[Callable[..., Face]]:
    """Makes clients, connected unless `connect=False`; they are closed after the test."""
    made: list[Face] = []

    def make(url: str, client_id: str = "id", secret: str = "secret", *, connect: bool = True, **options: Any) -> Face:
        face = Face(request.param, url, client_id, secret, **options)
        made.append(face)
        if connect:
            face.connect()
        return face

    yield make
    for face in made:
        face.close()


@pytest.fixture
def old_server() -> Iterator[Callable[..., OldServer]]:
    """Starts servers of the first protocol."""
    started: list[OldServer] = []

    def start(*args: Any, **options: Any) -> OldServer:
        started.append(OldServer(*args, **options))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def run_async() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine in a thread of its own: in the tests' thread a browser's event loop may be there already."""

    def run(coroutine: Coroutine[Any, Any, T]) -> T:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, asyncio.wait_for(coroutine, 20)).result()

    return run
