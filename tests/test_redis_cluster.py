"""A whole network on a Valkey Cluster of two shards, which REDIS_URL alone chooses."""

from __future__ import annotations

import json
import re

import pytest

from app import create_app
from shared import bus, diagnostics
from shared.bus import Bus
from shared.peer_keys import of_game
from shared.redis_cluster import shard_topic
from shared.signals import RestartAnnounced, Signal
from tests.support.servers import RunningSite, get
from tests.support.waiting import wait_until

FLAGS = ["channels", "players", "tells", "games"]


@pytest.fixture(scope="module")
def cluster():
    from tests.support.cluster import TestCluster

    cluster = TestCluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def redis_url(cluster):
    for shard in cluster.shards:
        shard.flushall()
    return cluster.url


def test_topics_are_spread_over_the_shards_and_ordered_ones_share_one(cluster):
    client = Bus(cluster.url).redis
    topics = {signal_class.topic for signal_class in Signal.__subclasses__()}
    shards = {topic: client.get_node_from_key(shard_topic(topic)).port for topic in topics}
    assert len(set(shards.values())) == 2
    assert client.keyslot(shard_topic("players")) == client.keyslot(shard_topic("presence"))


def say(game, text):
    return game.request("channels/send", {"channel": "gossip", "name": "Wren", "message": text})["status"]


def next_line(game):
    return game.wait_for("channels/broadcast")["payload"]["message"]


@pytest.mark.usefixtures("processes")
def test_a_network_of_two_workers_and_a_site(cluster, stored, start_worker, connect, run_flask, environment):
    """Chat, presence, tells, diagnostics, rate limits and the command line work, also after a topic has moved."""
    stored.channel("gossip")
    workers = [start_worker(), start_worker()]
    games = []
    for worker, player in zip(workers, ("Wren", "Odo"), strict=True):
        game, keys = stored.game_with_credentials()
        socket = connect(worker.url)
        socket.players = [player]
        socket.authenticate(keys.client_id, keys.client_secret, supports=FLAGS, channels=["gossip"], players=[player])
        games.append((game, socket))
    (alice_game, alice), (bob_game, bob) = games
    alice.wait_for("games/connect", payload={"game": bob_game.short_name})

    assert say(alice, "hello") == "success" and next_line(bob) == "hello"
    tell = {"from_name": "Wren", "to_game": bob_game.short_name, "to_name": "Odo", "sent_at": "2026-01-01T00:00:00Z"}
    assert alice.request("tells/send", {**tell, "message": "psst"})["status"] == "success"
    assert bob.wait_for("tells/receive")["payload"]["message"] == "psst"

    alice.request("players/sign-in", {"name": "Ash"})
    assert bob.wait_for("players/sign-in")["payload"] == {"game": alice_game.short_name, "name": "Ash"}

    status = json.loads(run_flask("network", "status").stdout)
    assert status["redis"] is True and len(status["workers"]) == 2 and len(status["sockets"]) == 2

    # Another worker's lines arrive again soon after their topic has moved to the other shard.
    topic = shard_topic("messages")
    home = 0 if cluster.subscribers(topic)[0] else 1
    cluster.move(topic, to=1 - home)
    try:
        wait_until(lambda: cluster.subscribers(topic)[1 - home] == 2, what="both workers follow the topic")
        assert say(alice, "moved") == "success" and next_line(bob) == "moved"
    finally:
        cluster.move(topic, to=home)

    client = Bus(cluster.url).redis
    wait_until(lambda: diagnostics.read(client, of_game(bob_game.id)).frames, what="frames are recorded")

    site = RunningSite({**environment, "RATE_LIMITS": "on"})
    try:
        site.wait_until_ready()
        assert json.loads(get(site.port, "/_health")[1])["redis"] == "ok"
        assert alice_game.name in get(site.port, "/games?online=1")[1]
    finally:
        site.stop()


def test_a_cluster_that_is_down_loses_signals_and_raises_nothing():
    away = Bus("redis+cluster://127.0.0.1:1")
    assert not away.is_up() and not away.publish(RestartAnnounced(1))
    with pytest.raises(bus.redis.RedisError):
        _ = away.redis


def test_the_site_starts_without_the_cluster(make_settings):
    """It reports the outage, and still limits attempts to sign in."""
    site = create_app(make_settings(REDIS_URL="redis+cluster://127.0.0.1:1", RATE_LIMITS="on")).test_client()
    assert site.get("/_health").get_json()["redis"] == "down"
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', site.get("/sign-in").text)[1]
    form = {"login": "nobody", "password": "wrong password", "csrf_token": token}
    statuses = []
    while len(statuses) < 50 and 429 not in statuses:
        statuses.append(site.post("/sign-in", data=form).status_code)
    assert statuses[0] == 422 and statuses[-1] == 429
