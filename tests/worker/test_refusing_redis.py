"""A Redis that answers and does not do what it is asked: a read-only replica, a full memory, a missing password."""

from __future__ import annotations

import json

import pytest
import redis

from shared.presence import list_sockets
from tests.app.conftest import Visitor
from tests.support.factory import PASSWORD
from tests.support.servers import get
from tests.support.waiting import wait_until
from tests.worker.test_faults import enter

REFUSALS = {
    # A replica of nothing: it serves what it has, and refuses to write.
    "read-only": ([("REPLICAOF", "127.0.0.1", "1")], [("REPLICAOF", "NO", "ONE")], "refusing"),
    "full": ([("CONFIG", "SET", "maxmemory", "1")], [("CONFIG", "SET", "maxmemory", "0")], "refusing"),
    "locked": (
        [("CONFIG", "SET", "requirepass", "a password"), ("CLIENT", "KILL", "TYPE", "normal"),
         ("CLIENT", "KILL", "TYPE", "pubsub")],
        [("CONFIG", "SET", "requirepass", "")],
        "down",
    ),
}  # fmt: skip


@pytest.fixture(params=REFUSALS)
def refusal(request, own_valkey):
    """Returns functions that make Valkey refuse and stop it, and what `/_health` says meanwhile."""
    begin, end, state = REFUSALS[request.param]

    def run(commands, password=None):
        with redis.Redis.from_url(own_valkey.url, password=password) as client:
            for command in commands:
                try:
                    client.execute_command(*command)
                except redis.ConnectionError:  # CLIENT KILL ends this connection too
                    client.connection_pool.disconnect()

    def begin_refusing():
        with redis.Redis.from_url(own_valkey.url) as client:
            client.set("filler", b"x" * 100_000)
        run(begin)

    yield begin_refusing, lambda: run(end, "a password" if state == "down" else None), state


def health(port: int) -> str:
    return json.loads(get(port, "/_health")[1])["redis"]


def test_a_worker_serves_its_sockets_and_repairs_its_presence(start_worker, stored, connect, own_valkey, refusal):
    begin, end, state = refusal
    worker = start_worker(PRESENCE_SECONDS="3")
    stored.channel("gossip")
    first, second = enter(worker, stored, "First", connect), enter(worker, stored, "Second", connect)
    begin()
    wait_until(lambda: health(worker.port) == state, what="the worker's health")
    for number in range(3):
        line = {"channel": "gossip", "name": "Wren", "message": f"line {number}"}
        assert first.request("channels/send", line)["status"] == "success"
        second.wait_for("channels/broadcast", payload=line | {"game": "First"})
    assert first.request("players/sign-in", {"name": "Wren"})["status"] == "success"
    third = enter(worker, stored, "Third", connect)
    assert third.request("games/status", {})["status"] == "success"

    end()
    with redis.Redis.from_url(own_valkey.url) as client:
        client.flushall()
        wait_until(lambda: health(worker.port) == "ok", what="the worker's health")
        wait_until(lambda: len(list_sockets(client)) == 3, what="the presence of all games")
    assert "Traceback" not in worker.output, worker.output
    assert worker.output.count("redis refuses commands") == (state == "refusing"), worker.output


def test_the_site_serves_its_pages(make_settings, engine, stored, refusal):
    from app import create_app

    begin, end, state = refusal
    app = create_app(make_settings(RATE_LIMITS="on"))
    user = stored.user("wren")
    begin()
    visitor = Visitor(app)
    assert visitor.client.get("/_health").get_json()["redis"] == state
    for _ in range(12):
        visitor.send("/sign-in", login="wren", password="wrong")
    assert visitor.status == 429  # counted in the process meanwhile
    visitor = Visitor(app)
    assert visitor.send("/register", username="robin", email="r@example.com", password=PASSWORD,
                        password_confirmation=PASSWORD).status_code == 303  # fmt: skip
    for path in ("/", "/games", "/chat", "/manage/games", "/account", f"/players/{user.username}"):
        assert visitor.client.get(path).status_code == 200, path
    assert visitor.send("/manage/games/new", name="Harbour", short_name="Harbour").status_code in (200, 201, 303)
    end()
    assert visitor.client.get("/_health").get_json()["redis"] == "ok"
