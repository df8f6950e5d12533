"""The "tells" flag over real sockets, of one worker and of two (docs/protocol.md, §6)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select

from shared import db
from shared.models import TellCount
from tests.support.client import Frame, SocketClient
from tests.support.network import Network


def tell(client: SocketClient, to: str, to_name: str = "Bob", from_name: str = "Alice", **other: Any) -> Frame:
    payload = {"from_name": from_name, "to_game": to, "to_name": to_name, "message": "hi", **other}
    return client.request("tells/send", payload)


@pytest.fixture
def pair(network: Network) -> tuple[SocketClient, SocketClient]:
    """Join two games, on different workers if there are two. Alice is online in the first, Bob in the second."""
    return network.join(players=["Alice"], worker=0), network.join(players=["Bob"], worker=1)


def error(answer: Frame) -> tuple[str, str]:
    assert answer["status"] == "failure" and "payload" not in answer
    return answer["code"], answer["error"]


def test_a_tell_reaches_its_player(pair: tuple[SocketClient, SocketClient]) -> None:
    sender, receiver = pair

    answer = tell(sender, receiver.peer.short_name, sent_at="2026-11-23T06:15:44Z", message="<b>hi</b> there")

    assert answer == {"event": "tells/send", "ref": answer["ref"], "status": "success"}
    got = receiver.wait_for("tells/receive")
    assert got["payload"] == {
        "from_game": sender.peer.short_name,
        "from_name": "Alice",
        "to_name": "Bob",
        "sent_at": "2026-11-23T06:15:44Z",
        "message": "hi there",
    }
    assert len(got["ref"]) == 36 and "status" not in got


@pytest.mark.parametrize(
    "sent_at",
    [None, "", "2026-11-23T06:15:44.123Z", "2026-11-23T06:15:44.123456+00:00", "2026-11-23T06:15:44+00:00"],
)
def test_sent_at_is_accepted_in_every_form(pair: tuple[SocketClient, SocketClient], sent_at: str | None) -> None:
    sender, receiver = pair
    assert tell(sender, receiver.peer.short_name, sent_at=sent_at)["status"] == "success"
    received = receiver.wait_for("tells/receive")["payload"]["sent_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", received)


def test_names_ignore_case_and_spaces(pair: tuple[SocketClient, SocketClient]) -> None:
    sender, receiver = pair
    name = receiver.peer.short_name
    spelled = f" {name[0].swapcase()} {name[1:].upper()} "
    assert tell(sender, spelled, to_name="bOB", from_name="aLICE")["status"] == "success"
    assert receiver.wait_for("tells/receive")["payload"]["to_name"] == "bOB"


def test_names_may_end_with_their_games_own_name(pair: tuple[SocketClient, SocketClient]) -> None:
    sender, receiver = pair
    ours, theirs = sender.peer.short_name, receiver.peer.short_name

    assert tell(sender, theirs, to_name=f"Bob@{theirs}", from_name=f"Alice@{ours}")["status"] == "success"

    payload = receiver.wait_for("tells/receive")["payload"]
    assert (payload["from_name"], payload["to_name"]) == ("Alice", "Bob")
    assert error(tell(sender, theirs, to_name=f"Bob@{ours}")) == ("player-offline", "receiving player offline")
    assert error(tell(sender, theirs, from_name=f"Alice@{theirs}")) == ("player-offline", "sending player offline")


def test_a_tell_goes_to_the_one_socket_with_the_player_and_the_flag(network: Network) -> None:
    sender = network.join(players=["Alice"])
    game = network.game()
    sockets = [
        network.join(game, players=["Bob"], supports=["channels", "players"]),
        network.join(game, players=["Carol"]),
        network.join(game, players=["Bob"]),
        network.join(game, players=[]),
    ]

    assert tell(sender, game.short_name)["status"] == "success"

    sockets[2].wait_for("tells/receive")
    network.flush(*sockets)
    assert [len(client.events("tells/receive")) for client in sockets] == [0, 0, 1, 0]


def test_a_tell_uses_another_socket_if_the_players_own_lacks_the_flag(network: Network) -> None:
    sender, game = network.join(players=["Alice"]), network.game()
    network.join(game, players=["Bob"], supports=["channels", "players"])
    other = network.join(game, players=[])

    assert tell(sender, game.short_name)["status"] == "success"
    other.wait_for("tells/receive")


@pytest.mark.one_worker
def test_checks_are_made_in_a_fixed_order(network: Network, pair: tuple[SocketClient, SocketClient]) -> None:
    sender, receiver = pair
    without_flag = network.join(supports=["channels", "players"], players=["Bob"])
    offline = network.game()

    assert error(tell(sender, "NoSuchGame", from_name="Nobody", message=""))[0] == "invalid"
    assert error(tell(sender, "NoSuchGame", from_name="Nobody")) == ("game-offline", "game offline")
    assert error(tell(sender, offline.short_name, from_name="Nobody")) == ("game-offline", "game offline")
    assert error(tell(sender, without_flag.peer.short_name, from_name="Nobody")) == ("not-supported", "not supported")
    assert error(tell(sender, receiver.peer.short_name, from_name="Nobody", to_name="Nobody")) == (
        "player-offline",
        "sending player offline",
    )
    assert error(tell(sender, receiver.peer.short_name, to_name="Nobody")) == (
        "player-offline",
        "receiving player offline",
    )
    assert receiver.events("tells/receive") == []


@pytest.mark.in_process
@pytest.mark.parametrize("field", ["from_name", "to_game", "to_name", "sent_at", "message"])
def test_the_error_names_a_malformed_field(network: Network, field: str) -> None:
    sender = network.join(players=["Alice"])
    code, sentence = error(tell(sender, "Anyone", **{field: 5}))
    assert code == "invalid" and f'"{field}"' in sentence


@pytest.mark.in_process
@pytest.mark.parametrize("sent_at", ["yesterday", "2026-11-23T06:15:44+02:00", "2026-11-23T06:15:44", 1700000000])
def test_sent_at_is_utc(network: Network, sent_at: object) -> None:
    sender = network.join(players=["Alice"])
    assert error(tell(sender, "Anyone", sent_at=sent_at))[0] == "invalid"


def test_a_sender_without_the_flag_players_need_not_be_online(network: Network) -> None:
    sender = network.join(supports=["channels", "tells"])
    receiver = network.join(players=["Bob"])
    assert tell(sender, receiver.peer.short_name)["status"] == "success"
    receiver.wait_for("tells/receive")


@pytest.mark.one_worker
def test_the_flag_is_needed(network: Network) -> None:
    client = network.join(supports=["channels", "players"])
    assert error(tell(client, "Anyone")) == ("missing-support", 'missing support for "tells"')


def test_hidden_games_and_applications_may_send_tells(network: Network) -> None:
    hidden = network.join(network.game("Hid", is_displayed=False), players=["Alice"])
    application = network.join(network.application(), players=["Bob"], sync=False)

    assert tell(hidden, application.peer.short_name)["status"] == "success"
    assert application.wait_for("tells/receive")["payload"]["from_game"] == hidden.peer.short_name
    assert tell(application, hidden.peer.short_name, from_name="Bob", to_name="Alice")["status"] == "success"
    hidden.wait_for("tells/receive")


def test_a_tell_without_a_ref_is_delivered_without_an_answer(pair: tuple[SocketClient, SocketClient]) -> None:
    sender, receiver = pair
    payload = {"from_name": "Alice", "to_game": receiver.peer.short_name, "to_name": "Bob", "message": "hi"}
    sender.send("tells/send", payload)
    receiver.wait_for("tells/receive")
    sender.settle()
    assert sender.events("tells/send") == []


@pytest.mark.in_process
@pytest.mark.parametrize("message", ["hello", "register", "  REGISTER   some-key ", "help", "\n\t x"])
def test_system_at_grapevine_answers(network: Network, message: str) -> None:
    client = network.join(players=[])

    answer = tell(client, "grape vine", to_name="System", from_name="Newbie", message=message)

    assert answer["status"] == "success"
    got = client.wait_for("tells/receive")["payload"]
    assert (got["from_game"], got["from_name"], got["to_name"]) == ("Grapevine", "system", "Newbie")
    assert got["message"]
    assert client.frames.index(answer) < len(client.frames) - 1


@pytest.mark.in_process
def test_grapevine_has_no_other_players(network: Network) -> None:
    client = network.join(players=["Alice"])
    assert error(tell(client, "Grapevine")) == ("player-offline", "receiving player offline")


def test_tells_are_not_logged(network: Network, pair: tuple[SocketClient, SocketClient]) -> None:
    sender, receiver = pair
    tell(sender, receiver.peer.short_name, message="a secret of theirs")
    receiver.wait_for("tells/receive")
    for worker in network.workers:
        assert "a secret of theirs" not in worker.output


def test_only_the_number_of_tells_by_sender_and_day_is_stored(start_worker: Any, stored: Any) -> None:
    """Counts that are not stored yet are written when the worker stops."""
    games = [stored.game_with_credentials(name) for name in ("Counting", "Counted")]
    worker = start_worker()
    sender, receiver = (SocketClient(worker.url) for _ in games)
    for client, (_game, credentials), player in zip((sender, receiver), games, ("Odo", "Quark"), strict=True):
        client.authenticate(
            credentials.client_id, credentials.client_secret, supports=["channels", "tells"], players=[player]
        )
    payload = {"from_name": "Odo", "to_game": "Counted", "to_name": "Quark", "message": "A secret of ours"}
    assert sender.request("tells/send", payload)["status"] == "success"
    assert sender.request("tells/send", payload)["status"] == "success"
    assert sender.request("tells/send", {**payload, "to_name": "Nobody"})["status"] == "failure"
    worker.stop()
    with db.reading() as session:
        counts = [(row.peer, row.tells) for row in session.scalars(select(TellCount))]
        assert counts == [(f"game:{games[0][0].id}", 2)]
