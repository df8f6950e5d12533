"""The transport from the view of clients: limits and close codes, and the end of connections.

The server runs in another process (socket_host.py). The clients are websocket-client and plain sockets, which share no
code with the server.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Callable

import pytest
import websocket

from tests.worker.wire_host import (
    BINARY,
    CLOSE,
    DEADLINE,
    PING,
    PONG,
    TEXT,
    Host,
    ask,
    frame,
    host,
    own_host,
    shared_host,
)
from worker.wire.reader import Limits, Reader

__all__ = ["host", "own_host", "shared_host"]

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
