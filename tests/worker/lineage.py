"""Workers that new processes take over from."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import SocketClient
from tests.support.servers import RunningWorker

pytestmark = pytest.mark.timeout(120)

ALL_FLAGS = ["channels", "players", "tells", "games"]
HANDSHAKE = (
    b"GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ORIGIN = "http://chat.example.com"


class Lineage:
    """One worker, whatever process runs it."""

    def __init__(self, environment: dict[str, str], constants: dict[str, float] | None = None) -> None:
        self.environment = environment
        self.constants = constants
        self.processes = [RunningWorker(environment, constants)]
        self.running.wait_until_ready()

    @property
    def running(self) -> RunningWorker:
        return self.processes[-1]

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def instance_path(self) -> Path:
        return Path(self.environment["INSTANCE_PATH"])

    def take_over(self, *, waits: bool = True) -> None:
        """Start a new process. waits: until the old one has ended, or else only until the new one serves."""
        old = self.running
        new = RunningWorker(self.environment, self.constants, takeover=old.pid)
        self.processes.append(new)
        new.wait_until_ready()
        if waits:
            assert old.wait() == 0, old.output

    def close(self) -> None:
        for process in self.processes:
            process.kill()


@pytest.fixture
def lineage(processes: None, environment: dict[str, str], stored: Any) -> Iterator[Callable[..., Lineage]]:
    """Start workers that will be taken over: lineage(HEARTBEAT_SECONDS="0.2")."""
    started: list[Lineage] = []

    def start(constants: dict[str, float] | None = None, **settings: str) -> Lineage:
        one = Lineage({**environment, **settings}, constants)
        started.append(one)
        return one

    yield start
    for one in started:
        output = "\n".join(process.output for process in one.processes)
        one.close()
        assert "Traceback" not in output, output


@pytest.fixture
def join(stored: Any) -> Iterator[Callable[..., SocketClient]]:
    """Open authenticated sockets of new games."""
    opened: list[SocketClient] = []

    def open_socket(url: str, *, credentials: Any = None, **payload: Any) -> SocketClient:
        if credentials is None:
            _, credentials = stored.game_with_credentials()
        client = SocketClient(url)
        opened.append(client)
        payload = {"supports": ALL_FLAGS, "channels": ["gossip"], **payload}
        client.authenticate(credentials.client_id, credentials.client_secret, **payload)
        return client

    yield open_socket
    for client in opened:
        client.drop()


def say(client: SocketClient, text: str, name: str = "Alice") -> None:
    answer = client.request("channels/send", {"channel": "gossip", "name": name, "message": text})
    assert answer["status"] == "success", answer


def lines(client: SocketClient) -> list[str]:
    return [frame["payload"]["message"] for frame in client.events("channels/broadcast")]


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    assert len(payload) < 126
    return bytes([(0x80 if fin else 0) | opcode, 0x80 | len(payload)]) + b"\0\0\0\0" + payload


def long_frame(payload: bytes) -> bytes:
    return bytes([0x81, 0x80 | 126]) + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload


def read_frames(sock: socket.socket, *, seconds: float = 20.0) -> Iterator[bytes]:
    """Yield the payloads of the worker's frames."""
    sock.settimeout(seconds)
    file = sock.makefile("rb")
    while head := file.read(2):
        length = head[1]
        if length == 126:
            length = int.from_bytes(file.read(2), "big")
        elif length == 127:
            length = int.from_bytes(file.read(8), "big")
        yield file.read(length)
