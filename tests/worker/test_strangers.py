"""Clients that have not authenticated cannot keep others out."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from shared.client_addresses import TrustedProxies, parse_networks
from tests.support.client import Closed
from tests.support.waiting import wait_until
from tests.worker.wire_host import CLOSE, DEADLINE, HANDSHAKE, PING, PONG, TEXT, Client, Host, frame, own_host
from worker.wire.newcomers import Newcomers

__all__ = ["own_host"]
REFUSED = b"HTTP/1.1 429 Too Many Requests"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def knock(stack: ExitStack, host: Host, data: bytes = b"", *, source: str = "127.0.0.1") -> socket.socket:
    """Open a TCP connection from a source address, and send the data."""
    sock = stack.enter_context(
        socket.create_connection(("127.0.0.1", host.port), timeout=DEADLINE, source_address=(source, 0))
    )
    sock.sendall(data)
    return sock


def was_refused(sock: socket.socket) -> bool:
    try:
        return sock.recv(len(REFUSED)) == REFUSED
    except ConnectionResetError:
        return True


# One address


@pytest.mark.parametrize("data", [b"", HANDSHAKE.encode()[:40], HANDSHAKE.encode()], ids=["silent", "half", "upgraded"])
def test_connections_per_address_are_limited(own_host: Callable[..., Host], stack: ExitStack, data: bytes) -> None:
    host = own_host("--strangers", "--per-address", "20", "--handshake-seconds", "60")
    socks = [knock(stack, host, data, source="127.0.0.2") for _ in range(20)]
    host.until(lambda stats: stats["newcomers"] == 21)
    assert was_refused(knock(stack, host, HANDSHAKE.encode(), source="127.0.0.2"))
    assert host.ask("echo", value=1) == {"echo": 1}, "another address is not affected"

    socks[0].close()
    host.until(lambda stats: stats["newcomers"] == 20)
    assert not was_refused(knock(stack, host, HANDSHAKE.encode(), source="127.0.0.2"))


def test_authenticated_connections_do_not_count(own_host: Callable[..., Host]) -> None:
    host = own_host("--per-address", "5")
    for _ in range(20):
        host.client()
    assert host.ask("echo", value=1) == {"echo": 1}


def test_addresses_behind_a_proxy_count_and_the_proxy_does_not() -> None:
    newcomers = Newcomers(per_address=2, proxies=TrustedProxies(parse_networks("10.0.0.0/8")))
    for number in range(5):
        assert newcomers.add(number, "10.0.0.1", lambda: None)
    assert [newcomers.add(number, f"2001:db8:1:2::{number}", lambda: None) for number in range(3)] == [
        True,
        True,
        False,
    ]
    assert newcomers.add(2, "2001:db8:1:3::1", lambda: None)
    newcomers.remove(0)
    assert newcomers.add(3, "2001:db8:1:2::3", lambda: None)
    for number in range(5):
        newcomers.remove(number)
    assert len(newcomers) == 0 and not newcomers._by_address


# Descriptors


def test_the_oldest_strangers_are_dropped_when_descriptors_run_short(
    own_host: Callable[..., Host], stack: ExitStack
) -> None:
    host = own_host("--strangers", "--descriptors", "160")
    first = [host.client() for _ in range(20)]
    for number in range(200):
        knock(stack, host, HANDSHAKE.encode(), source=f"127.0.1.{number + 1}")
    assert host.ask("echo", value=1) == {"echo": 1}
    first[0].assert_ended()
    assert host.stop().count("file descriptors run short") == 1


def test_authenticated_connections_stay_when_descriptors_run_short(
    own_host: Callable[..., Host], stack: ExitStack
) -> None:
    host = own_host("--descriptors", "160")
    games = [host.client() for _ in range(96)]

    def is_served() -> bool:
        try:
            return knock(stack, host, HANDSHAKE.encode()).recv(12) == b"HTTP/1.1 101"
        except ConnectionError:
            return False

    assert not is_served()
    for game in (games[0], games[-1]):
        game.send(frame(PING, b"here"))
        assert game.receive() == (PONG, b"here")
    games[0].close()
    wait_until(is_served, what="there is room again")


def test_running_out_of_descriptors_logs_one_line(own_host: Callable[..., Host], stack: ExitStack) -> None:
    host = own_host("--strangers", "--descriptors", "160")
    host.ask("hog", seconds=1.5)
    descriptors = f"/proc/{host.process.pid}/fd"
    wait_until(lambda: len(os.listdir(descriptors)) >= 160, what="all descriptors are in use")
    waiting = [knock(stack, host, HANDSHAKE.encode()) for _ in range(10)]
    for sock in waiting:
        assert sock.recv(12) == b"HTTP/1.1 101", "it is served once there are descriptors"
    errors = host.stop()
    assert errors.count("no file descriptors are left") == 1 and errors.count("\n") == 1, errors


# Handshakes from many addresses


def test_silent_connections_from_everywhere_delay_a_game_by_seconds_at_most(
    own_host: Callable[..., Host], stack: ExitStack
) -> None:
    host = own_host("--strangers", "--max-handshakes", "50", "--handshake-seconds", "20")
    for number in range(80):
        knock(stack, host, source=f"127.0.2.{number + 1}")
    started_at = time.monotonic()
    assert host.ask("echo", value=1) == {"echo": 1}
    assert time.monotonic() - started_at < 8


# Messages


@pytest.mark.parametrize("pieces", [1, 4])
def test_only_small_messages_are_accepted_before_authentication(own_host: Callable[..., Host], pieces: int) -> None:
    host = own_host("--strangers")
    text = b'{"do": "size", "text": "%b"}'
    small = text % (b"x" * (16 * 1024 - len(text) + 2))
    client = host.client()
    client.send(frame(TEXT, small))
    assert client.receive_json() == {"size": 16 * 1024 - len(text) + 2}

    large = text % (b"x" * 16 * 1024)
    size = len(large) // pieces + 1
    parts = [large[start : start + size] for start in range(0, len(large), size)]
    for number, part in enumerate(parts):
        client.send(frame(0 if number else TEXT, part, fin=number == len(parts) - 1))
    opcode, payload = client.receive()
    assert (opcode, payload[:2]) == (CLOSE, (1009).to_bytes(2, "big"))
    assert payload[2:] == b"a message may have at most 16384 bytes in 64 fragments, before authentication"


def test_incomplete_messages_use_little_memory_and_release_it(own_host: Callable[..., Host]) -> None:
    host = own_host("--strangers", "--descriptors", "1000")
    before = host.ask("stats")["rss"]
    head = bytes([0x80 | TEXT, 0x80 | 126]) + struct.pack("!H", 16 * 1024) + b"\1\2\3\4"
    clients = [Client(host.port) for _ in range(900)]
    for client in clients:
        client.send(head + b"x" * (16 * 1024 - 1))
    held = host.ask("stats")["rss"]
    for client in clients:
        client.close()
    assert held - before < 40_000, "in KiB"
    host.until(lambda stats: stats["newcomers"] == 1 and stats["rss"] - before < 6_000)


def test_pings_count_as_events(start_worker: Callable[..., object], connect: Callable[..., object], stored) -> None:
    worker = start_worker(RATE_LIMITS="on", LIMITS="events:socket=20/0.1")
    client = connect(worker.url)
    for _ in range(60):
        client.send_raw(b"", opcode=PING)
    client.send("channels/subscribe", {"channel": "x"}, ref="1")
    try:
        answer = client.wait_for("channels/subscribe", ref="1")
    except Closed:
        return
    assert answer["code"] == "rate-limited"
