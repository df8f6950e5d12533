"""The transport from the view of clients: limits and close codes, the handshake, and the end of connections.

The server runs in another process (socket_host.py). The clients are websocket-client and plain sockets, which share no
code with the server.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

from worker.wire.reader import Limits, Reader

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


LIMIT = 65_536


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(TEXT, b"x" * (LIMIT + 1)), 1009, id="one frame, too large"),
        pytest.param(frame(TEXT, b"x" * (LIMIT + 1000)), 1009, id="one frame, far too large"),
        pytest.param(frame(TEXT, b"x" * 40_000, fin=False) + frame(0, b"x" * 25_537), 1009, id="fragments, too large"),
        pytest.param(
            frame(TEXT, b"x" * 40_000, fin=False) + frame(0, b"x" * 40_000, fin=False),
            1009,
            id="too large, unfinished",
        ),
        pytest.param(b"\x81\xff" + struct.pack("!Q", 1 << 30) + b"\1\2\3\4", 1009, id="announced 1 GiB"),
        pytest.param(b"\x81\xff" + struct.pack("!Q", 1 << 63) + b"\1\2\3\4", 1009, id="announced 8 EiB"),
        pytest.param(frame(TEXT, b"x", fin=False) + frame(0, b"x", fin=False) * 64, 1009, id="65 fragments"),
        pytest.param(frame(TEXT, b"", fin=False) + frame(0, b"", fin=False) * 64, 1009, id="65 empty fragments"),
        pytest.param(frame(BINARY, b"{}"), 1003, id="binary"),
        pytest.param(frame(BINARY, b"{", fin=False) + frame(0, b"}"), 1003, id="binary fragments"),
        pytest.param(frame(TEXT, b'"\xff"'), 1007, id="not UTF-8"),
        pytest.param(frame(TEXT, b'"\xed\xa0\x80"'), 1007, id="a surrogate"),
        pytest.param(frame(TEXT, b'"\xc3', fin=False) + frame(0, b'"'), 1007, id="not UTF-8 over fragments"),
        pytest.param(frame(TEXT, b"\xe2\x82"), 1007, id="a character cut off"),
        pytest.param(frame(TEXT, b"{}", mask=False), 1002, id="unmasked"),
        pytest.param(frame(TEXT, b"{}", rsv=4), 1002, id="a reserved bit"),
        pytest.param(frame(3), 1002, id="a reserved opcode"),
        pytest.param(frame(11), 1002, id="a reserved control opcode"),
        pytest.param(frame(0, b"x"), 1002, id="a continuation without a message"),
        pytest.param(frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002, id="a message within a message"),
        pytest.param(frame(PING, b"x" * 126), 1002, id="a ping that is too long"),
        pytest.param(frame(PING, b"x", fin=False), 1002, id="a fragmented ping"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="half a close code"),
        pytest.param(frame(CLOSE, b"\x03\xed"), 1002, id="a close code that must not be sent"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 1007, id="a close reason that is not UTF-8"),
        pytest.param(ask("fail"), 1011, id="the handler fails"),
    ],
)
def test_protocol_errors_close_with_a_code_and_a_reason(host: Host, data: bytes, code: int) -> None:
    client = host.client()
    client.send(data)
    assert client.close_code() == code
    client.send(frame(CLOSE, code.to_bytes(2, "big")))
    client.assert_ended()
    host.was_closed(code)


def test_a_close_code_arrives_while_the_client_floods(host: Host) -> None:
    """The close frame arrives before any reset, however much unread data the client has sent."""
    client = host.client()

    def flood() -> None:
        try:
            client.send(b"\x81\xff" + struct.pack("!Q", 1 << 30) + b"\1\2\3\4")
            for _ in range(500):
                client.send(b"x" * 65_536)
        except OSError:
            pass

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        assert client.close_code() == 1009
        client.assert_ended()
    finally:
        client.sock.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert host.ask("stats")["rss"] < 100_000, "nothing of it was kept"


def test_the_servers_close_arrives_while_the_client_floods(host: Host) -> None:
    client = host.client()
    message = ask("echo", value="x" * 1000)
    client.send(message * 100 + ask("close", code=4003) + message * 1000)
    assert client.close_code() == 4003


def test_messages_at_the_limits_are_accepted(host: Host) -> None:
    """Exactly 64 KiB, in one frame and in 64 fragments with pings between. A fragment may also split a character."""
    empty = len(json.dumps({"do": "size", "text": ""}))
    whole = json.dumps({"do": "size", "text": "x" * (LIMIT - empty)}).encode()
    assert len(whole) == LIMIT
    client = host.client()
    client.send(frame(TEXT, whole))
    assert client.receive_json() == {"size": LIMIT - empty}

    step = LIMIT // 63
    parts = [whole[i : i + step] for i in range(0, LIMIT, step)]
    assert len(parts) == 64
    for number, part in enumerate(parts):
        client.send(frame(0 if number else TEXT, part, fin=number == 63))
        if number < 63:
            client.send(frame(PING, b"between" * 10))
    answers = [client.receive() for _ in range(64)]
    assert answers == [(PONG, b"between" * 10)] * 63 + [
        (TEXT, json.dumps({"size": LIMIT - empty}).replace(" ", "").encode())
    ]

    text = json.dumps({"do": "echo", "value": "€ 🐉"}, ensure_ascii=False).encode()
    for cut in range(1, len(text)):
        client.send(frame(TEXT, text[:cut], fin=False) + frame(0, text[cut:]))
        assert client.receive_json() == {"echo": "€ 🐉"}


def test_frames_may_arrive_in_pieces(host: Host) -> None:
    client = host.client()
    for byte in ask("echo", value="slowly"):
        client.send(bytes([byte]))
    assert client.receive_json() == {"echo": "slowly"}


def test_messages_are_handled_in_order_and_one_at_a_time(host: Host) -> None:
    client = host.client()
    client.send(ask("block", seconds=0.2) + b"".join(ask("echo", value=i) for i in range(500)))
    assert client.receive_json() == {"blocked": 0.2}
    assert [client.receive_json()["echo"] for _ in range(500)] == list(range(500))


def test_reading_pauses_while_messages_are_handled(host: Host) -> None:
    """Unread messages wait in the network, not in memory. All are handled later, and other sockets do not wait."""
    before = host.ask("stats")["rss"]
    client = host.client()
    messages = [ask("size", text="x" * 50_000)] * 400

    def flood() -> None:
        client.send(ask("block", seconds=1))
        for message in messages:
            client.send(message)

    thread = threading.Thread(target=flood)
    thread.start()
    assert client.receive_json() == {"blocked": 1}
    assert host.ask("stats")["rss"] - before < 8_000
    assert all(client.receive_json() == {"size": 50_000} for _ in messages)
    thread.join()


def test_pings_are_answered_with_their_payload(host: Host) -> None:
    client = host.client()
    for payload in (b"", b"x", bytes(range(125))):
        client.send(frame(PING, payload))
        assert client.receive() == (PONG, payload)
    client.send(frame(PONG, b"not asked for") + ask("echo", value=1))
    assert client.receive_json() == {"echo": 1}


def test_a_flood_of_pings_is_bounded(own_host: Callable[..., Host]) -> None:
    """A client that sends endless pings and reads no pongs is closed as too slow."""
    host = own_host(slow_seconds=0.3)
    client = host.client(receive_buffer=4096)
    pings = frame(PING, b"p" * 125) * 500
    with pytest.raises(OSError):
        for _ in range(1000):
            client.send(pings)
    host.was_closed(4002)
    assert host.ask("stats")["rss"] < 60_000


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xe9", b"\x0f\xa5custom"])
def test_a_clients_close_is_echoed(host: Host, payload: bytes) -> None:
    client = host.client()
    client.send(ask("echo", value="last") + frame(CLOSE, payload))
    assert client.receive_json() == {"echo": "last"}
    assert client.receive() == (CLOSE, payload)
    client.assert_ended()
    code = int.from_bytes(payload[:2], "big") if payload else 1005
    host.was_closed(code, payload[2:].decode())


def test_an_ordinary_client_closes_cleanly(host: Host) -> None:
    client = websocket.create_connection(f"ws://127.0.0.1:{host.port}/socket?x=1", timeout=DEADLINE)
    client.send(json.dumps({"do": "echo", "value": "ü" * 1000}))
    assert json.loads(client.recv()) == {"echo": "ü" * 1000}
    client.ping("hello")
    assert client.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"hello")
    client.send_close(4321, b"goodbye")
    assert client.recv_data() == (websocket.ABNF.OPCODE_CLOSE, b"\x10\xe1goodbye")
    client.shutdown()
    host.was_closed(4321, "goodbye")


def test_the_servers_close_frame_is_sent_last(host: Host) -> None:
    client = host.client()
    client.send(
        ask("join", topics=["t"]) + ask("broadcast", to="t", value=1) + ask("close", code=4001, reason="ü" * 100)
    )
    assert client.receive_json() == {"joined": ["t"]}
    assert client.receive_json()["value"] == 1
    assert client.receive_json() == {"last": True}
    opcode, payload = client.receive()
    assert (opcode, payload[:2]) == (CLOSE, b"\x0f\xa1")
    assert payload[2:].decode() == "ü" * 61, "a reason is cut to 123 bytes, at the end of a character"
    host.was_closed(4001)
    client.send(ask("broadcast", to="t", value=2) + frame(CLOSE, payload))
    client.assert_ended()


def test_a_client_that_does_not_answer_our_close_is_dropped(own_host: Callable[..., Host]) -> None:
    host = own_host(close_seconds=0.2)
    client = host.client()
    client.send(ask("close", code=4000))
    assert client.receive_json() == {"last": True}
    assert client.close_code() == 4000
    client.assert_ended()
    host.until(lambda stats: stats["connections"] == 1)


@pytest.mark.parametrize("how", ["fin", "half", "reset"])
def test_a_socket_that_vanishes_is_closed_without_a_code(own_host: Callable[..., Host], how: str) -> None:
    host = own_host()
    client = host.client()
    client.send(ask("join", topics=["t"], peer="gone") + ask("echo"))
    client.receive_json()
    client.receive_json()
    if how == "half":
        client.sock.shutdown(socket.SHUT_WR)
    else:
        if how == "reset":
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    stats = host.until(lambda stats: stats["connections"] == 1)
    assert stats["closings"].count([None, "", "gone"]) == 1


def test_short_lived_sockets_leave_nothing_behind(own_host: Callable[..., Host]) -> None:
    host = own_host()
    for _ in range(5):
        clients = [host.client(ask("join", topics=["t"]) + ask("broadcast", to="t", value=1)) for _ in range(100)]
        for number, client in enumerate(clients):
            if number % 3 == 0:
                client.send(frame(CLOSE, b"\x03\xe8"))
            client.close()
    stats = host.until(lambda stats: stats["connections"] == 1 and len(stats["closings"]) >= 500)
    assert stats["readers"] <= 64


@pytest.mark.skipif("COVERAGE_PROCESS_CONFIG" in os.environ, reason="measuring coverage takes memory too")
def test_an_idle_connection_uses_little_memory(own_host: Callable[..., Host]) -> None:
    """It uses less than 2 KiB, since an idle socket keeps no reader."""
    host = own_host()
    for _ in range(100):
        host.client(ask("join", topics=["t"])).receive()
    before = host.ask("stats")["rss"]
    for _ in range(1000):
        host.client(ask("join", topics=["t"])).receive()
    after = host.ask("stats")
    assert (after["rss"] - before) / 1000 < 2


def test_a_reader_is_returned_only_between_messages() -> None:
    """Also checks what is_at_boundary assumes about the library. If that changes, idle sockets need more memory."""
    reader = Reader(Limits())
    assert reader.is_at_boundary
    data = frame(TEXT, b"one", fin=False) + frame(PING, b"p") + frame(0, b"two")
    for byte in data[:-1]:
        reader.receive_data(bytes([byte]))
        for event in reader.events_received():
            if event.opcode in (0, TEXT):
                reader.take(event)
        assert not reader.is_at_boundary
    reader.receive_data(data[-1:])
    reader.take(reader.events_received()[0])
    assert list(reader.inbox) == [b"onetwo"]
    assert not reader.is_at_boundary
    reader.inbox.clear()
    assert reader.is_at_boundary


def test_a_client_that_never_reads_is_closed_without_slowing_others(own_host: Callable[..., Host]) -> None:
    host = own_host(slow_seconds=0.5)
    stalled = host.client(receive_buffer=4096)
    stalled.send(ask("join", topics=["t"], peer="stalled"))
    reader = host.client()
    reader.send(ask("join", topics=["t"]))
    assert reader.receive_json() == {"joined": ["t"]}
    sender = host.client()
    for _ in range(20):  # each batch fits into the reader's queue, even on a busy machine
        sender.send(ask("broadcast", to="t", value=0, times=500, pad=1000))
        assert [reader.receive_json()["number"] for _ in range(500)] == list(range(500))
    host.was_closed(4002)
    stats = host.until(lambda stats: stats["connections"] == 3)
    assert stats["queue_drops"] == 1
    assert stats["rss"] < 60_000
    with pytest.raises((EOFError, ConnectionResetError)):
        while True:
            stalled.receive()


def test_a_slow_client_that_reads_again_receives_the_close_code(own_host: Callable[..., Host]) -> None:
    host = own_host(slow_seconds=5)
    slow = host.client(receive_buffer=4096)
    slow.send(ask("join", topics=["t"], peer="slow"))
    sender = host.client()
    sender.send(ask("broadcast", to="t", value=0, times=10_000, pad=1000))
    host.was_closed(4002)
    assert slow.close_code() == 4002


def test_a_socket_that_accepts_no_data_is_dropped(own_host: Callable[..., Host]) -> None:
    host = own_host(stall_seconds=0.3, outbound_bytes=100_000_000)
    stalled = host.client(receive_buffer=4096)
    stalled.send(ask("burst", messages=1000, size=60_000, below=100_000_000))
    stats = host.until(lambda stats: stats["stall_drops"] == 1)
    assert [None, "", None] in stats["closings"]


def test_a_bulk_sender_paces_itself(own_host: Callable[..., Host]) -> None:
    """It sends far more than the limit to a slow client, and calls wait_below() in between."""
    host = own_host()
    client = host.client(receive_buffer=4096)
    client.send(ask("burst", messages=500, size=60_000, below=200_000))
    host.ask("echo")
    assert host.ask("stats")["rss"] < 60_000
    assert all(len(client.receive()[1]) == 60_000 for _ in range(500))
    assert client.receive_json() == {"burst": 500}


def test_sending_too_much_at_once_closes_the_socket(host: Host) -> None:
    client = host.client()
    client.send(ask("flood", messages=40, size=60_000))
    assert client.close_code() == 4002


def test_data_sent_with_the_handshake_is_not_lost(host: Host) -> None:
    for number in range(40):
        values = [f"{number}-{i}" * 5 for i in range(number)]
        client = host.client(early=b"".join(ask("echo", value=value) for value in values))
        client.send(ask("echo", value="end"))
        assert [client.receive_json()["echo"] for _ in range(number + 1)] == [*values, "end"]


def request(port: int, text: str | bytes, *, end: bool = False) -> tuple[int, str, str]:
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as sock:
        sock.sendall(text.encode("latin-1") if isinstance(text, str) else text)
        if end:
            sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as file:
            head, _, body = file.read().decode("latin-1").partition("\r\n\r\n")
    status = re.match(r"HTTP/1\.1 (\d+) ", head)
    assert status, head
    return int(status[1]), head, body


def without(name: str) -> str:
    return re.sub(rf"{name}: .*\r\n", "", HANDSHAKE)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (HANDSHAKE.replace(KEY, "short"), 400),
        (HANDSHAKE.replace(KEY, "!" * 24), 400),
        (HANDSHAKE.replace(KEY, "é" * 22 + "=="), 400),
        (HANDSHAKE.replace(KEY, KEY[:-2]), 400),
        (HANDSHAKE.replace(KEY, base64.b64encode(b"x" * 17).decode()), 400),
        (HANDSHAKE.replace(KEY, f"{KEY}, {KEY}"), 400),
        (HANDSHAKE.replace(KEY, KEY[:10] + "\t" + KEY[11:]), 400),
        (without("Sec-WebSocket-Key"), 400),
        (HANDSHAKE.replace(": 13", ": 8"), 426),
        (HANDSHAKE.replace(": 13", ": x"), 426),
        (without("Sec-WebSocket-Version"), 426),
        (without("Upgrade"), 426),
        (without("Connection"), 426),
        (HANDSHAKE.replace("keep-alive, Upgrade", "keep-alive"), 426),
        ("GET /socket HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0"), 400),
        (HANDSHAKE.replace("HTTP/1.1", "HTTP/2.0"), 400),
        (HANDSHAKE.replace("HTTP/1.1", "HTTP/1"), 400),
        (HANDSHAKE.replace("HTTP/1.1", "HTTP/x.y"), 400),
        (HANDSHAKE.replace("GET", "POST"), 405),
        (HANDSHAKE.replace("Host: x", "Content-Length: 5"), 400),
        (HANDSHAKE.replace("Host: x", "Content-Length: x"), 400),
        (HANDSHAKE.replace("Host: x", "Transfer-Encoding: chunked").replace("\r\n\r\n", "\r\n\r\n0\r\n\r\n"), 400),
        ("nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        ("GET /" + "x" * 10_000 + " HTTP/1.1\r\n\r\n", 414),
        (HANDSHAKE.replace("Host: x", "\r\n".join(f"X-{i}: y" for i in range(200))), 400),
        (HANDSHAKE.replace("Host: x", "X: " + "y" * 70_000), 400),
        (HANDSHAKE.replace("/socket", "/elsewhere"), 404),
        (HANDSHAKE.replace("/socket", "/socket/"), 404),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ],
)
def test_a_bad_handshake_gets_a_clean_answer(host: Host, text: str | bytes, status: int) -> None:
    code, head, body = request(host.port, text)
    assert code == status
    assert "sec-websocket-accept" not in head.lower()
    assert body or status == 414
    if status == 426:
        assert "\r\nSec-WebSocket-Version: 13" in head
    host.ask("echo")


@pytest.mark.parametrize(
    "change",
    [
        ("Host: x\r\n", ""),
        ("Host: x", "Host: other.example:99"),
        ("Host: x", "Origin: http://evil.example"),
        ("Host: x", "Origin: null"),
        ("Upgrade: WebSocket", "upgrade: WEBSOCKET"),
        ("keep-alive, Upgrade", "upgrade"),
        ("Host: x", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        ("Host: x", "Sec-WebSocket-Protocol: chat, gossip"),
        ("Host: x", "Content-Length: 0"),
        ("/socket", "/socket?token=1"),
        ("/socket", "/socket?"),
    ],
)
def test_other_headers_do_not_prevent_the_handshake(
    host: Host, change: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.HANDSHAKE", HANDSHAKE.replace(*change))
    client = host.client()
    assert b"\r\nSec-WebSocket-Accept: " in client.head
    assert b"Sec-WebSocket-Extensions" not in client.head
    assert b"Sec-WebSocket-Protocol" not in client.head
    client.send(ask("echo", value=1))
    assert client.receive_json() == {"echo": 1}


def test_health_and_metrics_are_served(host: Host) -> None:
    status, head, body = request(host.port, "GET /_health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert "\r\nConnection: close" in head
    assert request(host.port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")[2].startswith("deliveries ")
    assert request(host.port, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")[2] == ""


def test_slow_handshakes_are_dropped_and_their_number_is_limited(own_host: Callable[..., Host]) -> None:
    host = own_host("--handshake-seconds", "1", "--max-handshakes", "3")
    slow = [socket.create_connection(("127.0.0.1", host.port), timeout=DEADLINE) for _ in range(6)]
    for sock in slow:
        sock.sendall(b"GET /socket HTTP/1.1\r\nHo")
    for sock in slow:
        assert sock.recv(100) == b""
        sock.close()
    for _ in range(10):
        assert host.ask("echo", value=1) == {"echo": 1}


def test_a_port_in_use_is_reported_in_one_line(host: Host) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "tests.worker.socket_host", "--port", str(host.port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert f"port {host.port}: Address already in use" in second.stderr
