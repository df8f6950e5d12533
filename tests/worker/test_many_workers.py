"""Several workers as one network, in real processes, and what happens when parts of it fail."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from shared.presence import list_sockets
from tests.support.client import SocketClient
from tests.support.factory import Factory
from tests.support.network import ALL_FLAGS, Network
from tests.support.processes import free_port
from tests.support.servers import RunningWorker
from tests.support.valkey import TestValkey
from tests.support.waiting import wait_until

Start = Callable[..., RunningWorker]


@pytest.fixture
def build(start_worker: Start, stored: Factory, environment: dict[str, str], own_valkey: TestValkey) -> Any:
    """Return a function that starts a network with this number of workers: build(2, OFFLINE_SECONDS="1")."""
    built: list[Network] = []

    def start(workers: int, **settings: str) -> Network:
        network = Network([start_worker(**settings) for _ in range(workers)], stored, environment, own_valkey)
        built.append(network)
        return network

    yield start
    for network in built:
        network.close()
        for worker in network.workers:
            assert "Traceback" not in worker.output, worker.output


def said(client: SocketClient) -> list[str]:
    return [frame["payload"]["message"] for frame in client.events("channels/broadcast")]


def say(client: SocketClient, message: str, name: str = "Alice") -> None:
    answer = client.request("channels/send", {"channel": "gossip", "name": name, "message": message})
    assert answer["status"] == "success"


def test_two_workers_share_a_port(build: Any) -> None:
    network = build(2, SOCKET_PORT=str(free_port()))
    clients = [network.join(channels=["gossip"]) for _ in range(24)]
    with redis.Redis.from_url(network.valkey.url) as client:
        assert len({socket.worker for socket in list_sockets(client)}) == 2
    say(clients[0], "hello")
    for other in clients[1:]:
        other.wait_for("channels/broadcast", payload={"message": "hello"})


def test_lines_arrive_once_in_order_and_never_return_to_the_sender(build: Any) -> None:
    network = build(2)
    game = network.game()
    senders = [network.join(game, channels=["gossip"], worker=number) for number in range(2)]
    listeners = [network.join(channels=["gossip"], worker=number) for number in range(2)]
    for number in range(200):
        senders[number % 2].send(
            "channels/send", {"channel": "gossip", "name": "A", "message": f"{number % 2} {number}"}
        )
    for listener in listeners:
        for number in range(200):
            listener.wait_for("channels/broadcast", payload={"message": f"{number % 2} {number}"})
    network.flush(*senders, *listeners)
    for listener in listeners:
        lines = [line for line in said(listener) if not line.startswith("flush")]
        assert len(lines) == 200
        for sender in "01":
            numbers = [int(line.split()[1]) for line in lines if line.startswith(sender)]
            assert numbers == sorted(numbers)
    for sender in senders:
        assert all(line.startswith("flush") for line in said(sender))


def test_changes_reach_applications_on_every_worker(build: Any) -> None:
    network = build(2)
    applications = [network.join(network.application(), worker=number) for number in range(2)]
    for client in applications:
        client.wait_for("sync/complete")
    game = network.join(channels=["brand-new"], worker=1)
    for client in applications:
        wait_until(
            lambda client=client: client._read(0.05) and '"brand-new"' in str(client.frames).replace("'", '"'),
            seconds=10,
        )
    assert game.request("channels/unsubscribe", {"channel": "brand-new"})["status"] == "success"


def test_the_sockets_of_a_killed_worker_disappear(build: Any) -> None:
    network = build(2, PRESENCE_SECONDS="1.5", OFFLINE_SECONDS="0.5")
    watcher = network.join(worker=0)
    ghost = network.join(players=["Casper"], worker=1)
    watcher.wait_for("games/connect", payload={"game": ghost.peer.short_name})

    network.workers[1].kill()
    killed_at = time.monotonic()

    def is_gone() -> bool:
        answer = watcher.request("players/status", {"game": ghost.peer.short_name})
        return answer["payload"]["players"] == []

    wait_until(is_gone, seconds=6)
    assert time.monotonic() - killed_at < 1.5 * 4 / 3 + 1  # in proportion to 45 s: 60 s at most
    watcher.wait_for("games/disconnect", payload={"game": ghost.peer.short_name})
    assert network.online_sockets(ghost.peer) == 0
    tell = {"from_name": "x", "to_game": ghost.peer.short_name, "to_name": "Casper", "message": "hi"}
    assert watcher.request("tells/send", tell)["code"] == "game-offline"


def test_only_a_worker_that_was_killed_counts_as_lost(build: Any) -> None:
    """Both are gone for as long when the others miss the killed one."""
    network = build(3, PRESENCE_SECONDS="1.5")
    watcher, stopped, killed = network.workers
    for number in range(3):
        network.join(worker=number)
    assert stopped.stop() == 0
    killed.kill()
    wait_until(lambda: "a worker was lost" in watcher.output, seconds=15, what="the killed worker is missed")
    assert watcher.output.count("a worker was lost") == 1


def test_a_stopping_worker_leaves_at_once_without_notices_about_returning_games(build: Any) -> None:
    network = build(2, OFFLINE_SECONDS="2")
    watcher = network.join(worker=0)
    moving, staying_away = network.join(players=["Alice"], worker=1), network.join(worker=1)
    for client in (moving, staying_away):
        watcher.wait_for("games/connect", payload={"game": client.peer.short_name})

    network.workers[1].send_signal(signal.SIGTERM)

    for client in (moving, staying_away):
        restart = client.wait_for("restart")
        assert 15 <= restart["payload"]["downtime"] <= 20 and restart["ref"]
        assert client.wait_closed() == 1012 and client.close_reason
    assert network.workers[1].wait() == 0
    assert watcher.request("players/status", {"game": moving.peer.short_name})["payload"]["players"] == []
    again = network.open(worker=0)
    again.authenticate(moving.peer.client_id, moving.peer.client_secret, supports=ALL_FLAGS)
    watcher.wait_for("games/disconnect", payload={"game": staying_away.peer.short_name})
    watcher.settle()
    assert [frame["payload"]["game"] for frame in watcher.events("games/connect")].count(moving.peer.short_name) == 1
    assert moving.peer.short_name not in [frame["payload"]["game"] for frame in watcher.events("games/disconnect")]


def test_a_restarted_worker_does_not_announce_returning_games(build: Any, start_worker: Start) -> None:
    network = build(1, OFFLINE_SECONDS="6")
    games = [network.join().peer for _ in range(3)]
    assert network.workers[0].stop() == 0
    network.workers[0] = start_worker(OFFLINE_SECONDS="6")
    network._probes.clear()

    watcher, other = network.join(games[0]), network.join(games[1])

    new = network.join()
    watcher.wait_for("games/connect", payload={"game": new.peer.short_name})
    watcher.wait_for("games/disconnect", payload={"game": games[2].short_name}, seconds=15)
    assert [frame["payload"]["game"] for frame in watcher.events("games/connect")] == [new.peer.short_name]
    assert other.peer.short_name not in [frame["payload"]["game"] for frame in watcher.events("games/disconnect")]


def test_two_hundred_sockets_that_never_answer_do_not_keep_a_worker_from_stopping(build: Any) -> None:
    network = build(1)
    game = network.game()
    clients = [network.open(answers_heartbeats=False) for _ in range(200)]
    for client in clients:
        client.authenticate(game.client_id, game.client_secret)
        client.wait_for("heartbeat")
    started = time.monotonic()
    network.workers[0].send_signal(signal.SIGTERM)
    downtimes = set()
    for client in clients:
        data = b""
        while b"\x03\xf4" not in data:  # 1012; the close frame is not answered
            data += client.raw.recv(4096)
        downtimes.add(int(re.findall(rb'"restart".*"downtime":(\d+)', data)[0]))
    assert network.workers[0].wait(seconds=12) == 0
    assert time.monotonic() - started < 10
    assert downtimes <= set(range(15, 21)) and len(downtimes) > 2


def test_the_network_recovers_from_a_redis_outage(build: Any) -> None:
    """Sockets of one worker still reach each other. Lines that the other worker missed arrive later, in order."""
    network = build(2, PRESENCE_SECONDS="3", OFFLINE_SECONDS="1")
    sender, near, far = (network.join(channels=["gossip"], worker=number) for number in (0, 0, 1))
    leaving = network.join(players=["Left"], worker=0)
    say(sender, "before")
    for client in (near, far):
        client.wait_for("channels/broadcast", payload={"message": "before"})
    connects = len(near.events("games/connect"))

    network.valkey.stop()
    for number in range(40):
        say(sender, f"line {number}")
    assert [near.wait_for("channels/broadcast")["payload"]["message"] for _ in range(40)] == [
        f"line {number}" for number in range(40)
    ]
    assert sender.request("players/sign-in", {"name": "Meanwhile"})["status"] == "success"
    leaving.drop()
    arriving = network.open(worker=0)
    arriving_game = network.game()
    arriving.authenticate(
        arriving_game.client_id, arriving_game.client_secret, supports=ALL_FLAGS, channels=["gossip"], players=["New"]
    )
    far.settle()
    assert said(far) == ["before"]

    network.valkey.start()
    for number in range(40):
        assert far.wait_for("channels/broadcast", seconds=10)["payload"]["message"] == f"line {number}"
    say(sender, "after")
    far.wait_for("channels/broadcast", payload={"message": "after"})
    network.wait_player(sender.peer, "Meanwhile")
    network.wait_player(arriving_game, "New")
    network.wait_offline(leaving.peer)
    network.flush(near, far)
    lines = [line for line in said(far) if not line.startswith("flush")]
    assert lines == ["before", *(f"line {number}" for number in range(40)), "after"]
    assert [line for line in said(near) if not line.startswith("flush")] == lines
    old = {frame["payload"]["game"] for frame in far.events("games/connect")[connects:]}
    assert sender.peer.short_name not in old and near.peer.short_name not in old
    for client in (sender, near, far, arriving):
        assert not client.is_closed


def test_a_worker_that_starts_without_redis_joins_the_others_later(build: Any, start_worker: Start) -> None:
    network = build(1)
    old = network.join(players=["Alice"], channels=["gossip"], worker=0)
    network.valkey.stop()
    network.workers.append(start_worker())
    game = network.game()
    client = network.open(worker=1)
    client.authenticate(game.client_id, game.client_secret, supports=ALL_FLAGS, channels=["gossip"])
    assert client.request("players/status", {"game": old.peer.short_name})["payload"]["players"] == []

    network.valkey.start()

    wait_until(
        lambda: client.request("players/status", {"game": old.peer.short_name})["payload"]["players"] == ["Alice"]
    )
    say(client, "hello")
    old.wait_for("channels/broadcast", payload={"message": "hello"})
    client.settle()
    assert client.events("games/connect") == []


def test_a_lost_signal_about_a_socket_is_noticed(build: Any) -> None:
    """A socket that closes while its signal is lost does not stay online forever."""
    network = build(2, PRESENCE_SECONDS="2")
    leaving = network.join(players=["Left"], worker=0)
    with redis.Redis.from_url(network.valkey.url) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        leaving.drop()
    network.wait_offline(leaving.peer)
