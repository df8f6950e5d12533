"""A Redis that answers and does not do what it is asked: each way in which a real Valkey refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest
import redis

from shared.presence import list_sockets
from tests.app.conftest import Visitor
from tests.support.factory import PASSWORD
from tests.support.processes import free_port
from tests.support.servers import get
from tests.support.valkey import TestValkey
from tests.support.waiting import wait_until
from tests.worker.test_faults import enter

FILLER_BYTES = 100_000
KEYS = 500  # of the file that a server reads slowly


def run(valkey: TestValkey, *commands: tuple[str, ...], password: str | None = None) -> None:
    with redis.Redis.from_url(valkey.url, password=password) as client:
        for command in commands:
            try:
                client.execute_command(*command)  # type: ignore[no-untyped-call]
            except redis.ConnectionError:  # CLIENT KILL ends this connection too
                client.connection_pool.disconnect()


@contextmanager
def read_only(valkey: TestValkey) -> Iterator[None]:
    """READONLY: a replica of nothing serves what it has, and refuses to write."""
    run(valkey, ("REPLICAOF", "127.0.0.1", "1"))
    yield
    run(valkey, ("REPLICAOF", "NO", "ONE"))


@contextmanager
def full(valkey: TestValkey) -> Iterator[None]:
    """OOM."""
    run(valkey, ("CONFIG", "SET", "maxmemory", "1"))
    yield
    run(valkey, ("CONFIG", "SET", "maxmemory", "0"))


@contextmanager
def disk_full(valkey: TestValkey) -> Iterator[None]:
    """MISCONF: a snapshot could not be written. A limit below its size does what a full disk does."""
    psutil.Process(valkey.process.pid).rlimit(psutil.RLIMIT_FSIZE, (FILLER_BYTES // 2, psutil.RLIM_INFINITY))
    with redis.Redis.from_url(valkey.url) as client:
        client.config_set("save", "3600 1000000")
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", what="a failed snapshot")
        yield
        client.config_set("save", "")


@contextmanager
def locked(valkey: TestValkey) -> Iterator[None]:
    """NOAUTH."""
    kill = (("CLIENT", "KILL", "TYPE", "normal"), ("CLIENT", "KILL", "TYPE", "pubsub"))
    run(valkey, ("CONFIG", "SET", "requirepass", "a password"), *kill)
    yield
    run(valkey, ("CONFIG", "SET", "requirepass", ""), password="a password")


@contextmanager
def forbidden(valkey: TestValkey) -> Iterator[None]:
    """NOPERM."""
    run(valkey, ("ACL", "SETUSER", "default", "-@write"))
    yield
    run(valkey, ("ACL", "SETUSER", "default", "+@all"))


@contextmanager
def loading(valkey: TestValkey) -> Iterator[None]:
    """LOADING: as after a restart with much data. Here it reads, slowly, what another server has sent."""
    primary, port = TestValkey(), str(free_port())
    try:
        primary.start()
        with redis.Redis.from_url(primary.url) as client:
            client.mset({f"filler:{number}": b"x" * 2000 for number in range(KEYS)})
            client.config_set("port", port)
            client.config_set("repl-diskless-sync-delay", "0")
        with redis.Redis.from_url(valkey.url) as client:
            client.config_set("key-load-delay", str(60 * 1_000_000 // KEYS))
            client.config_set("loading-process-events-interval-bytes", "1024")
            client.execute_command("REPLICAOF", "127.0.0.1", port)  # type: ignore[no-untyped-call]
            wait_until(lambda: client.info("persistence")["loading"], what="Valkey is loading")
            yield
            client.config_set("key-load-delay", "0")
            wait_until(lambda: not client.info("persistence")["loading"], what="Valkey has loaded")
        run(valkey, ("REPLICAOF", "NO", "ONE"))
    finally:
        primary.close()


REFUSALS = {
    read_only: "refusing",
    full: "refusing",
    disk_full: "refusing",
    forbidden: "refusing",
    locked: "down",
    loading: "down",
}


@pytest.fixture(params=REFUSALS, ids=lambda refusal: refusal.__name__)
def refusal(request, own_valkey):
    """Returns functions that make Valkey refuse and stop it, and what `/_health` says meanwhile."""
    with redis.Redis.from_url(own_valkey.url) as client:
        client.set("filler", os.urandom(FILLER_BYTES))
    with ExitStack() as refusing:
        yield lambda: refusing.enter_context(request.param(own_valkey)), refusing.close, REFUSALS[request.param]


def health(port: int) -> str:
    return json.loads(get(port, "/_health")[1])["redis"]


def test_a_worker_serves_its_sockets_and_repairs_its_presence(start_worker, stored, connect, own_valkey, refusal):
    begin, end, state = refusal
    check_often = {"worker.chat.catch_up.CHECK_SECONDS": 1}
    worker, other = (start_worker(check_often, PRESENCE_SECONDS="3") for _ in range(2))
    stored.channel("gossip")
    first, second = enter(worker, stored, "First", connect), enter(worker, stored, "Second", connect)
    elsewhere = enter(other, stored, "Elsewhere", connect)
    begin()
    wait_until(lambda: health(worker.port) == state, what="the worker's health")
    for number in range(3):
        line = {"channel": "gossip", "name": "Wren", "message": f"line {number}"}
        assert first.request("channels/send", line)["status"] == "success"
        second.wait_for("channels/broadcast", payload=line | {"game": "First"})
        elsewhere.wait_for("channels/broadcast", payload=line | {"game": "First"}, seconds=20)
    assert first.request("players/sign-in", {"name": "Wren"})["status"] == "success"
    third = enter(worker, stored, "Third", connect)
    assert third.request("games/status", {})["status"] == "success"

    end()
    with redis.Redis.from_url(own_valkey.url) as client:
        client.flushall()
        wait_until(lambda: health(worker.port) == "ok", what="the worker's health")
        wait_until(lambda: len(list_sockets(client)) == 4, what="the presence of all games")
    assert "Traceback" not in worker.output, worker.output
    assert worker.output.count("redis refuses commands") == (state == "refusing"), worker.output
    assert ("redis is down" in worker.output) == (state == "down"), worker.output


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
