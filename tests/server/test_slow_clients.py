"""Slow clients never occupy a thread of the site. The site runs with its usual eight threads."""

import http.client
import re
import socket
import time

import pytest

from tests.support.servers import get
from tests.support.waiting import wait_until

HALF_HEAD = b"GET / HT"
POST_FORM = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
HALF_BODY = POST_FORM + b"Content-Length: 1000\r\n\r\nlogin="
SILENT = b""


@pytest.fixture
def open_raw(site):
    """Open a connection to the site and send these bytes."""
    opened = []

    def connect(data: bytes, *, receive_bytes: int | None = None) -> socket.socket:
        client = socket.socket()
        opened.append(client)
        if receive_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(15)
        client.connect(("127.0.0.1", site.port))
        client.sendall(data)
        return client

    yield connect
    for client in opened:
        client.close()


def _answer(client: socket.socket) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(client)
    response.begin()
    return response


@pytest.mark.parametrize("half", [HALF_HEAD, HALF_BODY, SILENT], ids=["head", "body", "silent"])
def test_half_requests_stop_nobody(site, open_raw, half):
    """Pages are answered beside 60 of them."""
    for _ in range(60):
        open_raw(half)
    started = time.monotonic()
    for _ in range(5):
        assert get(site.port, "/conduct")[0] == 200
    assert time.monotonic() - started < 5


def test_clients_that_do_not_read_stop_nobody(site, open_raw):
    """Their responses wait in memory, not in a thread."""
    request = b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n" * 30
    for _ in range(20):
        open_raw(request, receive_bytes=2048)
    assert get(site.port, "/conduct", seconds=20)[0] == 200
    wait_until(lambda: _seconds(lambda: get(site.port, "/conduct")) < 1, seconds=20, what="the site is quick again")


def test_clients_that_do_not_close_stop_nobody(site, open_raw):
    """After `Connection: close` the site waits for the client to close, but not with its main loop."""
    request = b"GET /conduct HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    clients = [open_raw(request) for _ in range(10)]
    for client in clients:
        _answer(client).read()
    assert _seconds(lambda: get(site.port, "/conduct")) < 1.5


@pytest.mark.slow
@pytest.mark.parametrize(("half", "limit"), [(HALF_HEAD, 14), (HALF_BODY, 24)], ids=["head", "body"])
def test_half_requests_have_deadlines(open_raw, half, limit):
    """Sending a byte every few seconds does not extend them."""
    client = open_raw(half)
    client.settimeout(1)
    started = time.monotonic()
    answer = b""
    while not answer:
        assert time.monotonic() - started < limit
        try:
            client.sendall(b"x")
            answer = client.recv(1000)
        except TimeoutError:
            continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_request_in_pieces_is_answered(open_raw):
    client = open_raw(b"GET /conduct HT")
    time.sleep(0.1)  # time is the subject: nothing shows that the server has read a piece
    client.sendall(b"TP/1.1\r\nHost: x\r\n\r")
    time.sleep(0.1)
    client.sendall(b"\n")
    assert _answer(client).status == 200


def test_several_requests_at_once_are_answered_in_order(open_raw):
    client = open_raw(
        b"GET /conduct HTTP/1.1\r\nHost: x\r\n\r\nGET /missing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    answers = b""
    while data := client.recv(65_536):
        answers += data
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"200", b"404"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 300000\r\n", 413),
        (b"Transfer-Encoding: chunked\r\n", 411),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"Content-Length: -1\r\n", 400),
        (b"X: " + b"x" * 70_000 + b"\r\n", 431),
    ],
    ids=["too long", "chunked", "two lengths", "negative", "long head"],
)
def test_bodies_without_an_acceptable_length_are_refused(open_raw, head, status):
    """The connection closes after the answer, which says so: a proxy would use it again, and the body is no request."""
    client = open_raw(POST_FORM + head + b"\r\n" + b"GET /conduct HTTP/1.1\r\n\r\n")
    answer = b""
    while data := client.recv(65_536):
        answer += data
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nconnection: close\r\n" in answer.lower()


def test_a_client_may_wait_for_permission_to_send_its_body(open_raw):
    client = open_raw(POST_FORM + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert client.recv(100).startswith(b"HTTP/1.1 100 ")
    client.sendall(b"a=b")
    assert _answer(client).status == 400


def test_when_connections_run_short_the_oldest_clients_are_closed(site, open_raw):
    """1,200 silent clients shut nobody out."""
    import resource

    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    for _ in range(1_200):
        open_raw(SILENT)
    assert _seconds(lambda: get(site.port, "/conduct")) < 3
    assert get(site.port, "/conduct")[0] == 200


def _seconds(call) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started
