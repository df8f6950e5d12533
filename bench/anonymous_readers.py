"""Measure what visitors who read the chat live cost a worker.

    python -m bench.anonymous_readers [--readers 1000] [--lines 500] [--per-second 25]

Each reader is a socket that watches the same channel. A game sends lines at a steady rate. Prints one JSON object: the
worker's memory for each reader, its CPU seconds for a million deliveries, and how long lines took until each reader had
them. `missing` must be 0.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import time
from typing import Any

from bench.machine import cpu_seconds, pin, quantile, resident_kib
from bench.stack import Stack
from tests.support.client import SocketClient

ORIGIN = "http://bench.example.com"
SETTLE_SECONDS = 2.0


class Readers:
    """The sockets of visitors' pages. One loop reads them all, and only looks for the marks of lines."""

    def __init__(self, port: int, count: int, channel: str) -> None:
        self.sockets = [_open(port, channel, number) for number in range(count)]
        self.poll = select.epoll()
        self.by_fd = {one.fileno(): one for one in self.sockets}
        for fd in self.by_fd:
            self.poll.register(fd, select.EPOLLIN)
        self.received = 0
        self.delays: list[float] = []

    def read(self, seconds: float, sent_at: dict[bytes, float]) -> None:
        """Read for some time. Count lines, and note how long each took."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for fd, _ in self.poll.poll(left):
                data = self.by_fd[fd].recv(262_144)
                now = time.monotonic()
                for mark in data.split(b"line-")[1:]:
                    self.received += 1
                    self.delays.append(now - sent_at[mark[:6]])


def _open(port: int, channel: str, number: int) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port))
    # Readers come from many addresses; the benchmark's proxy header says so.
    one.sendall(
        f"GET /chat-socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: {ORIGIN}\r\n"
        f"X-Forwarded-For: 10.{number // 250}.{number % 250}.1\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    one.recv(4096)
    text = json.dumps({"event": "channels/watch", "ref": 1, "payload": {"channels": [channel]}}).encode()
    one.sendall(b"\x81" + bytes([0x80 | len(text)]) + b"\0\0\0\0" + text)
    while b"success" not in one.recv(4096):
        pass
    return one


def measure(readers: int, lines: int, per_second: float) -> dict[str, Any]:
    """Run the benchmark and return its figures."""
    with Stack(
        PUBLIC_URL=ORIGIN,
        SOCKET_URL="wss://bench.example.com/socket",
        TRUSTED_PROXIES="127.0.0.1",
        HEARTBEAT_SECONDS="3600",  # heartbeats would blur the figures of lines
    ) as stack:
        stack.flask("channel", "create", "bench")
        credentials = stack.games(1)[0]
        worker = stack.worker(cpu=0)
        pin([os.getpid()], 1)
        sender = SocketClient(worker.url)
        sender.authenticate(credentials["client_id"], credentials["client_secret"], channels=["bench"])
        before = resident_kib(worker.pid)
        opened_at = time.monotonic()
        visitors = Readers(worker.port, readers, "bench")
        connecting = time.monotonic() - opened_at
        memory = resident_kib(worker.pid) - before
        sent_at: dict[bytes, float] = {}
        cpu = cpu_seconds([worker.pid])
        for number in range(lines):
            mark = f"{number:06}"
            sent_at[mark.encode()] = time.monotonic()
            sender.send(
                "channels/send", {"channel": "bench", "name": "Ash", "message": f"line-{mark} of the benchmark"}
            )
            visitors.read(1 / per_second, sent_at)
        visitors.read(SETTLE_SECONDS, sent_at)
        cpu = cpu_seconds([worker.pid]) - cpu
        deliveries = readers * lines
        return {
            "readers": readers,
            "lines": lines,
            "connects_per_s": round(readers / connecting),
            "kib_per_reader": round(memory / readers, 1),
            "cpu_s_per_million_deliveries": round(cpu / deliveries * 1e6, 2),
            "cpu_share": round(cpu / (lines / per_second + SETTLE_SECONDS), 3),
            "delay_ms": {
                name: round(1000 * quantile(visitors.delays, share), 1) for name, share in (("p50", 0.5), ("p99", 0.99))
            },
            "missing": deliveries - visitors.received,
        }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--per-second", type=float, default=25)
    options = parser.parse_args()
    print(json.dumps(measure(options.readers, options.lines, options.per_second)))


if __name__ == "__main__":
    main()
