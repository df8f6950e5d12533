"""The "games" flag over real sockets, of one worker and of two (docs/protocol.md, §7)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import select

from shared.models import UserAgent
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from tests.support.client import Frame, SocketClient
from tests.support.factory import edit_game
from tests.support.network import Network, Peer
from tests.support.waiting import wait_until

NETWORK_SETTINGS = {"OFFLINE_SECONDS": "0.6"}


def notices_of(client: SocketClient, peer: Peer) -> list[str]:
    """Return the notices about a game that a socket has received so far."""
    events = ("games/connect", "games/disconnect")
    return [
        frame["event"].partition("/")[2]
        for frame in client.frames
        if frame["event"] in events and frame["payload"]["game"] == peer.short_name
    ]


def status(client: SocketClient, peer: Peer) -> Frame:
    return client.request("games/status", {"game": peer.short_name})["payload"]


def listed(client: SocketClient) -> dict[str, Frame]:
    ref = client.send("games/status", ref=str(uuid.uuid4()))
    client.settle()
    answers = [frame for frame in client.events("games/status") if frame["ref"] == ref]
    assert all(set(frame) == {"event", "ref", "status", "payload"} for frame in answers)
    assert all(frame["status"] == "success" for frame in answers)
    return {frame["payload"]["game"]: frame["payload"] for frame in answers}


def test_a_game_is_announced_when_it_connects_and_when_it_stays_away(network: Network) -> None:
    watcher = network.join()
    game = network.game()

    first = network.join(game)
    notice = watcher.wait_for("games/connect", payload={"game": game.short_name})
    assert set(notice) == {"event", "ref", "payload"} and notice["payload"] == {"game": game.short_name}
    second = network.join(game)
    first.drop()
    network.flush(watcher)
    assert notices_of(watcher, game) == ["connect"]
    second.drop()
    watcher.wait_for("games/disconnect", payload={"game": game.short_name})
    assert notices_of(watcher, game) == ["connect", "disconnect"]
    network.join(game)
    watcher.wait_for("games/connect", payload={"game": game.short_name})


def test_a_quick_reconnect_is_not_announced(network: Network) -> None:
    watcher = network.join()
    other = network.game()
    first = network.join()
    game = first.peer
    watcher.wait_for("games/connect", payload={"game": game.short_name})

    first.drop()
    network.wait_offline(game)
    again = network.join(game, worker=1)

    network.join(other).drop()  # a marker: notices of later events come after its own
    watcher.wait_for("games/disconnect", payload={"game": other.short_name})
    network.flush(watcher)
    assert notices_of(watcher, game) == ["connect"]
    assert again.events("games/connect") == []


def test_notices_reach_the_right_sockets(network: Network) -> None:
    watcher, other = network.join(), network.join(supports=["channels", "players"])
    game = network.game()
    second = network.join(game)
    hidden = network.join(network.game("Hid", is_displayed=False))
    application = network.join(network.application(), sync=False)

    late = network.join()
    for client in (watcher, hidden, application):
        client.wait_for("games/connect", payload={"game": late.peer.short_name})
    network.flush(watcher, other, second)

    assert notices_of(watcher, game) == ["connect"]
    assert notices_of(second, game) == []
    assert notices_of(other, game) == [] and other.events("games/connect") == []
    assert notices_of(watcher, hidden.peer) == notices_of(watcher, application.peer) == []
    hidden.drop()
    application.drop()
    late.drop()
    watcher.wait_for("games/disconnect", payload={"game": late.peer.short_name})
    assert notices_of(watcher, hidden.peer) == notices_of(watcher, application.peer) == []


def test_a_status_has_all_known_details(network: Network) -> None:
    asker = network.join()
    game = network.game("Rich", description="A fine game", homepage_url="https://rich.example.com")
    with network.factory._open_session() as session:
        from shared.services import games

        for fields in (
            {"type": "web", "url": "https://rich.example.com/play"},
            {"type": "telnet", "host": "rich.example.com", "port": 4000},
            {"type": "secure telnet", "host": "rich.example.com", "port": 4443},
        ):
            games.add_connection(
                session, actors.of_user(session, network._owner.id), short_name=game.short_name, **fields
            )
    public = network.factory.channel(is_hidden=False).name
    network.join(
        game, players=["Bob"], channels=[public, "hid-chan"], user_agent="Rich 1.0", supports=["channels", "players"]
    )
    network.join(game, players=["Alice"], supports=["channels", "tells"])

    expected: dict[str, Any] = {
        "game": game.short_name,
        "display_name": f"The {game.short_name}",
        "description": "A fine game",
        "homepage_url": "https://rich.example.com",
        "user_agent": "Rich 1.0",
        "connections": [
            {"type": "web", "url": "https://rich.example.com/play"},
            {"type": "telnet", "host": "rich.example.com", "port": 4000},
            {"type": "secure telnet", "host": "rich.example.com", "port": 4443},
        ],
        "supports": ["channels", "players", "tells"],
        "channels": [public],
        "players_online_count": 2,
        "player_online_count": 2,
    }
    network.wait_game(game, lambda payload: "user_agent" in payload and payload.get("channels"))
    game_status = status(asker, game)
    game_status["connections"].sort(key=lambda way: (way["type"] != "web", way.get("port", 0)))
    assert game_status == expected
    in_list = listed(asker)[game.short_name]
    in_list["connections"].sort(key=lambda way: (way["type"] != "web", way.get("port", 0)))
    assert in_list == expected


def test_status_right_after_connect_has_the_user_agent_that_was_just_declared(network: Network) -> None:
    watcher, game = network.join(worker=0), network.game()

    for version in ("1.0", "1.1"):
        socket = network.open(worker=1)
        socket.authenticate(game.client_id, game.client_secret, user_agent=f"Quick {version}")
        watcher.wait_for("games/connect", payload={"game": game.short_name})
        assert (
            status(watcher, game)["user_agent"] == listed(watcher)[game.short_name]["user_agent"] == f"Quick {version}"
        )
        socket.drop()
        watcher.wait_for("games/disconnect", payload={"game": game.short_name})

    network.wait_game(game, lambda payload: payload.get("user_agent") == "Quick 1.1")  # offline, from the record


@pytest.mark.one_worker
def test_a_tool_that_tests_credentials_is_not_stored_as_user_agent(network: Network) -> None:
    asker, game = network.join(), network.game()
    network.join(game, user_agent="gossip-client doctor")
    network.join(game, user_agent="Rich 1.0")
    network.wait_game(game, lambda payload: payload.get("user_agent") == "Rich 1.0")
    network.join(game, user_agent="gossip-client doctor")
    network.join(game, user_agent="gossip-client chat")

    assert status(asker, game)["user_agent"] == "Rich 1.0"
    network.join(user_agent="Later 1.0")

    def stored_names() -> list[str]:
        with network.factory._open_session() as session:
            return list(session.scalars(select(UserAgent.name)))

    wait_until(lambda: "Later 1.0" in stored_names(), what="what all games have declared is stored")
    assert not [name for name in stored_names() if name.startswith("gossip-client")]


def test_status_follows_changes(network: Network) -> None:
    from shared.services import channels

    asker, channel = network.join(), network.factory.channel(is_hidden=False)
    client = network.join(players=["Bob"], channels=[channel.name])
    game = client.peer
    network.wait_game(game, lambda payload: payload.get("channels") == [channel.name])
    assert listed(asker)[game.short_name]["players_online_count"] == 1

    with network.factory._open_session() as session:
        edit_game(session, game.short_name, actor=actors.of_user(session, network._owner.id), description="New")
        channels.update_channel(session, OPERATOR, name=channel.name, is_hidden=True)
    client.send("heartbeat", {"players": ["Bob", "Carol"]})

    network.wait_game(
        game,
        lambda payload: (
            payload.get("description") == "New"
            and payload.get("channels") == []
            and payload.get("players_online_count") == 2
        ),
    )
    network.wait_game(game, lambda payload: listed(asker)[game.short_name].get("description") == "New")
    with network.factory._open_session() as session:
        edit_game(session, game.short_name, actor=actors.of_user(session, network._owner.id), is_displayed=False)
    network.wait_game(game, lambda payload: game.short_name not in listed(asker))


def test_lists_omit_the_sender_hidden_games_and_applications(network: Network) -> None:
    asker = network.join()
    shown = network.join()
    hidden = network.join(network.game("Hid", is_displayed=False))
    application = network.join(network.application(), sync=False, user_agent="Mirror 2")

    statuses = listed(asker)

    assert shown.peer.short_name in statuses and "Grapevine" in statuses
    for client in (asker, hidden, application):
        assert client.peer.short_name not in statuses
    assert "supports" in status(asker, hidden.peer)
    by_name = status(asker, application.peer)
    assert by_name["display_name"] == f"The {application.peer.short_name}"
    assert by_name["supports"] == ["channels", "players", "tells", "games"] and by_name["user_agent"] == "Mirror 2"
    assert listed(application).keys() >= {asker.peer.short_name, shown.peer.short_name}


@pytest.mark.one_worker
def test_grapevine_is_a_game_like_any_other(network: Network) -> None:
    asker = network.join()
    for grapevine in (listed(asker)["Grapevine"], asker.request("games/status", {"game": "grapevine"})["payload"]):
        assert grapevine["game"] == grapevine["display_name"] == "Grapevine"
        assert grapevine["players_online_count"] == grapevine["player_online_count"] == 1
        assert grapevine["homepage_url"].startswith("http") and grapevine["connections"] == []


@pytest.mark.one_worker
def test_the_status_of_an_offline_or_unknown_game_is_refused(network: Network) -> None:
    asker, offline = network.join(), network.game()

    answer = asker.request("games/status", {"game": offline.short_name.lower()})
    assert answer["status"] == "success"
    assert answer["payload"] == {
        "game": offline.short_name,
        "display_name": f"The {offline.short_name}",
        "connections": [],
    }
    for name in ("NoSuchGame", "", "a\u0000b", "ß"):
        answer = asker.request("games/status", {"game": name})
        assert (answer["code"], answer["error"]) == ("unknown-game", "unknown game") and "payload" not in answer


def test_both_kinds_of_status_are_answered_in_the_order_of_the_requests(network: Network) -> None:
    for _ in range(5):
        network.join()
    asker = network.join()
    asker.send("games/status", ref=1)
    asker.send("players/status", ref=2)
    asker.send("games/status", ref=3)
    asker.settle()
    refs = [frame["ref"] for frame in asker.frames if frame["event"].endswith("/status")]
    assert refs == sorted(refs) and set(refs) == {1, 2, 3}


def test_status_needs_a_ref_and_the_flag(network: Network) -> None:
    asker, other = network.join(), network.join(supports=["channels"])
    asker.send("games/status")
    asker.settle()
    assert asker.events("games/status") == []
    assert other.request("games/status")["error"] == 'missing support for "games"'


@pytest.mark.one_worker
@pytest.mark.parametrize("payload", [{"game": 5}, {"game": []}, [5]])
def test_a_malformed_request_is_refused(network: Network, payload: Any) -> None:
    answer = network.join().request("games/status", payload)
    assert answer["code"] == "invalid"
