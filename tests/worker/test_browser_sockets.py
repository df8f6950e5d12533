"""Browsers' sockets: who can connect, and what is refused."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest
import websocket

from shared import chat_tokens
from shared.db import transaction
from shared.services import accounts
from shared.services.authority import actors
from tests.support.client import Frame
from tests.support.network import Network
from tests.support.servers import SECRET_KEY, get
from tests.support.waiting import wait_until
from tests.worker.pages import (
    NETWORK_CONSTANTS,
    NETWORK_SETTINGS,
    ORIGIN,
    Page,
    channel,
    join_chat,
    new_user,
    open_page,
    refused,
    token_for,
)

__all__ = ["NETWORK_SETTINGS", "NETWORK_CONSTANTS", "channel"]


@pytest.mark.one_worker
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example.com:8080",
        "http://chat.example.com",
        "https://chat.example.com:8080",
        "http://chat.example.com:8080/",
        "http://chat.example.com:8080/evil",
        "http://evil@chat.example.com:8080",
        "HTTP://CHAT.EXAMPLE.COM:8080",
        "null",
    ],
)
def test_pages_of_other_sites_are_refused(network: Network, origin: str) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        open_page(network, origin=origin)
    assert caught.value.status_code == 403


@pytest.mark.one_worker
def test_a_request_without_an_origin_is_refused(network: Network) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        open_page(network, origin=None, suppress_origin=True)
    assert caught.value.status_code == 403


@pytest.mark.one_worker
def test_an_ipv6_network_counts_as_one_address(network: Network) -> None:
    for number in range(1, 61):
        open_page(network, header=[f"X-Forwarded-For: 2001:db8:1:2::{number:x}"])
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        open_page(network, header=["X-Forwarded-For: 2001:db8:1:2:ffff::1"])
    assert caught.value.status_code == 429
    open_page(network, header=["X-Forwarded-For: 2001:db8:1:3::1"])


@pytest.mark.one_worker
def test_a_page_learns_its_username(network: Network, channel: str) -> None:
    user = new_user(network)
    page = open_page(network)
    answer = page.request("authenticate", {"token": token_for(user), "channels": [channel.upper(), "no-such-one", "!"]})
    assert answer["payload"] == {"username": user.username, "channels": [channel]}
    page.wait_for("heartbeat")


def test_a_token_works_once(network: Network) -> None:
    token = token_for(new_user(network))
    assert open_page(network).request("authenticate", {"token": token})["status"] == "success"
    answer = _refused_elsewhere(network, token)
    assert (answer["code"], answer["error"]) == ("invalid-credentials", "this token has already been used")


def _refused_elsewhere(network: Network, token: str) -> Frame:
    page = open_page(network, worker=1)
    answer = page.request("authenticate", {"token": token}, seconds=15)
    assert page.wait_closed() == 4000
    return answer


@pytest.mark.one_worker
def test_a_token_expires_after_a_minute(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from itsdangerous import TimestampSigner

    user = new_user(network)
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: int(time.time()) - 61)
    assert refused(network, token_for(user))["error"] == "this token is too old"


@pytest.mark.one_worker
@pytest.mark.parametrize("forged", ["", "nonsense", "WzEsIngiLCJ5Il0.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb"])
def test_a_forged_token_is_refused(network: Network, forged: str) -> None:
    assert refused(network, forged)["error"] == "this token is not valid"


@pytest.mark.one_worker
def test_a_token_signed_for_something_else_is_refused(network: Network) -> None:
    from itsdangerous import URLSafeTimedSerializer

    user = new_user(network)
    mark = chat_tokens.session_mark(user.session_token)
    for key, salt in ((SECRET_KEY, "link:reset"), ("another key, long enough", chat_tokens.SALT)):
        token = URLSafeTimedSerializer(key, salt=salt).dumps([user.id, mark, "1"])
        assert refused(network, token)["error"] == "this token is not valid"


@pytest.mark.one_worker
def test_a_token_of_a_session_that_ended_is_refused(network: Network) -> None:
    user = new_user(network)
    token = token_for(user)
    with transaction() as session:
        accounts.end_sessions(session, actors.of_user(session, user.id))
    assert refused(network, token)["error"] == "the session has ended"


@pytest.mark.one_worker
def test_other_events_before_authenticating_are_refused(network: Network, channel: str) -> None:
    page = open_page(network)
    answer = page.request("channels/send", {"channel": channel, "message": "hello"})
    assert (answer["status"], answer["code"]) == ("failure", "unauthenticated")


@pytest.mark.one_worker
def test_credentials_and_tokens_work_on_their_own_socket_only(network: Network) -> None:
    game = network.game()
    page = open_page(network)
    answer = page.request(
        "authenticate", {"client_id": game.client_id, "client_secret": game.client_secret}, seconds=15
    )
    assert (answer["status"], answer["code"]) == ("failure", "invalid")
    elsewhere = network.open()
    assert elsewhere.request("authenticate", {"token": token_for(new_user(network))}, seconds=15)["status"] == "failure"


@pytest.mark.one_worker
@pytest.mark.parametrize("event", ["channels/subscribe", "channels/history", "players/sign-in", "games/status", "sync"])
def test_events_for_games_are_unknown_on_the_browser_socket(network: Network, channel: str, event: str) -> None:
    page = join_chat(network)
    assert page.request(event, {"channel": channel, "name": "x"})["code"] == "unknown-event"


def test_message_limits_apply_to_browser_sockets(network: Network) -> None:
    page = join_chat(network)
    page.send_text("x" * 70_000)
    assert page.wait_closed() == 1009
    page = join_chat(network)
    page.send_raw(b"binary", opcode=websocket.ABNF.OPCODE_BINARY)
    assert page.wait_closed() == 1003


def test_a_dead_or_silent_page_is_closed(start_worker: Any, stored: Any) -> None:
    worker = start_worker(PUBLIC_URL=ORIGIN, HEARTBEAT_SECONDS="0.1", AUTHENTICATE_SECONDS="3")
    url = worker.url.replace("/socket", "/chat-socket")
    dead = Page(url, origin=ORIGIN, answers_heartbeats=False)
    assert dead.request("authenticate", {"token": token_for(stored.user())})["status"] == "success"
    silent = Page(url, origin=ORIGIN)
    assert (dead.wait_closed(), silent.wait_closed()) == (4001, 4001)


def test_a_page_that_does_not_read_is_closed_without_slowing_others(start_worker: Any, stored: Any) -> None:
    channel = stored.channel().name
    worker = start_worker(PUBLIC_URL=ORIGIN, OUTBOUND_BYTES="65536")
    url = worker.url.replace("/socket", "/chat-socket")
    slow, quick = Page(url, origin=ORIGIN), Page(url, origin=ORIGIN)
    for page in (slow, quick):
        page.request("authenticate", {"token": token_for(stored.user()), "channels": [channel]})
    slow.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    text = "x" * 4000
    for number in range(5000):
        assert quick.request("channels/send", {"channel": channel, "message": text})["status"] == "success"
        if number % 50 == 0 and worker_sockets(worker) == 1:
            break
    assert slow.wait_closed() in (4002, None)
    assert not quick.is_closed


def worker_sockets(worker: Any) -> int:
    """Return how many sockets a worker has now."""
    match = re.search(r"^worker_sockets ([\d.]+)$", get(worker.port, "/metrics")[1], re.MULTILINE)
    assert match
    return int(float(match[1]))


def test_the_pages_of_a_user_are_limited(network: Network) -> None:
    user = new_user(network)
    pages = [join_chat(network, user) for _ in range(12)]
    answer = refused(network, token_for(user))
    assert answer["code"] == "rate-limited"
    pages[0].close(1001)

    def can_join() -> bool:
        page = open_page(network)
        return page.request("authenticate", {"token": token_for(user)}, seconds=15)["status"] == "success"

    wait_until(can_join, seconds=20, what="room for another page")


@pytest.mark.one_worker
@pytest.mark.parametrize(
    "event", ["channels/send", "channels/read", "channels/listeners", "tells/send", "heartbeat", "x"]
)
def test_nonsense_is_refused_and_does_no_harm(network: Network, channel: str, event: str) -> None:
    page = join_chat(network, channels=[channel])
    odd: list[Any] = [
        None,
        [],
        {},
        7,
        "text",
        {"channel": None},
        {"channel": [], "id": "x"},
        {"channel": channel, "id": -1},
    ]
    odd += [
        {"channel": channel, "message": "\ud800", "id": 10**30, "to_game": {}, "to_name": "\0"},
        {"channel": "\0" * 99},
    ]
    for payload in odd:
        page.send(event, payload, ref=1)
        page.send(event, payload)
    for text in ("", "{", "[]", "null", '{"event": {}}', "[" * 30_000, '{"event": "channels/send", "ref": {}}'):
        page.send_text(text)
    assert page.request("channels/send", {"channel": channel, "message": "still here"})["status"] == "success"
    answers = [frame for frame in page.frames if frame.get("ref") == 1]
    assert {frame["status"] for frame in answers} <= {"failure", "success"}
    assert "internal" not in {frame.get("code") for frame in page.frames}
