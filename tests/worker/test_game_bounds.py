"""A game with many sockets cannot harm other games."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.client import Closed, Frame, SocketClient
from tests.support.network import ALL_FLAGS, Network, Peer
from tests.support.waiting import wait_until

NETWORK_SETTINGS = {"RATE_LIMITS": "on", "HEARTBEAT_SECONDS": "3", "GAME_SOCKETS": "20"}
ANSWER_BYTES = 132 * 1024


def long_names(socket: int, count: int = 260) -> list[str]:
    """Return names of 240 bytes, different for each socket. By default they fill one message."""
    return [f"{socket:02}{number:03}" + "\U0001f409" * 55 for number in range(count)]


def open_socket(network: Network, peer: Peer, **payload: object) -> SocketClient:
    client = network.open()
    client.authenticate(peer.client_id, peer.client_secret, supports=ALL_FLAGS, **payload)  # type: ignore[arg-type]
    return client


def list_players(client: SocketClient, peer: Peer) -> list[str]:
    names: list[str] = client.request("players/status", {"game": peer.short_name})["payload"]["players"]
    return names


def size_of(frame: Frame) -> int:
    return len(json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode())


def test_the_players_of_a_game_are_limited_over_all_its_sockets(network: Network) -> None:
    crowd = network.game()
    sockets = [open_socket(network, crowd) for _ in range(19)]
    for number, socket in enumerate(sockets):
        beat = {"event": "heartbeat", "payload": {"players": long_names(number)}}
        socket.send_text(json.dumps(beat, ensure_ascii=False))
        socket.settle()
    reader = network.join()
    network.flush(reader)
    wait_until(lambda: len(list_players(reader, crowd)) > 400, what="the players are known")

    answer = reader.request("players/status", {"game": crowd.short_name})
    assert 100 * 1024 < size_of(answer) <= ANSWER_BYTES
    reader.send("players/status", ref="all")
    reader.wait_for("players/status", ref="all", payload={"game": crowd.short_name})
    assert reader.request("games/status", {"game": crowd.short_name})["payload"]["players_online_count"] <= 5000

    refused = sockets[0].request("players/sign-in", {"name": "\U0001f409" * 60})
    assert refused["code"] == "invalid" and "too many players" in refused["error"]
    for socket in sockets:
        socket.send("heartbeat", {"players": []})
    network.flush(reader)
    assert sockets[0].request("players/sign-in", {"name": "Alice"})["status"] == "success"


def test_the_sockets_of_a_game_are_limited(network: Network) -> None:
    game = network.game()
    sockets = [open_socket(network, game) for _ in range(20)]
    wait_until(lambda: network.online_sockets(game) == 20, what="all sockets are online")
    network.flush(*sockets[:2])  # each worker knows them all

    further = network.open()
    further.send(
        "authenticate", {"client_id": game.client_id, "client_secret": game.client_secret, "supports": ["channels"]}
    )
    with pytest.raises(Closed) as closed:
        further.wait_for("authenticate")
    assert (closed.value.code, closed.value.reason) == (4000, "too many sockets are open")

    sockets[0].close(1001)
    wait_until(lambda: network.online_sockets(game) == 19, what="a socket has left")

    def has_room() -> bool:
        try:
            open_socket(network, game)
        except Closed:
            return False
        return True

    wait_until(has_room, what="room for another socket")


@pytest.mark.one_worker
def test_a_dead_socket_makes_room_for_a_new_one(network: Network) -> None:
    game = network.game()
    silent = network.open(answers_heartbeats=False)
    silent.authenticate(game.client_id, game.client_secret)
    others = [open_socket(network, game) for _ in range(19)]
    deadline = time.monotonic() + 3.5
    while time.monotonic() < deadline:
        for client in others:
            client.settle()
        time.sleep(0.1)  # time is the subject: heartbeats must be missed
    open_socket(network, game)
    with pytest.raises((Closed, AssertionError)):
        silent.wait_for("restart", seconds=2)
    assert silent.close_code == 4001
    assert all(client.request("games/status", {"game": game.short_name})["status"] == "success" for client in others)


def test_players_who_come_and_go_on_many_sockets_do_not_flood_others(network: Network) -> None:
    listener = network.join()
    noisy = network.game()
    for _ in range(3):
        sockets = [open_socket(network, noisy) for _ in range(4)]
        for number, socket in enumerate(sockets):
            for _ in range(60):
                socket.send("players/sign-in", {"name": f"P{number}"})
                socket.send("players/sign-out", {"name": f"P{number}"})
        for socket in sockets:
            socket.settle()
            socket.close(1001)
        wait_until(lambda: network.online_sockets(noisy) == 0, what="all have left")
    network.flush(listener)
    notices = listener.events("players/sign-in") + listener.events("players/sign-out")
    # The players sign in and out 1,440 times. The limit is a burst of 400, and then 20 a second.
    assert 100 < len(notices) <= 400 + 20 * 15
