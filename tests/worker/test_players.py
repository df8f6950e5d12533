"""The "players" flag over real sockets, of one worker and of two (docs/protocol.md, §5)."""

from __future__ import annotations

import json
import uuid

import pytest
import redis

from shared.signals import TOPIC_PREFIX
from tests.support.network import Network


def names(network: Network, client, game: str) -> list[str]:
    return client.request("players/status", {"game": game})["payload"]["players"]


def test_a_sign_in_is_announced_to_the_other_games(network: Network) -> None:
    alice, other = network.join(), network.join()

    answer = alice.request("players/sign-in", {"name": "Alice"})

    assert answer == {"event": "players/sign-in", "ref": answer["ref"], "status": "success"}
    notice = other.wait_for("players/sign-in", payload={"name": "Alice"})
    assert notice["payload"] == {"game": alice.peer.short_name, "name": "Alice"}
    assert len(notice["ref"]) == 36 and "status" not in notice
    network.wait_player(alice.peer, "Alice")


def test_a_sign_out_is_announced_once_and_applies_to_all_the_games_sockets(network: Network) -> None:
    other = network.join()
    first = network.join(players=["Alice"])
    network.join(first.peer, players=["alice", "Bob"])

    assert first.request("players/sign-out", {"name": "ALICE"})["status"] == "success"

    network.wait_player(first.peer, "Alice", online=False)
    network.flush(other)
    assert [frame["payload"] for frame in other.events("players/sign-out")] == [
        {"game": first.peer.short_name, "name": "ALICE"}
    ]
    assert names(network, other, first.peer.short_name) == ["Bob"]


def test_redundant_sign_ins_and_sign_outs_succeed_without_a_notice(network: Network) -> None:
    other, first = network.join(), network.join()
    second = network.join(first.peer)
    first.request("players/sign-in", {"name": "Alice"})
    network.wait_player(first.peer, "Alice")

    assert first.request("players/sign-in", {"name": "alice"})["status"] == "success"
    assert second.request("players/sign-in", {"name": "Alice"})["status"] == "success"
    assert first.request("players/sign-out", {"name": "Nobody"})["status"] == "success"

    network.flush(other)
    assert len(other.events("players/sign-in")) == 1
    assert other.events("players/sign-out") == []


def test_notices_go_only_to_other_peers_with_the_flag(network: Network) -> None:
    first = network.join()
    second = network.join(first.peer)
    without = network.join(supports=["channels"])
    listener = network.join()

    first.send("players/sign-in", {"name": "Alice"})

    listener.wait_for("players/sign-in", payload={"name": "Alice"})
    network.flush(second, without, first)
    for client in (second, without, first):
        assert client.events("players/sign-in") == []


def test_a_hidden_game_sends_no_notices_and_is_not_listed(network: Network) -> None:
    other = network.join()
    hidden = network.join(network.game("Hid", is_displayed=False))

    hidden.request("players/sign-in", {"name": "Ghost"})

    network.wait_player(hidden.peer, "Ghost")
    network.flush(other)
    assert other.events("players/sign-in") == []
    assert hidden.peer.short_name not in listed(other)
    assert names(network, other, hidden.peer.short_name) == ["Ghost"]


def test_an_applications_players_are_announced_but_it_is_not_listed(network: Network) -> None:
    other = network.join()
    application = network.join(network.application(), sync=False)

    application.request("players/sign-in", {"name": "Alice"})

    notice = other.wait_for("players/sign-in", payload={"name": "Alice"})
    assert notice["payload"]["game"] == application.peer.short_name
    assert application.peer.short_name not in listed(other)
    assert names(network, other, application.peer.short_name) == ["Alice"]


@pytest.mark.parametrize("event", ["players/sign-in", "players/sign-out"])
def test_other_workers_apply_a_change_before_they_announce_it(network: Network, event: str) -> None:
    alice = network.join(players=["Alice"] if event == "players/sign-out" else [])
    with redis.Redis.from_url(network.valkey.url) as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.psubscribe(f"{TOPIC_PREFIX}*")
        pubsub.get_message(timeout=5)

        alice.request(event, {"name": "Alice"})

        players: list[str] | None = None
        while True:
            message = pubsub.get_message(timeout=5)
            assert message is not None, "the signals come"
            signal = json.loads(message["data"])
            if message["channel"] == f"{TOPIC_PREFIX}presence".encode():
                changed = [socket for socket in signal.get("sockets", []) if socket["peer"] == alice.peer.key]
                players = changed[-1].get("players", []) if changed else players
            elif message["channel"] == f"{TOPIC_PREFIX}players".encode():
                break
    assert players == (["Alice"] if event == "players/sign-in" else [])


