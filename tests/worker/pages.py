"""Sockets of pages of the chat."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from shared import chat_tokens
from shared.db import reading
from shared.services import accounts
from tests.support.client import Frame, SocketClient
from tests.support.network import Network
from tests.support.servers import SECRET_KEY
from tests.support.waiting import wait_until

ORIGIN = "http://chat.example.com:8080"
NETWORK_SETTINGS = {"PUBLIC_URL": ORIGIN, "TRUSTED_PROXIES": "127.0.0.1", "RATE_LIMITS": "on", "OFFLINE_SECONDS": "0.5"}
NETWORK_CONSTANTS = {"worker.sockets.failures.LONGEST_SECONDS": 0.2, "worker.chat.browsers.WRITE_SECONDS": 0.2}
_numbers = itertools.count(1)


class Page(SocketClient):
    """The socket of one open page."""

    username = ""
    user_id = 0


def open_page(network: Network, *, worker: int = 0, **options: Any) -> Page:
    """Open a socket that has not authenticated."""
    url = network.workers[worker % len(network.workers)].url.replace("/socket", "/chat-socket")
    page = Page(url, **{"origin": ORIGIN, **options})
    network._opened.append(page)
    return page


def new_user(network: Network) -> Any:
    return network.factory.user(f"person{next(_numbers)}", is_verified=True)


def token_for(user: Any) -> str:
    with reading() as session:
        session_token = accounts.get_account(session, user.id).session_token
        return chat_tokens.make_token([SECRET_KEY], user_id=user.id, session_token=session_token)


def join_chat(network: Network, user: Any = None, *, channels: list[str] = (), worker: int = 0, **options: Any) -> Page:  # type: ignore[assignment]
    """Open an authenticated page. Every worker knows about it, unless its user hides."""
    user = user or new_user(network)
    page = open_page(network, worker=worker, **options)
    answer = page.request("authenticate", {"token": token_for(user), "channels": list(channels)})
    assert answer["status"] == "success", answer
    page.username, page.user_id = user.username, user.id
    return page


def players_of_grapevine(asker: SocketClient) -> list[str]:
    return asker.request("players/status", {"game": "Grapevine"})["payload"]["players"]


@pytest.fixture
def channel(network: Network) -> str:
    """Return the name of a public channel that every worker knows."""
    name = network.factory.channel().name
    for number in range(len(network.workers)):
        watcher = network.join(worker=number)
        wait_until(
            lambda watcher=watcher: watcher.request("channels/subscribe", {"channel": name})["status"] == "success",
            what="the channel is known",
        )
        watcher.close(1001)
    return name


def refused(network: Network, token: Any) -> Frame:
    page = open_page(network)
    answer = page.request("authenticate", {"token": token}, seconds=15)
    assert answer["status"] == "failure"
    assert page.wait_closed() == 4000
    return answer
