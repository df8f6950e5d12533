"""Faults of PostgreSQL, or of other processes that use it, against workers in real processes."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from shared import db
from tests.support.network import ALL_FLAGS
from tests.support.silence import SilentProxy
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.timeout(120),
    pytest.mark.parametrize("any_database", ["postgres"], indirect=True),
]


def enter(worker, stored, connect, short_name, **payload):
    """Return the socket of a new game, subscribed to `gossip`."""
    _, credentials = stored.game_with_credentials(short_name)
    client = connect(worker.url)
    client.authenticate(credentials.client_id, credentials.client_secret, supports=ALL_FLAGS, channels=["gossip"])
    return client


@pytest.fixture
def holder(database_url):
    """Return a plain connection without timeouts, with which a test locks tables."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def wait_until_one_waits(holder) -> None:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    wait_until(lambda: holder.execute(query).fetchall(), seconds=20, what="a transaction waits for a lock")


@pytest.mark.parametrize(
    ("table", "request_frame"),
    [
        pytest.param("messages", ("channels/send", {"channel": "gossip", "name": "Ann", "message": "1"}), id="lines"),
        pytest.param("versions", ("channels/subscribe", {"channel": "brand-new"}), id="versions"),
    ],
)
def test_a_worker_that_freezes_inside_its_transaction_does_not_stop_the_others(
    any_database, start_worker, stored, connect, holder, table, request_frame
):
    """The worker freezes after it has sent its statement, while it holds the lock of the counter row.

    The others wait for IDLE_SECONDS at most. Only the sender loses what the frozen worker had not committed.
    """
    frozen, other = start_worker(), start_worker()
    stored.channel("gossip")
    sender, bystander = enter(frozen, stored, connect, "Sender"), enter(other, stored, connect, "Bystander")
    event, payload = request_frame
    bystander_payload = {**payload, "message": "2"} if table == "messages" else {"channel": "another"}
    with holder.transaction():
        holder.execute(f"LOCK TABLE {table} IN SHARE MODE")
        sender.send(event, payload, ref="frozen")
        wait_until_one_waits(holder)
        frozen.send_signal(signal.SIGSTOP)
    try:
        answer = bystander.request(event, bystander_payload, seconds=db.IDLE_SECONDS + 20)
        assert answer["status"] == "success"
    finally:
        frozen.send_signal(signal.SIGCONT)
    if table == "messages":  # a single statement, which PostgreSQL commits without the worker
        assert sender.wait_for(event, ref="frozen", seconds=20)["status"] == "success"
        assert bystander.wait_for("channels/broadcast", seconds=20)["payload"]["message"] == "1"
    else:
        assert sender.wait_for(event, ref="frozen", seconds=20)["code"] == "internal"
        assert sender.request(event, payload)["status"] == "success"


def test_a_line_stored_by_a_dying_worker_reaches_every_subscriber(any_database, start_worker, stored, connect, holder):
    """The history is checked regularly. Nobody restarts the worker."""
    dying, other = start_worker(), start_worker({"worker.chat.catch_up.CHECK_SECONDS": 1})
    stored.channel("gossip")
    sender, listener = enter(dying, stored, connect, "Sender"), enter(other, stored, connect, "Listener")
    with holder.transaction():
        holder.execute("LOCK TABLE messages IN SHARE MODE")
        sender.send("channels/send", {"channel": "gossip", "name": "Ann", "message": "stored"})
        wait_until_one_waits(holder)
        dying.send_signal(signal.SIGSTOP)
    wait_until(lambda: holder.execute("SELECT 1 FROM messages").fetchall(), what="the line is stored")
    dying.kill()
    late = enter(other, stored, connect, "Late")
    assert listener.wait_for("channels/broadcast", seconds=40)["payload"]["message"] == "stored"
    late.settle()
    assert late.events("channels/broadcast") == []  # it subscribed after the line was stored


def test_a_game_that_moves_to_another_worker_does_not_overtake_its_own_lines(
    any_database, start_worker, stored, connect, holder
):
    """Its first worker has stored a line, and freezes before it publishes it."""
    frozen, other, third = start_worker(), start_worker(), start_worker()
    stored.channel("gossip")
    _, credentials = stored.game_with_credentials("Sender")

    def join(worker):
        client = connect(worker.url)
        client.authenticate(credentials.client_id, credentials.client_secret, supports=ALL_FLAGS, channels=["gossip"])
        return client

    listeners = [enter(worker, stored, connect, f"L{number}") for number, worker in enumerate((other, third))]
    sender = join(frozen)
    with holder.transaction():
        holder.execute("LOCK TABLE messages IN SHARE MODE")
        sender.send("channels/send", {"channel": "gossip", "name": "Ann", "message": "earlier"})
        wait_until_one_waits(holder)
        frozen.send_signal(signal.SIGSTOP)
    wait_until(lambda: holder.execute("SELECT 1 FROM messages").fetchall(), what="the line is stored")
    moved = join(other)
    later = {"channel": "gossip", "name": "Bob", "message": "later"}
    assert moved.request("channels/send", later)["status"] == "success"
    for listener in listeners:
        listener.wait_for("channels/broadcast", payload=later, seconds=20)
        said = [frame["payload"]["message"] for frame in listener.events("channels/broadcast")]
        assert said == ["earlier", "later"]


