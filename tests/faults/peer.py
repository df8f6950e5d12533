"""A peer on the library `websockets`: it authenticates, answers heartbeats, and reconnects after a lost connection."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Coroutine
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

Frame = dict[str, Any]

OPEN_SECONDS = 5.0
SILENT_HEARTBEATS = 4  # a server that has missed so many is given up


class Credentials(NamedTuple):
    """A peer's short name, client id and client secret."""

    short_name: str
    client_id: str
    client_secret: str


class Peer:
    """A peer that stays connected until `stop`. Subclasses say what it sends and does."""

    def __init__(self, url: str, credentials: Credentials, *, heartbeat_seconds: float, seed: int) -> None:
        self.short_name = credentials.short_name
        self.random = random.Random(seed)
        self.connections = 0
        self._url = url
        self.credentials = credentials
        self._silent_seconds = SILENT_HEARTBEATS * heartbeat_seconds
        self._connection: ClientConnection | None = None
        self._answers: dict[str, asyncio.Future[Frame | None]] = {}
        self._refs = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    # For subclasses

    def hello(self) -> dict[str, Any]:
        """Return the payload of `authenticate`, without the credentials."""
        raise NotImplementedError

    def heartbeat(self) -> dict[str, Any] | None:
        """Return the payload of the answer to a heartbeat."""
        return None

    def opened(self) -> None:
        """Called after a successful `authenticate`."""

    def closed(self) -> None:
        """Called after an authenticated connection was lost."""

    def received(self, frame: Frame) -> None:
        """Called with each frame that is not an answer to `request`."""

    # For everyone

    @property
    def is_open(self) -> bool:
        """Whether it is connected and authenticated."""
        return self._connection is not None

    def start(self) -> None:
        """Connect, in a task."""
        self.spawn(self._run())

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task, until the peer is stopped at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    async def stop(self) -> None:
        """Disconnect and end all tasks."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def request(self, event: str, payload: dict[str, Any]) -> Frame | None:
        """Send a request and return its answer; None if the connection was lost first, or is not there."""
        if self._connection is None:
            return None
        ref = str(next(self._refs))
        self._answers[ref] = answer = asyncio.get_running_loop().create_future()
        try:
            await self._connection.send(json.dumps({"event": event, "ref": ref, "payload": payload}))
            return await answer
        except (WebSocketException, OSError):
            return None
        finally:
            self._answers.pop(ref, None)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": self.short_name, "exception": error})

    async def _run(self) -> None:
        while True:
            try:
                async with connect(
                    self._url,
                    open_timeout=OPEN_SECONDS,
                    close_timeout=1,
                    ping_interval=None,
                    compression=None,
                    max_size=None,
                    proxy=None,
                ) as connection:
                    await self._talk(connection)
            except (WebSocketException, OSError, TimeoutError, EOFError):
                pass
            await asyncio.sleep(self.random.uniform(0.3, 1.5))

    async def _talk(self, connection: ClientConnection) -> None:
        client = {"client_id": self.credentials.client_id, "client_secret": self.credentials.client_secret}
        await connection.send(json.dumps({"event": "authenticate", "payload": {**client, **self.hello()}}))
        try:
            while True:
                async with asyncio.timeout(self._silent_seconds):
                    frame = json.loads(await connection.recv())
                self._handle(connection, frame)
                if frame["event"] == "heartbeat":
                    payload = self.heartbeat()
                    answer = {"event": "heartbeat"} if payload is None else {"event": "heartbeat", "payload": payload}
                    await connection.send(json.dumps(answer))
        finally:
            if self._connection is not None:
                self._connection = None
                for pending in self._answers.values():
                    if not pending.done():
                        pending.set_result(None)
                self.closed()

    def _handle(self, connection: ClientConnection, frame: Frame) -> None:
        answer = self._answers.get(str(frame.get("ref")))
        if frame["event"].startswith("sync/"):  # a request for a sync has many answers, of which this is the last
            self.received(frame)
            if answer is not None and frame["event"] == "sync/complete":
                answer.set_result(frame)
        elif answer is not None:
            answer.set_result(frame)
        elif frame["event"] == "authenticate":
            if frame["status"] != "success":  # real games would never come back
                message = f"{self.short_name} was refused: {frame}"
                asyncio.get_running_loop().call_exception_handler({"message": message})
                raise OSError(message)
            self._connection = connection
            self.connections += 1
            self.opened()
        elif "status" not in frame or frame["event"] == "error":  # otherwise nobody waits for this answer any more
            self.received(frame)


def now() -> float:
    """Return the time of the recording."""
    return time.monotonic()
