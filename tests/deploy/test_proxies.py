"""Each proxy of deploy/ in front of a real site and worker: TLS, sockets, addresses, body limits, half requests."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from app.commands.doctor import CHECKS
from tests.deploy.proxies import HOST, PROXIES, Proxy
from tests.support.client import SocketClient
from tests.support.factory import Factory
from tests.support.processes import free_port
from tests.support.servers import RunningSite, RunningWorker
from tests.support.valkey import TestValkey
from tests.support.waiting import wait_until

HALVES = {
    "head": b"GET / HTTP/1.1\r\nHost: localhost\r\n",
    "body": b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\nlogin=",
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.operating
@pytest.mark.parametrize("kind", PROXIES, ids=lambda kind: kind.program)
def test_a_proxy(
    kind: type[Proxy],
    start_site: Callable[..., RunningSite],
    start_worker: Callable[..., RunningWorker],
    stored: Factory,
    valkey: TestValkey,
    run_flask: Callable[..., Any],
    tmp_path: Path,
) -> None:
    tls_port = free_port()
    settings = {
        "PUBLIC_URL": f"https://{HOST}:{tls_port}",
        "SOCKET_URL": f"wss://{HOST}:{tls_port}/socket",
        "TRUSTED_PROXIES": "127.0.0.1",
        "RATE_LIMITS": "on",
        "ADDRESS_SOCKETS": "2",
    }
    site, worker = start_site(**settings), start_worker(**settings)
    proxy = kind(tmp_path, site_port=site.port, worker_port=worker.port, tls_port=tls_port)
    try:
        with ExitStack() as stack:
            check_pages(proxy, site)
            check_sockets(proxy, stored)
            check_addresses(proxy, stack, valkey)
            check_bodies(proxy)
            check_half_requests(proxy, stack)
            check_doctor(proxy, run_flask, settings | {"WEB_PORT": str(site.port), "SOCKET_PORT": str(worker.port)})
    except BaseException:
        print(proxy.log(), site.output, worker.output, sep="\n")
        raise
    finally:
        proxy.close()


def check_pages(proxy: Proxy, site: RunningSite) -> None:
    """Pages have the public address, and the request's id is the one in the proxy's log. /metrics is not public."""
    answer, _ = ask(proxy, "GET", "/sign-in", headers={"X-Request-ID": "forged"})
    assert answer.status == 200
    assert answer.headers["Strict-Transport-Security"]
    assert "; Secure;" in answer.headers["Set-Cookie"]
    request_id = answer.headers["X-Request-ID"]
    assert request_id != "forged"
    wait_until(lambda: request_id in proxy.log(), what="the proxy has logged the id")
    assert f"https://{HOST}:{proxy.tls_port}/" in ask(proxy, "GET", "/sitemap.xml")[1]

    answer, _ = ask(proxy, "GET", "/games/?q=a", is_tls=False)
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://{HOST}:{proxy.tls_port}/games/?q=a"
    assert ask(proxy, "GET", "/metrics")[0].status == 404
    assert ask(proxy, "GET", "/_health")[0].status == 200


def check_sockets(proxy: Proxy, stored: Factory) -> None:
    """Games talk through the proxy, with TLS and without. The chat's socket is the worker's too."""
    stored.channel("gossip")
    tls = {"sslopt": {"context": proxy.context}, "host": f"{HOST}:{proxy.tls_port}"}
    sockets = [
        SocketClient(f"wss://{HOST}:{proxy.tls_port}/socket", **tls),
        SocketClient(f"ws://{HOST}:{proxy.plain_port}/socket"),
    ]
    try:
        for client in sockets:
            _, credentials = stored.game_with_credentials()
            client.authenticate(credentials.client_id, credentials.client_secret, channels=["gossip"])
        for sender, receiver in (sockets, reversed(sockets)):
            line = {"channel": "gossip", "name": "Ann", "message": "x" * 1000}
            assert sender.request("channels/send", line)["status"] == "success"
            assert receiver.wait_for("channels/broadcast")["payload"]["message"] == "x" * 1000
    finally:
        for client in sockets:
            client.close()
    assert ask(proxy, "GET", "/chat-socket")[0].status == 426
    assert ask(proxy, "GET", "/socket")[0].status == 426


def check_addresses(proxy: Proxy, stack: ExitStack, valkey: TestValkey) -> None:
    """The site and the worker see the client's address, and never one that the client has made up."""
    forged = {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1", "X-Real-IP": "192.0.2.1"}
    page = ask(proxy, "GET", "/sign-in", source="127.0.0.9")
    token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page[1])
    assert token
    form = f"csrf_token={token[1]}&login=nobody&password=wrong-password"
    headers = {**FORM, **forged, "Cookie": page[0].headers["Set-Cookie"].partition(";")[0]}
    headers["Referer"] = f"https://{HOST}:{proxy.tls_port}/sign-in"
    answer, _ = ask(proxy, "POST", "/sign-in", body=form, headers=headers, source="127.0.0.9")
    assert answer.status == 422
    with redis.Redis.from_url(valkey.url) as client:
        keys = " ".join(key.decode() for key in client.keys("*sign_in*"))
    assert "127.0.0.9" in keys and "192.0.2.1" not in keys

    handshake = (
        "GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "X-Forwarded-For: 192.0.2.{0}\r\nForwarded: for=192.0.2.{0}\r\n\r\n"
    )
    statuses = []
    for number, source in enumerate(["127.0.0.9", "127.0.0.9", "127.0.0.9", "127.0.0.8"]):
        client = proxy.connect(handshake.format(number).encode(), stack, source=source)
        statuses.append(client.recv(100).split()[1])
    assert statuses == [b"101", b"101", b"429", b"101"]