def test_heartbeats_replace_the_list_without_notices(network: Network) -> None:
    other, first = network.join(), network.join(players=["Alice"])
    second = network.join(first.peer, players=["Carol"])

    first.send("heartbeat", {"players": ["Bob", "", "bob", "  Dora "]})

    network.wait_player(first.peer, "Bob")
    network.flush(other)
    assert names(network, other, first.peer.short_name) == ["Bob", "Carol", "Dora"]
    assert other.events("players/sign-in") == other.events("players/sign-out") == []
    first.send("heartbeat", {})
    second.drop()
    network.wait_player(first.peer, "Carol", online=False)
    assert names(network, other, first.peer.short_name) == ["Bob", "Dora"]


def listed(client) -> dict[str, list[str]]:
    """Return the answer to `players/status` for all games, by the name of the game."""
    ref = client.send("players/status", ref=str(uuid.uuid4()))
    client.settle()
    answers = [frame for frame in client.events("players/status") if frame["ref"] == ref]
    assert all(set(frame) == {"event", "ref", "payload"} for frame in answers)
    return {frame["payload"]["game"]: frame["payload"]["players"] for frame in answers}


def test_the_status_of_all_games_lists_their_players(network: Network) -> None:
    asker = network.join(players=["Zed"])
    first, second = network.join(players=["Bob", "Alice"]), network.join()

    names_by_game = listed(asker)

    assert names_by_game[first.peer.short_name] == ["Alice", "Bob"]
    assert names_by_game[second.peer.short_name] == []
    assert names_by_game["Grapevine"] == ["system"]
    assert asker.peer.short_name not in names_by_game


def test_grapevine_answers_when_nobody_else_is_online(network: Network) -> None:
    asker = network.join()
    alone = listed(asker)
    assert alone["Grapevine"] == ["system"]
    assert names(network, asker, "grapevine") == ["system"]


@pytest.mark.one_worker
def test_the_status_of_an_offline_or_unknown_game_is_refused(network: Network) -> None:
    asker, offline = network.join(), network.game()

    answer = asker.request("players/status", {"game": offline.short_name.upper()})
    assert answer["payload"] == {"game": offline.short_name, "players": []}
    for name in ("NoSuchGame", "", "no such \u0000 game", "ünknown", "x" * 5000):
        answer = asker.request("players/status", {"game": name})
        assert answer == {
            "event": "players/status",
            "ref": answer["ref"],
            "status": "failure",
            "error": "unknown game",
            "code": "unknown-game",
        }


@pytest.mark.one_worker
def test_status_needs_a_ref(network: Network) -> None:
    asker = network.join()
    asker.send("players/status", {})
    assert [frame for frame in asker.settle() if frame["event"] != "heartbeat"] == []


@pytest.mark.in_process
@pytest.mark.parametrize("event", ["players/sign-in", "players/sign-out", "players/status"])
def test_the_flag_is_needed(network: Network, event: str) -> None:
    client = network.join(supports=["channels"])
    answer = client.request(event, {"name": "Alice"})
    assert (answer["code"], answer["error"]) == ("missing-support", 'missing support for "players"')


@pytest.mark.in_process
@pytest.mark.parametrize("payload", [None, {}, {"name": 1}, {"name": " "}, {"name": "x" * 61}, {"name": "<b>"}])
def test_a_name_is_needed(network: Network, payload: dict | None) -> None:
    client = network.join()
    answer = client.request("players/sign-in", payload)
    assert answer["code"] == "invalid" and '"name"' in answer["error"]


@pytest.mark.parametrize("form", ["Alice@{}", "alice @ {}"])
def test_the_games_own_name_is_removed_from_a_player_name(network: Network, form: str) -> None:
    other, client = network.join(), network.join()
    named = form.format(client.peer.short_name.lower())

    assert client.request("players/sign-in", {"name": named})["status"] == "success"

    assert other.wait_for("players/sign-in")["payload"]["name"].lower() == "alice"
    network.wait_player(client.peer, "Alice")
    client.send("heartbeat", {"players": [named, "Bob@Elsewhere", f"@{client.peer.short_name}"]})
    network.wait_player(client.peer, "Bob@Elsewhere")
    assert sorted(name.lower() for name in names(network, other, client.peer.short_name)) == [
        f"@{client.peer.short_name.lower()}",
        "alice",
        "bob@elsewhere",
    ]
    assert client.request("players/sign-out", {"name": named})["status"] == "success"
    network.wait_player(client.peer, "Alice", online=False)
    assert other.wait_for("players/sign-out")["payload"]["name"].lower() == "alice"


def test_the_players_of_authenticate_may_have_the_games_own_name(network: Network) -> None:
    other, peer = network.join(), network.game()
    socket = network.open()
    socket.authenticate(peer.client_id, peer.client_secret, players=[f"Alice@{peer.short_name}", "Bob@Elsewhere"])
    network.wait_player(peer, "Alice")

    assert names(network, other, peer.short_name) == ["Alice", "Bob@Elsewhere"]
