"""The client for threads: no call waits forever, however the thread behind it is held up or ends."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from driver import QUICK
from gossip_client import (
    Disconnected,
    Dropped,
    GossipError,
    NotConnected,
    RequestTimedOut,
    requests,
)
from gossip_client.sync import Client as SyncClient
from websockets.sync.server import serve

from tests.support.waiting import wait_until


def test_a_bug_in_the_reading_thread_fails_pending_requests(old_server, monkeypatch, caplog):
    """Whatever bug stops that thread, no caller waits forever."""
    server = old_server(answers=False)
    client = SyncClient(server.url, "id", "secret", players=lambda: [])
    ended = []

    def wait():
        try:
            client.sign_in("Ann")
        except GossipError as error:
            ended.append(error)

    with client:
        thread = threading.Thread(target=wait)
        thread.start()
        monkeypatch.setattr(client.core, "closed", None)
        server.drop()
        thread.join(30)
        assert not thread.is_alive() and ended


@pytest.mark.parametrize("writer", ["the reading thread", "another thread"])
def test_a_write_ends_when_the_connection_closes_under_it(old_server, monkeypatch, writer):
    """A selector never reports a file descriptor that was closed after it was registered."""
    server = old_server(answers=False)
    client = SyncClient(server.url, "id", "secret", players=lambda: [], backoff=QUICK)
    is_armed = threading.Event()

    class ClosingSelector(selectors.DefaultSelector):
        """Closes the connection between `register` and `select`, once."""

        def select(self, timeout=None):
            if is_armed.is_set():
                is_armed.clear()
                connection = client._socket
                server.drop()
                wait_until(lambda: connection.socket.fileno() == -1)
            return super().select(timeout)

    fake = SimpleNamespace(DefaultSelector=ClosingSelector, EVENT_WRITE=selectors.EVENT_WRITE)
    with client:
        wait_until(lambda: server.events("heartbeat"))
        monkeypatch.setattr("gossip_client.writer.selectors", fake)
        is_armed.set()
        started_at = time.monotonic()
        if writer == "the reading thread":
            server.tell("heartbeat")
            wait_until(lambda: not is_armed.is_set())
        with pytest.raises(NotConnected):
            client.sign_in("Ann")
        assert time.monotonic() - started_at < 20
        wait_until(lambda: client.is_connected)


def test_players_is_called_without_a_lock(old_server):
    """A game may hold its own lock while it calls the client, and take the same lock in `players`."""
    server = old_server()
    world, is_asked = threading.Lock(), threading.Event()

    def players():
        is_asked.set()
        with world:
            return ["Ann"]

    with SyncClient(server.url, "id", "secret", players=players) as client:
        for turn in range(1, 4):
            with world:
                is_asked.clear()
                server.tell("heartbeat")
                assert is_asked.wait(30)  # and waits for the game's lock
                thread = threading.Thread(target=client.sign_in, args=("Ann",), daemon=True)
                thread.start()
                wait_until(
                    lambda turn=turn: len(server.events("players/sign-in")) == turn,
                    seconds=20,
                    what="the client is not locked while the game is asked",
                )
            thread.join(30)
            assert not thread.is_alive()
    beats = server.events("heartbeat")
    assert beats and all(frame["payload"] == {"players": ["Ann"]} for frame in beats)


@pytest.fixture
def deaf_server():
    """Accepts a client, and then reads nothing more."""
    is_over = threading.Event()

    def serve_one(connection):
        connection.recv()
        connection.send('{"event": "authenticate", "status": "success", "payload": {"version": "2.3.0"}}')
        is_over.wait(60)

    with serve(serve_one, "127.0.0.1", 0, max_queue=1, close_timeout=0.2) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/socket"
        is_over.set()
        server.shutdown()


@pytest.mark.parametrize("ends", ["close", "time"])
def test_a_server_that_stops_reading_is_left(deaf_server, monkeypatch, ends):
    """Its buffers are full: the thread that writes is stuck, and must not keep the others waiting forever."""
    monkeypatch.setattr("gossip_client.writer.WRITE_SECONDS", 1.0 if ends == "time" else 60.0)
    client = SyncClient(deaf_server, "id", "secret", queue_limit=10_000, backoff=QUICK)
    lost = threading.Event()
    client.on(Disconnected)(lambda event: lost.set())
    client.connect()

    def fill():
        for _ in range(500):
            client.post(requests.any_request("x", {"text": "x" * 50_000}))

    writer = threading.Thread(target=fill, daemon=True)
    writer.start()
    if ends == "close":
        wait_until(client._writer.lock.locked)
        writer.join(1)  # it gets stuck
        assert writer.is_alive()
        closer = threading.Thread(target=client.close, daemon=True)
        closer.start()
        closer.join(30)
        assert not closer.is_alive()
        writer.join(30)
        assert not writer.is_alive()
    else:
        assert lost.wait(30)
        client.close()


def test_a_request_times_out_while_the_reading_thread_is_stuck(old_server):
    """The game waits for an answer while it holds the lock that its own `players` needs."""
    server = old_server()
    world, is_asked = threading.Lock(), threading.Event()

    def players():
        is_asked.set()
        with world:
            return ["Ann"]

    with SyncClient(server.url, "id", "secret", players=players, answer_seconds=0.2) as client, world:
        is_asked.clear()
        server.tell("heartbeat")
        assert is_asked.wait(30)
        started_at = time.monotonic()
        with pytest.raises(RequestTimedOut):
            client.sign_in("Ann")
        assert time.monotonic() - started_at < 20


def test_an_application_may_call_the_client_while_it_says_what_to_sync(old_server):
    """`sync` is called without the client's lock."""
    server = old_server()
    client = SyncClient(server.url, "id", "secret", sync=lambda: bool(client.post(requests.sign_in("Ann"))))
    with client:
        assert server.events("authenticate")[0]["payload"]["sync"] is False