def check_bodies(proxy: Proxy) -> None:
    """A long form reaches the site. A longer one is refused, by the site or by the proxy."""
    for size, status in ((200_000, 400), (300_000, 413), (2_000_000, 413)):
        with ExitStack() as stack:
            head = f"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
            head += f"Content-Type: {FORM['Content-Type']}\r\nConnection: close\r\n\r\n"
            client = proxy.connect(head.encode(), stack)
            try:
                client.sendall(b"x" * size)
            except OSError:  # refused before the end
                pass
            assert read_answer(client).status == status, size


def check_half_requests(proxy: Proxy, stack: ExitStack) -> None:
    """Clients that send half a request stop nobody, and are dropped."""
    clients = [proxy.connect(half, stack) for half in HALVES.values() for _ in range(30)]
    for _ in range(5):
        assert ask(proxy, "GET", "/conduct")[0].status == 200
    for client in clients:
        with suppress(ConnectionError, ssl.SSLError):
            while client.recv(10_000):
                pass


def check_doctor(proxy: Proxy, run_flask: Callable[..., Any], settings: dict[str, str]) -> None:
    """`flask doctor` finds nothing wrong with this proxy, and would notice another certificate."""
    trusting = {**settings, "SSL_CERT_FILE": str(proxy.folder / "authority.pem")}
    done = run_flask("doctor", "--skip", "mail", "--skip", "descriptors", **trusting)
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)["findings"]
    assert [found["message"] for found in findings if found["status"] != "ok" and found["check"] != "ports"] == []
    others = [name for name in CHECKS if name != "tls"]
    done = run_flask("doctor", *(word for name in others for word in ("--skip", name)), **settings)
    assert done.returncode == 1 and "unable to get local issuer" in done.stdout


def ask(
    proxy: Proxy,
    method: str,
    path: str,
    *,
    body: str | None = None,
    headers: dict[str, str] | None = None,
    source: str = "127.0.0.1",
    is_tls: bool = True,
) -> tuple[http.client.HTTPResponse, str]:
    """Send one request through the proxy. Return the answer and its text."""
    options: dict[str, Any] = {"timeout": 10, "source_address": (source, 0)}
    if is_tls:
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            HOST, proxy.tls_port, context=proxy.context, **options
        )
    else:
        connection = http.client.HTTPConnection(HOST, proxy.plain_port, **options)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


def read_answer(client: Any) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(client)
    response.begin()
    return response
