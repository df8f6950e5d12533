"""Heartbeats, and the deadline for authenticating (docs/protocol.md, §3)."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.waiting import wait_until

HEARTBEAT_SECONDS = 0.3
NETWORK_SETTINGS = {"HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS), "AUTHENTICATE_SECONDS": "1"}
ANSWERS = [
    '{"event": "heartbeat"}',
    '{"event": "heartbeat", "payload": null}',
    '{"event": "heartbeat", "payload": {}}',
    '{"event": "heartbeat", "payload": {"players": null}}',
    '{"event": "heartbeat", "payload": ["Alice"]}',
    '{"event": "heartbeat", "ref": "r", "payload": {"players": ["Alice"]}}',
    '{"event": "heartbeat", "ref": null, "payload": 5}',
    '{"events": "heartbeat", "payload": {"players": "none"}}',
]
pytestmark = pytest.mark.one_worker


def test_a_socket_that_does_not_authenticate_in_time_is_closed_with_4001(network):
    socket = network.open()
    began = time.monotonic()
    assert socket.wait_closed() == 4001
    assert socket.close_reason == "not authenticated in time"
    assert 0.8 <= time.monotonic() - began < 5
    assert socket.frames == []


def test_talking_without_authenticating_does_not_help(network):
    socket = network.open()
    socket.send("heartbeat", ref="1")
    socket.wait_for("heartbeat", ref="1")
    assert socket.wait_closed() == 4001


def test_a_socket_is_closed_after_three_unanswered_heartbeats(network):
    game = network.game()
    socket = network.open(answers_heartbeats=False)
    socket.authenticate(game.client_id, game.client_secret)
    began = time.monotonic()
    assert socket.wait_closed() == 4001
    assert socket.close_reason == "heartbeats were not answered"
    assert [frame for frame in socket.frames if frame["event"] == "heartbeat"] == [{"event": "heartbeat"}] * 3
    assert time.monotonic() - began >= 2.5 * HEARTBEAT_SECONDS


def test_other_frames_do_not_answer_heartbeats(network):
    """A socket that sends messages and pings, but does not answer heartbeats, is closed."""
    game = network.game()
    socket = network.open(answers_heartbeats=False)
    socket.authenticate(game.client_id, game.client_secret)
    while not socket.is_closed:
        try:
            socket.send("channels/unsubscribe", {"channel": "gossip"})
            socket.send_raw(b"", opcode=9)
            socket._read(0.05)
        except OSError:
            break
    assert socket.wait_closed() in (4001, None)
    assert len(socket.events("heartbeat")) == 3


def test_a_late_answer_resets_the_count(network):
    game = network.game()
    socket = network.open(answers_heartbeats=False)
    socket.authenticate(game.client_id, game.client_secret)
    for _ in range(4):
        for _ in range(2):
            socket.wait_for("heartbeat")
        socket.send("heartbeat")
    assert not socket.is_closed
    assert socket.wait_closed() == 4001


@pytest.mark.in_process
def test_every_form_of_answer_counts_and_gets_no_reply(network):
    """This includes answers with a ref, and answers with an invalid payload."""
    sockets = {text: network.open(answers_heartbeats=False) for text in ANSWERS}
    for socket in sockets.values():
        game = network.game()
        socket.authenticate(game.client_id, game.client_secret, debug=True)
    for _ in range(5):
        for text, socket in sockets.items():
            socket.wait_for("heartbeat")
            socket.send_text(text)
    for text, socket in sockets.items():
        assert not socket.is_closed, text
        assert {json.dumps(frame) for frame in socket.events("heartbeat")} == {'{"event": "heartbeat"}'}, text
        assert socket.events("error") == [], text


def test_a_heartbeat_replaces_the_players_or_leaves_them(network):
    """Each socket has its own list. A game shows the union of its sockets' lists."""
    game, asker_game = network.game(), network.game()
    first, second = network.open(), network.open()
    for socket, players in ((first, ["Alice", "alice", " ", "Bob"]), (second, ["Carol"])):
        socket.authenticate(game.client_id, game.client_secret, supports=["channels", "players"], players=players)
    asker = network.open()
    asker.authenticate(asker_game.client_id, asker_game.client_secret, supports=["channels", "players"])

    def online():
        return asker.request("players/status", {"game": game.short_name})["payload"]["players"]

    def becomes(*names):
        wait_until(lambda: sorted(online()) == sorted(names), what=f"{names} are online")

    becomes("Alice", "Bob", "Carol")
    first.send("heartbeat", {"players": ["Dave"]})
    becomes("Dave", "Carol")
    first.send("heartbeat", {})
    first.send("heartbeat", {"players": None})
    first.settle()
    assert sorted(online()) == ["Carol", "Dave"]
    first.send("heartbeat", {"players": []})
    becomes("Carol")
    second.close()
    becomes()
    assert asker.events("players/sign-in") == asker.events("players/sign-out") == []
