"""Visitors who read the chat live without an account: what they receive, and what they cannot do."""

from __future__ import annotations

from typing import Any

import pytest

from shared.db import transaction
from shared.services import channels
from shared.services.authority.actors import OPERATOR
from shared.services.moderation import channel_states
from tests.support.network import Network
from tests.support.servers import get
from tests.support.waiting import wait_until
from tests.worker.pages import (  # noqa: F401
    NETWORK_SETTINGS,
    channel,
    join_chat,
    open_page,
    players_of_grapevine,
)

NETWORK_CONSTANTS = {"worker.chat.browsers.READERS": 3}


def read(network: Network, *names: str, worker: int = 0) -> Any:
    """Return the socket of a visitor's page that watches these channels."""
    page = open_page(network, worker=worker)
    answer = page.request("channels/watch", {"channels": list(names)})
    assert answer["status"] == "success", answer
    return page


def metric(network: Network, name: str) -> float:
    page = get(network.workers[0].port, "/metrics")[1]
    return next(float(line.split()[1]) for line in page.splitlines() if line.startswith(f"worker_{name} "))


@pytest.mark.one_worker
def test_a_visitor_receives_lines_and_has_no_identity(network: Network, channel: str) -> None:  # noqa: F811
    """A reader is in no list, counts apart, and can send nothing but heartbeats."""
    hidden = network.factory.channel(is_hidden=True).name
    speaker = join_chat(network, channels=[channel])
    page = open_page(network)
    answer = page.request("channels/watch", {"channels": [channel.upper(), hidden, "no-such-one"]})
    assert answer["payload"] == {"channels": [channel]}
    page.wait_for("heartbeat")
    speaker.request("channels/send", {"channel": channel, "message": "hello"})
    line = page.wait_for("channels/broadcast")["payload"]
    assert (line["name"], line["message"]) == (speaker.username, "hello") and line["id"] > 0

    people = speaker.request("channels/listeners", {"channel": channel})["payload"]
    assert (people["people"], people["people_count"]) == ([speaker.username], 1)
    assert sorted(players_of_grapevine(network.join())) == sorted([speaker.username, "system"])
    assert metric(network, "readers") == 1
    for event, payload in (
        ("channels/send", {"channel": channel, "message": "me too"}),
        ("channels/read", {"channel": channel, "id": 1}),
        ("channels/listeners", {"channel": channel}),
        ("tells/send", {"to_game": "Grapevine", "to_name": "system", "message": "hi"}),
    ):
        assert page.request(event, payload)["code"] == "unauthenticated"
    for event in ("channels/watch", "authenticate"):
        answer = page.request(event, {"channels": [channel], "token": "x"}, seconds=15)
        assert answer["code"] == "already-authenticated"
    page.close(1001)
    wait_until(lambda: metric(network, "readers") == 0, what="the reader is forgotten")


@pytest.mark.one_worker
def test_the_readers_of_a_worker_are_limited(network: Network, channel: str) -> None:  # noqa: F811
    """Everyone who has an account still gets in."""
    pages = [read(network, channel) for _ in range(3)]
    refused = open_page(network)
    answer = refused.request("channels/watch", {"channels": [channel]})
    assert (answer["code"], answer["retry_after_ms"]) == ("rate-limited", 60_000)
    join_chat(network, channels=[channel])
    pages.pop().close(1001)
    wait_until(
        lambda: open_page(network).request("channels/watch", {"channels": [channel]})["status"] == "success",
        what="room for another reader",
    )


def test_pages_learn_what_moderators_did_to_their_channels(network: Network, channel: str) -> None:  # noqa: F811
    """At once if they are open, and when they sign in; a refused line says why and for how long."""
    page, reader = join_chat(network, channels=[channel]), read(network, channel, worker=1)
    with transaction() as session:
        number = channels.get_channel(session, channel).id
        channel_states.pause(session, OPERATOR, channel=channel, minutes=10, reason="A flood")
    for socket in (page, reader, read(network, channel), join_chat(network, channels=[channel], worker=1)):
        state = socket.wait_for("channels/state", payload={"id": number})["payload"]
        assert (state["paused"], state["closed"], state["slow_seconds"], state["reason"]) == (True, False, 0, "A flood")
        assert 590 <= state["seconds_left"] <= 600
    answer = page.request("channels/send", {"channel": channel, "message": "hello?"})
    assert (answer["code"], answer["reason"]) == ("channel-paused", "A flood")
    assert 590 <= answer["seconds_left"] <= 600
    with transaction() as session:
        channel_states.resume(session, OPERATOR, channel=channel)
        channel_states.slow_down(session, OPERATOR, channel=channel, seconds=30)
    for socket in (page, reader):
        state = socket.wait_for("channels/state", payload={"slow_seconds": 30})["payload"]
        assert state == {
            "id": number,
            "paused": False,
            "closed": False,
            "slow_seconds": 30,
            "reason": "",
            "seconds_left": None,
        }


def test_a_channel_that_is_hidden_leaves_the_pages_of_visitors(network: Network, channel: str) -> None:  # noqa: F811
    reader = read(network, channel)
    with transaction() as session:
        number = channels.update_channel(session, OPERATOR, name=channel, is_hidden=True).id
    assert reader.wait_for("channels/closed")["payload"] == {"id": number}
    game = network.join(channels=[channel])
    assert (
        game.request("channels/send", {"channel": channel, "name": "Ash", "message": "hidden"})["status"] == "success"
    )
    assert reader.request("channels/watch", {})["code"] == "already-authenticated"
    assert not reader.events("channels/broadcast")
