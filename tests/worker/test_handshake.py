"""The parser of ordinary handshakes: which it accepts, and which it leaves to the WSGI server."""

from __future__ import annotations

import pytest

from worker.wire.handshake import MAX_HEADERS, accept_key, parse_head
from worker.wire.upgrade import check_handshake

HEAD = (
    b"GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version:13 \r\nX-Forwarded-For: 203.0.113.7"
)


def test_an_ordinary_handshake_is_parsed() -> None:
    """The result is what check_handshake expects of a WSGI environ."""
    environ = parse_head(HEAD)

    assert environ is not None
    assert environ["PATH_INFO"] == "/socket"
    assert environ["HTTP_SEC_WEBSOCKET_VERSION"] == "13"
    assert environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.7"
    assert check_handshake(environ) is None


def test_a_query_is_not_part_of_the_path() -> None:
    environ = parse_head(HEAD.replace(b"/socket", b"/socket?x=1&y"))
    assert environ is not None
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/socket", "x=1&y")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET /socket HTTP/1.0",
        HEAD.replace(b"GET", b"POST"),
        HEAD.replace(b"GET ", b"GET  "),
        HEAD.replace(b"/socket", b"/so%63ket"),
        HEAD.replace(b"/socket", b"http://x/socket"),
        HEAD.replace(b"Host: x", b"Host: x\r\nHost: y"),
        HEAD.replace(b"Host: x", b"Host: x\r\nhost: y"),
        HEAD.replace(b"Host: x", b"Host: x\r\n folded"),
        HEAD.replace(b"Host: x", b"Host : x"),
        HEAD.replace(b"Host: x", b"Ho_st: x"),
        HEAD.replace(b"Host: x", b"Host: \xe9"),
        HEAD.replace(b"Host: x", b"Host: a\x00b"),
        HEAD.replace(b"Host: x", b"Host: a\nb"),
        HEAD.replace(b"Host: x", b"nonsense"),
        HEAD + b"".join(b"\r\nX-%d: y" % number for number in range(MAX_HEADERS)),
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_anything_unusual_is_left_to_the_wsgi_server(head: bytes) -> None:
    assert parse_head(head) is None


def test_the_accept_key_matches_the_example_of_the_rfc() -> None:
    """RFC 6455, section 1.3."""
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