def test_a_long_held_lock_fails_only_requests_that_need_it(any_database, start_worker, stored, connect, holder):
    """No request waits longer than LOCK_SECONDS."""
    worker = start_worker()
    stored.channel("gossip")
    client = enter(worker, stored, connect, "Alpha")
    message = {"channel": "gossip", "name": "Ann", "message": "1"}
    with holder.transaction():
        holder.execute("SELECT value FROM counters WHERE name = 'messages' FOR UPDATE")
        assert client.request("channels/send", message, seconds=db.LOCK_SECONDS + 5)["code"] == "internal"
    assert client.request("channels/send", message)["status"] == "success"


@pytest.fixture
def database_proxy(database_url):
    """A proxy between a worker and PostgreSQL. Its `url` is for DATABASE_URL."""
    url = make_url(database_url)
    server = Path(str(url.query.get("host", "")))
    if not server.is_dir():
        pytest.skip("PostgreSQL has no Unix socket here")
    with tempfile.TemporaryDirectory() as folder:
        proxy = SilentProxy(Path(folder) / ".s.PGSQL.5432", str(server / ".s.PGSQL.5432"))
        proxy.url = url.set(query={"host": folder}).render_as_string(hide_password=False)
        yield proxy
        proxy.close()


def test_a_line_is_acknowledged_when_the_answer_of_the_database_was_lost(
    any_database, start_worker, stored, connect, database_proxy
):
    """PostgreSQL has stored it, so the answer cannot be that nothing was done."""
    worker, other = start_worker(DATABASE_URL=database_proxy.url), start_worker()
    stored.channel("gossip")
    sender, near = enter(worker, stored, connect, "Sender"), enter(worker, stored, connect, "Near")
    far = enter(other, stored, connect, "Far")
    database_proxy.cut_after(b"INSERT INTO messages")
    for text in ("cut", "after"):
        sender.send("channels/send", {"channel": "gossip", "name": "Ann", "message": text}, ref=text)
    for text in ("cut", "after"):
        assert sender.wait_for("channels/send", ref=text, seconds=10)["status"] == "success"
        for listener in (near, far):
            listener.wait_for("channels/broadcast", payload={"message": text}, seconds=10)
    assert database_proxy.has_cut
    for listener in (near, far):
        listener.settle()
        texts = [frame["payload"]["message"] for frame in listener.events("channels/broadcast")]
        assert texts == ["cut", "after"]
    assert "Traceback" not in worker.output


def test_a_line_that_was_refused_is_not_stored_later(
    any_database, start_worker, stored, connect, holder, database_proxy
):
    """The connection is cut while the statement waits for a lock. Without its client, PostgreSQL would still run it."""
    worker = start_worker(DATABASE_URL=database_proxy.url)
    stored.channel("gossip")
    sender, listener = enter(worker, stored, connect, "Sender"), enter(worker, stored, connect, "Listener")
    message = {"channel": "gossip", "name": "Ann", "message": "refused"}
    with holder.transaction():
        holder.execute("LOCK TABLE messages IN SHARE MODE")
        sender.send("channels/send", message, ref="cut")
        wait_until_one_waits(holder)
        database_proxy.cut()
        assert sender.wait_for("channels/send", ref="cut", seconds=10)["code"] == "internal"
    assert sender.request("channels/send", {**message, "message": "after"}, seconds=10)["status"] == "success"
    listener.wait_for("channels/broadcast")
    assert holder.execute("SELECT text FROM messages").fetchall() == [("after",)]


@pytest.fixture
def away(postgres_server, database_url):
    """Return a function that makes this test's database unreachable, until the test ends at the latest."""
    yield lambda: postgres_server.go_away(database_url)
    postgres_server.come_back(database_url)


def test_an_internal_error_does_not_answer_authenticate(
    any_database, start_worker, stored, connect, database_url, postgres_server, away
):
    """Real clients give up after a failed `authenticate`, but reconnect after a close with 1011."""
    worker = start_worker()
    _, credentials = stored.game_with_credentials("Alpha")
    payload = {"client_id": credentials.client_id, "client_secret": credentials.client_secret, "supports": ["channels"]}
    away()
    for _ in range(3):
        socket = connect(worker.url)
        socket.send("authenticate", payload, ref="r")
        assert socket.wait_closed() == 1011
        assert socket.frames == []
    assert socket.close_reason == "internal error"
    assert "Traceback" not in worker.output
    wait_until(lambda: worker.output.count("a handler failed") == 3, what="one line for each")

    postgres_server.come_back(database_url)

    def is_accepted():
        socket = connect(worker.url)
        socket.send("authenticate", payload)
        return not socket.events("authenticate") and socket.wait_for("authenticate")["status"] == "success"

    wait_until(is_accepted, seconds=10)
