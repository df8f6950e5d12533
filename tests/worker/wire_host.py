"""A process with the wire alone, and plain sockets that talk to it (`socket_host.py`)."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 20
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = base64.b64encode(b"0123456789abcdef").decode()
HANDSHAKE = (
    "GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True, rsv: int = 0) -> bytes:
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    flag = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([flag | len(payload)])
    elif len(payload) < 65536:
        head += struct.pack("!BH", flag | 126, len(payload))
    else:
        head += struct.pack("!BQ", flag | 127, len(payload))
    return head + b"\1\2\3\4" + bytes(b ^ (i % 4 + 1) for i, b in enumerate(payload)) if mask else head + payload


def ask(do: str, **arguments: Any) -> bytes:
    return frame(TEXT, json.dumps({"do": do} | arguments).encode())


class Client:
    """A plain socket that has completed the handshake."""

    def __init__(self, port: int, early: bytes = b"", receive_buffer: int | None = None) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(DEADLINE)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(("127.0.0.1", port))
        self.sock.sendall(HANDSHAKE.encode() + early)
        self.file = self.sock.makefile("rb")
        self.head = b"".join(iter(self.file.readline, b"\r\n"))
        assert self.head.startswith(b"HTTP/1.1 101 "), self.head

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self) -> tuple[int, bytes]:
        head = self.file.read(2)
        if len(head) < 2:
            raise EOFError
        assert head[0] & 0xF0 == 0x80, "whole frames only, no reserved bits"
        length = head[1]
        assert length < 128, "a server does not mask"
        if length == 126:
            (length,) = struct.unpack("!H", self.file.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.file.read(8))
        return head[0] & 15, self.file.read(length)

    def receive_json(self) -> Any:
        opcode, payload = self.receive()
        assert opcode == TEXT, (opcode, payload)
        return json.loads(payload)

    def close_code(self) -> int | None:
        """Read up to the close frame, and return its code, or None if it has none."""
        while True:
            opcode, payload = self.receive()
            if opcode == CLOSE:
                if not payload:
                    return None
                assert payload[2:].decode() or payload[:2] == b"\x03\xe8"
                return int.from_bytes(payload[:2], "big")

    def assert_ended(self) -> None:
        assert self.file.read(1) == b""

    def close(self) -> None:
        self.file.close()
        self.sock.close()


class Host:
    def __init__(self, *arguments: str, **limits: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.worker.socket_host", "--limits", json.dumps(limits), *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.clients: list[Client] = []

    def client(self, early: bytes = b"", receive_buffer: int | None = None) -> Client:
        client = Client(self.port, early, receive_buffer)
        self.clients.append(client)
        return client

    def ask(self, do: str, **arguments: Any) -> Any:
        client = Client(self.port)
        try:
            client.send(ask(do, **arguments))
            return client.receive_json()
        finally:
            client.close()

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Request the host's statistics until the condition holds, and return them."""
        end = time.monotonic() + DEADLINE
        while True:
            stats: dict[str, Any] = self.ask("stats")
            if holds(stats):
                return stats
            assert time.monotonic() < end, stats

    def was_closed(self, code: int | None, reason: str | None = None) -> None:
        self.until(lambda stats: any(c == code and reason in (None, r) for c, r, _ in stats["closings"]))

    def stop(self) -> str:
        for client in self.clients:
            client.close()
        self.process.terminate()
        return self.process.communicate()[1]


@pytest.fixture(scope="module")
def shared_host(processes: None) -> Iterator[Host]:
    host = Host()
    yield host
    errors = host.stop()
    assert errors.count("Traceback") == errors.count("asked to fail") // 2, errors


@pytest.fixture
def host(shared_host: Host) -> Iterator[Host]:
    yield shared_host
    for client in shared_host.clients:
        client.close()
    shared_host.clients.clear()


@pytest.fixture
def own_host(processes: None) -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []

    def start(*arguments: str, **limits: Any) -> Host:
        hosts.append(Host(*arguments, **limits))
        return hosts[-1]

    yield start
    for host in hosts:
        errors = host.stop()
        assert "Traceback" not in errors, errors
