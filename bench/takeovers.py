"""Take over a worker ten times in a row while a thousand games chat, and check what each of them receives.

    python -m bench.takeovers [--games 1000] [--lines 20] [--takeovers 10] [--database postgresql://…]

Each game has one socket and numbers its lines. Each socket must receive every acknowledged line of every other game
once, each game's lines in order, and must stay open. The checker knows only what the sockets send and receive.

Prints one JSON object for each takeover and one at the end. `silent_ms` is how long the old process says that nothing
was read; `longest_gap_ms` is the longest time in which a socket received nothing, and `longest_answer_ms` the longest
time until a line was acknowledged, both over the whole run.
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import socket
import struct
import sys
import threading
import time
from array import array
from typing import Any

from bench.machine import resident_kib
from bench.stack import Stack

HANDSHAKE = (
    b"GET /socket HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CHANNEL = "gossip"
SETTLE_SECONDS = 2.0
LATE_SECONDS = 30.0
FAULTS = ("not_acknowledged", "lost", "doubled", "reordered", "closed", "games_disconnect", "failures")
_LINE = re.compile(rb'"message":"line (\d+) of (\d+)')


class Tally:
    """The lines that one socket has received, by sender.

    Attributes:
        doubled: How many arrived again.
        reordered: How many arrived after a later one of the same sender.
    """

    def __init__(self, senders: int) -> None:
        self.doubled = 0
        self.reordered = 0
        self._next = array("l", bytes(senders * array("l").itemsize))
        self._missing: set[tuple[int, int]] = set()

    def receive(self, sender: int, number: int) -> None:
        """Count a line. Each sender numbers its lines from 0."""
        expected = self._next[sender]
        if number == expected:
            self._next[sender] = number + 1
        elif number > expected:
            self._missing.update((sender, skipped) for skipped in range(expected, number))
            self._next[sender] = number + 1
        elif (sender, number) in self._missing:
            self._missing.remove((sender, number))
            self.reordered += 1
        else:
            self.doubled += 1

    def lost(self, acknowledged: dict[int, int]) -> int:
        """Return how many lines are missing. acknowledged: how many lines each of the other senders has sent."""
        behind = (max(0, count - self._next[sender]) for sender, count in acknowledged.items())
        return len(self._missing) + sum(behind)


class Seat:
    """One game's socket."""

    def __init__(self, number: int, games: int, port: int, credentials: dict[str, str]) -> None:
        self.number = number
        self.tally = Tally(games)
        self.sent = 0
        self.acknowledged = 0
        self.answers = 0
        self.sent_at = 0.0
        self.longest_answer = 0.0
        self.longest_gap = 0.0
        self.received_at = 0.0
        self.notices = 0
        self.heartbeats = 0
        self.failures: list[str] = []
        self.is_closed = False
        self._buffer = bytearray()
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(HANDSHAKE)
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.sock.recv(4096)
        self._buffer += head.partition(b"\r\n\r\n")[2]
        self.send(
            "authenticate",
            {
                "client_id": credentials["client_id"],
                "client_secret": credentials["client_secret"],
                "supports": ["channels", "games"],
                "channels": [CHANNEL],
            },
        )
        while not self.answers:
            self.read()
        self.longest_gap = 0.0

    def send(self, event: str, payload: Any = None) -> None:
        """Send a frame."""
        data = json.dumps({"event": event, "ref": "r", "payload": payload}).encode()
        head = bytes([0x81, 0x80 | len(data)]) if len(data) < 126 else struct.pack("!BBH", 0x81, 254, len(data))
        self.sock.sendall(head + b"\0\0\0\0" + data)

    def say(self) -> None:
        """Send the next line."""
        text = f"line {self.sent} of {self.number}"
        self.send("channels/send", {"channel": CHANNEL, "name": f"Player{self.number}", "message": text})
        self.sent_at = time.monotonic()
        self.sent += 1

    def read(self) -> None:
        """Read what has arrived, and count it."""
        try:
            data = self.sock.recv(262_144)
        except OSError as error:
            self.failures.append(str(error))
            data = b""
        if not data:
            self.is_closed = True
            return
        now = time.monotonic()
        if self.received_at:
            self.longest_gap = max(self.longest_gap, now - self.received_at)
        self.received_at = now
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 2:
            start, size = at + 2, buffer[at + 1]
            if size == 126:
                start, size = at + 4, int.from_bytes(buffer[at + 2 : at + 4], "big")
            elif size == 127:
                start, size = at + 10, int.from_bytes(buffer[at + 2 : at + 10], "big")
            if len(buffer) < start + size:
                break
            self._take(buffer[at], bytes(buffer[start : start + size]), now)
            at = start + size
        del buffer[:at]

    def _take(self, head: int, payload: bytes, now: float) -> None:
        if head != 0x81:
            self.failures.append(f"a frame of kind {head:#x}: {payload[:100]!r}")
        elif (line := _LINE.search(payload)) is not None:
            self.tally.receive(int(line[2]), int(line[1]))
        elif b'"event":"heartbeat"' in payload:
            self.heartbeats += 1
            self.send("heartbeat")
        elif b'"event":"channels/send"' in payload:
            self.longest_answer = max(self.longest_answer, now - self.sent_at)
            self.acknowledged += 1
            if b'"status":"success"' not in payload:
                self.failures.append(payload[:200].decode())
        elif b'"event":"games/' in payload:
            self.notices += b"disconnect" in payload
        elif b'"event":"authenticate"' in payload:
            self.answers += 1
            if b'"status":"success"' not in payload:
                self.failures.append(payload[:200].decode())
        else:
            self.failures.append(payload[:200].decode())


