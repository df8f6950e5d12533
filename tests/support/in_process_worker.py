"""A worker in the process of the tests, without Redis, and sockets without a network: for tests of single sockets.

The worker is a real one with a real database. It runs while a test waits for a frame.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.queue import Empty, Queue

from shared import db
from shared.settings import Settings
from tests.support.client import Frame, SocketClient
from tests.support.factory import Factory
from tests.support.in_process import ending_greenlets
from tests.support.network import Network, Peer
from tests.support.servers import SECRET_KEY
from tests.support.waiting import wait_until
from worker.network.presence import Presence
from worker.signals import Signals
from worker.wire.server import SocketServer
from worker.worker import Worker

NO_REDIS = "redis://127.0.0.1:1/0"


class RecordingTransport:
    """A transport that records what is sent. It looks closed, since the fan-out has no socket to write to here.

    Attributes:
        sent: All frames.
        closed: The code and the reason of each call of `close`.
        on_sent: Called with the JSON of each frame.
        on_closed: Called after `close`.
    """

    is_closing = True
    address = "127.0.0.1"
    request_id = ""

    def __init__(self) -> None:
        self.sent: list[Frame] = []
        self.closed: list[tuple[int, str]] = []
        self.group = self.subscriber = None
        self.pending_bytes = self.queued_bytes = self.pace_bytes = 0
        self.on_sent: Callable[[bytes], None] = lambda data: None
        self.on_closed: Callable[[], None] = lambda: None

    def trust(self) -> None:
        pass

    def send(self, framed: bytes) -> None:
        length = framed[1] & 0x7F
        data = framed[2 if length < 126 else 4 if length == 126 else 10 :]
        self.sent.append(json.loads(data))
        self.on_sent(data)

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))
        self.on_closed()

    def wait_below(self, nbytes: int, timeout: float) -> bool:
        return True


class InProcessClient(SocketClient):
    """A client of a worker in this process. It can send text messages and nothing else."""

    def __init__(self, worker: Worker, *, answers_heartbeats: bool = True) -> None:
        self._prepare(answers_heartbeats=answers_heartbeats)
        self._to_worker: Queue = Queue()
        self._from_worker: Queue = Queue()
        self._transport = RecordingTransport()
        self._transport.on_sent = self._from_worker.put
        self._transport.on_closed = lambda: self._from_worker.put(None)
        self._connection = worker._accept_peer(self._transport)  # type: ignore[arg-type]
        gevent.spawn(self._pass_on)

    def send_text(self, text: str) -> None:
        self._to_worker.put(text.encode())

    def send_raw(self, data: bytes, *, opcode: int = 1, fin: bool = True) -> None:
        raise NotImplementedError

    def close(self, code: int = 1000) -> None:
        self._end(code)

    def drop(self) -> None:
        self._end(None)

    def _read(self, seconds: float) -> bool:
        if seconds <= 0:
            return False
        try:
            data = self._from_worker.get(timeout=seconds)
        except Empty:
            return False
        if data is None:
            self.close_code, self.close_reason = self._transport.closed[0]
            self._end(self.close_code)
        else:
            self._take(data)
        return True

    def _pass_on(self) -> None:
        while not self._transport.closed:
            self._connection.received(self._to_worker.get())

    def _end(self, code: int | None) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._connection.closed(code, self.close_reason)


class InProcessNetwork(Network):
    """A network of one worker in this process."""

    def __init__(self, worker: Worker, factory: Factory, environment: dict[str, str]) -> None:
        super().__init__([], factory, environment)
        self._worker = worker

    @property
    def is_one(self) -> bool:
        return True

    def game(self, prefix: str = "G", **fields: Any) -> Peer:
        peer = super().game(prefix, **fields)
        self._worker.parts.feed.wake()  # no signal reaches the worker
        return peer

    def open(self, *, worker: int | None = None, **options: Any) -> SocketClient:
        client = InProcessClient(self._worker, **options)
        self._opened.append(client)
        return client

    @contextmanager
    def _until_every_worker_knows(self, peer: Peer, players: list[str]) -> Iterator[None]:
        yield  # the only worker has answered, so it knows

    def _wait(self, event: str, peer: Peer, accepts: Callable[[Frame], Any]) -> None:
        probe = self.join(self.game("Probe", is_displayed=False))
        wait_until(
            lambda: accepts(probe.request(event, {"game": peer.short_name})["payload"]),
            what=f"{event} of {peer.short_name}",
        )


@contextmanager
def network_in_process(folder: Path, migrated: Path, **settings: str) -> Iterator[InProcessNetwork]:
    """Run a worker with a new database in this process. Its greenlets end with the block."""
    shutil.copyfile(migrated, folder / "gossip.db")
    environment = {
        "DATABASE_URL": f"sqlite:///{folder}/gossip.db",
        "REDIS_URL": NO_REDIS,
        "INSTANCE_PATH": str(folder),
        "RATE_LIMITS": "off",
        "SECRET_KEY": SECRET_KEY,
        **settings,
    }
    worker = Worker(Settings.from_environment(environment))
    with pytest.MonkeyPatch.context() as patch, ending_greenlets(patch):
        patch.setattr(Signals, "start", lambda self: None)  # without gevent's patches, Redis would block all greenlets
        patch.setattr(Presence, "wait_until_ready", lambda self: True)
        patch.setattr(SocketServer, "start", lambda self: None)
        worker.start()
        network = InProcessNetwork(worker, Factory(db.transaction), environment)
        yield network
        network.close_sockets()