# Each blocking call against each way the reading thread can end


def _end_by_closing(client, server):
    client.close()


def _end_by_a_bug(client, server):
    client.core.closed = None
    server.drop()


def _end_by_an_exit(client, server):
    def leave():
        raise SystemExit(1)

    wait_until(lambda: server.events("heartbeat"))  # the first one has been answered
    client._players = leave
    server.tell("heartbeat")


@pytest.mark.parametrize("end", [_end_by_closing, _end_by_a_bug, _end_by_an_exit])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_no_call_outlives_the_reading_thread(old_server, end, moment):
    """Calls that wait when the thread ends, and calls made after it, all end."""
    server = old_server(answers=False)
    client = SyncClient(server.url, "id", "secret", players=lambda: [], answer_seconds=60)
    client.connect()
    ended = {}

    def call(name, function, *arguments):
        try:
            ended[name] = function(*arguments)
        except GossipError as error:
            ended[name] = error

    calls = {
        "request": (client.sign_in, "Ann"),
        "send": (client.send, "gossip", "Ann", "hello"),
        "list": (client.players_status,),
        "events": (lambda: [type(event) for event in client.events()],),
        "take": (lambda: [*iter(client.take, [])],),
        "post": (client.post, requests.sign_in("Ann")),
    }
    if moment == "before":  # afterwards, `run` connects again
        calls["run"] = (client.run,)
    threads = [threading.Thread(target=call, args=(name, *what), daemon=True) for name, what in calls.items()]
    if moment == "before":
        for thread in threads:
            thread.start()
        wait_until(lambda: len(server.events("players/sign-in")) == 2 and server.events("channels/send"))
        end(client, server)
    else:
        end(client, server)
        wait_until(client._closing.is_set)
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join(30)
    assert set(ended) == set(calls)
    assert isinstance(ended["request"], NotConnected)
    assert isinstance(ended["list"], NotConnected)
    assert isinstance(ended["send"], Dropped)
    client.close()
    assert not client.is_connected


def test_players_may_close_the_client(old_server):
    """The reading thread then ends itself, without waiting for itself."""
    server = old_server()
    client = SyncClient(server.url, "id", "secret", players=lambda: client.close() if client.is_connected else [])
    client.connect()  # the server's first heartbeat follows
    for thread in client._threads:
        thread.join(30)
        assert not thread.is_alive()
    assert not client.is_connected


FORK = """
import os, sys
from gossip_client import ChannelMessage, GossipError, NotConnected
from gossip_client.sync import Client

client = Client(sys.argv[1], "id", "secret", players=lambda: [])
client.connect()
client._lock.acquire()  # as another thread may hold it when the process forks
pid = os.fork()
if pid == 0:
    status = 1
    try:
        calls = [lambda: client.sign_in("Ann"), lambda: client.send("c", "Ann", "x"), client.take]
        for call in [*calls, client.players_status, lambda: next(client.events())]:
            try:
                call()
            except NotConnected as error:
                assert "forked" in str(error)
            else:
                raise AssertionError(call)
        assert not client.is_connected
        client.close()
        client.connect()
        client.sign_in("Child")
        client.close()
        status = 0
    finally:
        os._exit(status)
client._lock.release()
assert os.waitpid(pid, 0)[1] == 0
client.sign_in("Parent")
client.close()
print("done")
"""

EXIT = """
import atexit, sys
from gossip_client import GossipError
from gossip_client.sync import Client

client = Client(sys.argv[1], "id", "secret", players=list)
client.connect()

class Late:
    def __del__(self, client=client, failed=GossipError):
        try:
            client.sign_in("Ann")
        except failed as error:
            print(error)
        client.close()

@atexit.register
def leave():
    client.sign_in("Ann")
    print("signed in")

late = Late()
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.usefixtures("processes")
def test_a_forked_process_does_not_use_its_parent_s_connection(old_server, run_environment):
    """The threads are gone there, and a lock may be held forever: each call fails, and `connect` starts afresh."""
    server = old_server()
    assert run_program(FORK, server.url, run_environment) == "done\n"
    assert [frame["payload"]["name"] for frame in server.events("players/sign-in")] == ["Child", "Parent"]


GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from gossip_client.sync import Client

ticks = []
def tick():
    while True:
        gevent.sleep(0.001)
        ticks.append(None)

ticking = gevent.spawn(tick)
client = Client(sys.argv[1], "id", "secret", players=list)
client.connect()
before = len(ticks)
gevent.joinall([gevent.spawn(client.sign_in, f"Ann{number}") for number in range(20)], raise_error=True)
assert len(ticks) > before
client.close()
print("done")
"""


@pytest.mark.usefixtures("processes")
def test_greenlets_are_threads_to_a_program_that_gevent_has_patched(old_server, run_environment):
    server = old_server()
    assert run_program(GEVENT, server.url, run_environment) == "done\n"
    assert len(server.events("players/sign-in")) == 20


@pytest.mark.usefixtures("processes")
def test_calls_end_while_the_interpreter_shuts_down(old_server, run_environment):
    """`atexit` functions run with all threads; `__del__` of what is left runs without them."""
    printed = run_program(EXIT, old_server().url, run_environment)
    assert printed.splitlines() == ["done", "signed in", "the interpreter is shutting down"]


def run_program(code, url, environment):
    done = subprocess.run(
        [sys.executable, "-c", code, url], env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