class Crowd:
    """Games that take turns to say a line each. They run in a thread."""

    def __init__(self, port: int, credentials: list[dict[str, str]], *, lines_per_second: float) -> None:
        self.seats = [Seat(number, len(credentials), port, each) for number, each in enumerate(credentials)]
        self._seconds_per_line = 1 / lines_per_second
        self._is_ending = False
        self._selector = selectors.DefaultSelector()
        for seat in self.seats:
            self._selector.register(seat.sock, selectors.EVENT_READ, seat)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to chat."""
        for seat in self.seats:
            seat.received_at = 0.0  # the first games have waited for the last to connect
        self._thread.start()

    def stop(self) -> dict[str, Any]:
        """Say nothing more, wait until everything has arrived, and return the verdict."""
        self._is_ending = True
        self._thread.join()
        for seat in self.seats:
            seat.sock.close()
        return self.verdict()

    def verdict(self) -> dict[str, Any]:
        """Return what the checker has found."""
        acknowledged = {seat.number: seat.acknowledged for seat in self.seats}
        others = {seat: {n: count for n, count in acknowledged.items() if n != seat.number} for seat in self.seats}
        failures = [failure for seat in self.seats for failure in seat.failures]
        return {
            "games": len(self.seats),
            "lines": sum(acknowledged.values()),
            "not_acknowledged": sum(seat.sent - seat.acknowledged for seat in self.seats),
            "lost": sum(seat.tally.lost(others[seat]) for seat in self.seats),
            "doubled": sum(seat.tally.doubled for seat in self.seats),
            "reordered": sum(seat.tally.reordered for seat in self.seats),
            "closed": sum(seat.is_closed for seat in self.seats),
            "games_disconnect": sum(seat.notices for seat in self.seats),
            "heartbeats": sum(seat.heartbeats for seat in self.seats),
            "failures": len(failures),
            "first_failures": failures[:3],
            "longest_gap_ms": round(1000 * max(seat.longest_gap for seat in self.seats)),
            "longest_answer_ms": round(1000 * max(seat.longest_answer for seat in self.seats)),
        }

    def _run(self) -> None:
        turn, due, deadline = 0, time.monotonic(), 0.0
        while True:
            now = time.monotonic()
            if self._is_ending:
                deadline = deadline or now + LATE_SECONDS
                if now > deadline or self._is_complete():
                    return
            elif now >= due:
                due += self._seconds_per_line
                self.seats[turn % len(self.seats)].say()
                turn += 1
            for key, _ in self._selector.select(min(max(due - now, 0.0), 0.05)):
                seat: Seat = key.data
                seat.read()
                if seat.is_closed:
                    self._selector.unregister(seat.sock)

    def _is_complete(self) -> bool:
        verdict = self.verdict()
        return not (verdict["not_acknowledged"] or verdict["lost"])


def run(games: int, lines: float, takeovers: int, database: str) -> bool:
    """Run the benchmark. Return whether the checker has found nothing."""
    with Stack(database, OFFLINE_SECONDS="1") as stack:
        credentials = stack.games(games)
        worker = stack.worker()
        crowd = Crowd(worker.port, credentials, lines_per_second=lines)
        crowd.start()
        time.sleep(SETTLE_SECONDS)
        first_kib = resident_kib(worker.pid)
        for number in range(takeovers):
            began_at = time.monotonic()
            old, worker = worker, stack.take_over(worker)
            seconds = round(time.monotonic() - began_at, 2)
            report = old.wait_for_event("given away")
            time.sleep(SETTLE_SECONDS)
            mib = round(resident_kib(worker.pid) / 1024)
            figures = {"sockets": report["sockets"], "silent_ms": report["silent_ms"], "seconds": seconds}
            print(json.dumps({"takeover": number + 1, **figures, "mib": mib}), flush=True)
        last_kib = resident_kib(worker.pid)
        verdict = crowd.stop()
        memory = {"first_mib": round(first_kib / 1024), "last_mib": round(last_kib / 1024)}
        print(json.dumps(verdict | memory), flush=True)
    return not any(verdict[name] for name in FAULTS)


def main() -> int:
    """Return the exit status: 1 if the checker has found a fault."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--games", type=int, default=1000)
    parser.add_argument("--lines", type=float, default=20.0, help="a second, by all games together")
    parser.add_argument("--takeovers", type=int, default=10)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    return 0 if run(options.games, options.lines, options.takeovers, options.database) else 1


if __name__ == "__main__":
    sys.exit(main())
