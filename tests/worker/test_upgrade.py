"""Handshakes over real sockets: which are accepted, and what the port answers otherwise."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.worker.wire_host import (
    DEADLINE,
    HANDSHAKE,
    KEY,
    ROOT,
    Host,
    ask,
    host,
    own_host,
    shared_host,
)

__all__ = ["host", "own_host", "shared_host"]


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
