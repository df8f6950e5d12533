"""Connection checks in real workers: each is run by one worker, at once on request, and nothing waits for it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import gevent
import pytest
from sqlalchemy import text

from shared import bus, db
from shared.models import ConnectionCheck, GameConnection
from shared.services import games
from shared.services.authority import actors
from tests.support.endpoints import greets, listening, says_nothing
from tests.support.waiting import wait_until
from worker.jobs import checks


@pytest.fixture
def ask(engine, redis_url):
    """Return a function that requests a check of a game as its owner's page does, including the signal."""
    bus.publish_after_commit(bus.Bus(redis_url))

    def ask_for(game):
        with db.transaction() as session:
            games.check_connections(session, actors.of_user(session, game.owner_id), short_name=game.short_name)

    yield ask_for
    bus.publish_after_commit(None)


def outcomes():
    with db.reading() as session:
        return {check.connection_id: check.outcome for check in session.query(ConnectionCheck)}


def all_done():
    results = outcomes()
    return results if results and all(results.values()) else None


def test_each_requested_check_is_run_at_once_by_one_of_two_workers(any_database, start_worker, stored, ask):
    """Workers poll only once a minute, so here it is the signal that makes them run the checks."""
    workers = [start_worker(CHECK_PRIVATE_ADDRESSES="on") for _ in range(2)]
    game = stored.game("Mine")
    with ExitStack() as stack:
        endpoints = [stack.enter_context(listening(greets)) for _ in range(20)]
        for endpoint in endpoints:
            stored.connection(game, host="127.0.0.1", port=endpoint.port)
        ask(game)
        results = wait_until(lambda: len(done := all_done() or {}) == 20 and done, seconds=30, what="all are checked")
        assert set(results.values()) == {"ok"}
        assert [endpoint.connections for endpoint in endpoints] == [1] * 20
        ask(game)
        wait_until(
            lambda: min(endpoint.connections for endpoint in endpoints) == 2, seconds=30, what="all are checked again"
        )
        wait_until(all_done, seconds=30)
        assert [endpoint.connections for endpoint in endpoints] == [2] * 20
    for worker in workers:
        assert "Traceback" not in worker.output, worker.output


def test_private_addresses_are_not_checked_without_the_setting(start_worker, stored, ask):
    """Whatever an owner types, including names and addresses written as plain numbers."""
    start_worker()
    game = stored.game("Mine")
    with listening(greets) as endpoint:
        for host in ("127.0.0.1", "localhost", "10.0.0.1", "::1"):
            way = stored.connection(game, host=host, port=endpoint.port)
            if host == "10.0.0.1":  # an address written as a number, which only old records can have
                with db.transaction() as session:
                    session.get_one(GameConnection, way.id).host = "2130706433"
        stored.connection(game, type="web", url=f"http://127.0.0.1:{endpoint.port}/", host="", port=None)
        ask(game)
        results = wait_until(lambda: len(done := all_done() or {}) == 5 and done, seconds=30, what="all are checked")
        assert set(results.values()) == {"not-public"}
        assert endpoint.connections == 0


def test_slow_checks_do_not_delay_sockets(start_worker, stored, ask, connect):
    """As many hosts as are checked at once accept the connection and then send nothing."""
    worker = start_worker(CHECK_PRIVATE_ADDRESSES="on")
    game, credentials = stored.game_with_credentials("Mine")
    with listening(says_nothing) as endpoint:
        for _ in range(8):
            stored.connection(game, type="secure telnet", host="localhost", port=endpoint.port)
        ask(game)
        wait_until(lambda: endpoint.connections == 8, what="all checks are running")
        client = connect(worker.url)
        began = time.monotonic()
        client.authenticate(credentials.client_id, credentials.client_secret)
        client.settle()
        assert time.monotonic() - began < 2, "the worker waited for a check"
        assert all_done() is None, "the checks were over before anything could wait for them"
        results = wait_until(all_done, what="the checks end nevertheless")
        assert set(results.values()) == {"timed-out"}


def test_another_worker_repeats_the_check_of_a_killed_worker(start_worker, stored, ask):
    """Nobody runs it again before its lease has expired."""
    worker = start_worker(CHECK_PRIVATE_ADDRESSES="on")
    game = stored.game("Mine")
    with listening(says_nothing) as endpoint:
        stored.connection(game, type="secure telnet", host="127.0.0.1", port=endpoint.port)
        ask(game)
        wait_until(lambda: endpoint.connections == 1, what="the check is running")
        worker.kill()
        with db.transaction() as session:
            (check,) = session.query(ConnectionCheck)
            assert check.outcome is None and check.lease_until > db.utc_now()
            check.lease_until = db.utc_now()
        other = start_worker(CHECK_PRIVATE_ADDRESSES="on")
        wait_until(lambda: endpoint.connections == 2, what="another worker runs the check")
        assert "Traceback" not in other.output


def test_a_result_is_stored_once_the_database_answers_again(any_database, start_worker, stored, ask, engine):
    """Owners who request a check meanwhile wait no longer than that."""
    worker = start_worker(CHECK_PRIVATE_ADDRESSES="on")
    game = stored.game("Mine")

    def rename(old, new):
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    with listening(says_nothing) as endpoint:
        stored.connection(game, type="secure telnet", host="127.0.0.1", port=endpoint.port)
        ask(game)
        wait_until(lambda: endpoint.connections == 1, what="the check is running")
        rename("connection_checks", "gone_for_a_moment")
    try:
        worker.wait_for_event("the result of a connection check could not be stored yet")
    finally:
        rename("gone_for_a_moment", "connection_checks")
    wait_until(all_done, what="the result is stored")
    assert endpoint.connections == 1, "it was tried again"


@pytest.mark.usefixtures("processes")
def test_threads_that_resolve_names_import_nothing():
    """Two threads that import a module at the same moment can deadlock, since gevent replaced the locks of imports."""
    program = """
from gevent import monkey
monkey.patch_all()
import _thread, sys
from worker.jobs.checks import Checks
main, imported = _thread.get_ident(), []
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if _thread.get_ident() != main:
            imported.append(name)
sys.meta_path.insert(0, Finder)
for name in ("encodings.idna", "stringprep"):
    sys.modules.pop(name, None)
checks = Checks(None, allows_private=True)
assert checks._resolve("127.0.0.1")
assert not imported, imported
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_waiting_for_a_thread_does_not_count_as_a_failure(monkeypatch):
    """All resolver threads may be waiting for the name servers of other hosts, which is not this host's fault."""
    stuck, released = [], threading.Event()

    def look_up(host):
        stuck.append(host)
        released.wait(30)
        return [], None

    monkeypatch.setattr(checks, "_look_up", look_up)
    monkeypatch.setattr(checks, "RESOLVE_SECONDS", 0.2)
    monkeypatch.setattr(checks, "RESOLVERS", 2)
    resolve = checks.Checks(None, allows_private=False)._resolve
    try:
        for host in (f"{number}.example" for number in range(6)):
            with gevent.Timeout(5, AssertionError("it waited for others")), pytest.raises(TimeoutError):
                resolve(host)
        assert stuck == [b"0.example", b"1.example"]
    finally:
        released.set()
