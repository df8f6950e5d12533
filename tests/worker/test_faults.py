"""Faults around a worker close no connections, and delay only requests that are affected."""

from __future__ import annotations

import signal
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest

from shared import db
from shared.services import channels
from shared.services.authority.actors import OPERATOR
from tests.support import moderating
from tests.support.client import SocketClient
from tests.support.network import ALL_FLAGS
from tests.support.silence import SilentProxy
from tests.support.waiting import wait_until

LINES = 2_000
pytestmark = pytest.mark.timeout(120)

QUICK_PINGS = {"worker.signals.PING_SECONDS": 0.5}


def enter(worker, stored, short_name: str, connect, **payload) -> SocketClient:
    """Connect a new game with this short name, subscribed to `gossip`."""
    _, credentials = stored.game_with_credentials(short_name)
    client = connect(worker.url)
    client.authenticate(
        credentials.client_id, credentials.client_secret, supports=ALL_FLAGS, channels=["gossip"], **payload
    )
    return client


def say(client: SocketClient, message: str) -> None:
    client.send("channels/send", {"channel": "gossip", "name": "Wren", "message": message})


def test_a_lock_held_by_another_process_delays_only_writers(start_worker, stored, connect, database_url):
    """SQLite waits for the lock in a thread, so the worker answers other sockets meanwhile."""
    worker = start_worker()
    stored.channel("gossip")
    writer, other = (enter(worker, stored, name, connect) for name in ("Writer", "Other"))
    holder = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        writer.send("channels/subscribe", {"channel": "brand-new"}, ref="waits")
        assert other.request("players/sign-in", {"name": "Odo"}, seconds=3)["status"] == "success"
        assert other.request("channels/history", {"channel": "gossip"}, seconds=3)["status"] == "success"
        assert not [frame for frame in writer.frames if frame.get("ref") == "waits"]
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert writer.wait_for("channels/subscribe", ref="waits", seconds=10)["status"] == "success"


def test_many_missed_lines_arrive_in_order_and_close_no_socket(start_worker, stored, connect, own_valkey):
    """More lines are missed than the outbound queue holds. They arrive at the reader's pace, before the new ones."""
    first, second = (start_worker(RATE_LIMITS="off", OUTBOUND_BYTES="65536") for _ in range(2))
    stored.channel("gossip")
    speaker = enter(first, stored, "Speaker", connect)
    far = enter(second, stored, "Far", connect)
    say(speaker, "before")
    far.wait_for("channels/broadcast", payload={"message": "before"})
    own_valkey.stop()
    for number in range(LINES):
        say(speaker, f"{number} " + "x" * 100)
    assert speaker.request("channels/send", {"channel": "gossip", "name": "Wren", "message": "last"}, seconds=30)
    own_valkey.start()
    for number in range(LINES):  # sent while the other worker catches up
        say(speaker, f"{LINES + number} after")
    numbers = [
        int(far.wait_for("channels/broadcast", seconds=30)["payload"]["message"].replace("last", "-1").split()[0])
        for _ in range(2 * LINES + 1)
    ]
    assert [number for number in numbers if number >= 0] == list(range(2 * LINES))


def test_a_worker_notices_a_silent_redis_and_recovers_lost_signals(start_worker, stored, connect, own_valkey):
    """Redis keeps its connections open but does not answer. Lines sent meanwhile reach the other worker afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        way = SilentProxy(Path(folder) / "s", own_valkey.url)
        first, second = start_worker(QUICK_PINGS, REDIS_URL=way.url), start_worker()
        stored.channel("gossip")
        speaker, far = enter(first, stored, "Speaker", connect), enter(second, stored, "Far", connect)
        say(speaker, "before")
        far.wait_for("channels/broadcast", payload={"message": "before"})
        way.fall_silent()
        say(speaker, "meanwhile")
        first.wait_for_event("redis is down, signals are lost")
        first.wait_for_event("redis is down, trying again", seconds=30)
        way.speak()
        far.wait_for("channels/broadcast", payload={"message": "meanwhile"}, seconds=30)
        say(speaker, "after")
        far.wait_for("channels/broadcast", payload={"message": "after"})
        assert [frame["payload"]["message"] for frame in far.events("channels/broadcast")] == [
            "before",
            "meanwhile",
            "after",
        ]
        way.close()


def test_nothing_is_sent_twice_when_redis_disconnects_after_a_signal(start_worker, stored, connect, own_valkey):
    """Redis passes the signal on, but its answer is lost. Tells and sign-ins arrive at most once, lines once."""
    with tempfile.TemporaryDirectory() as folder:
        proxy = SilentProxy(Path(folder) / "s", own_valkey.url)
        first, second = start_worker(REDIS_URL=proxy.url), start_worker()
        stored.channel("gossip")
        speaker = enter(first, stored, "Speaker", connect, players=["Ann"])
        far = enter(second, stored, "Far", connect, players=["Bob"])
        tell = {"from_name": "Ann", "to_game": "Far", "to_name": "Bob", "message": "hi"}
        wait_until(lambda: speaker.request("tells/send", tell)["status"] == "success")
        far.wait_for("tells/receive")
        for topic, act in (
            (b"gossip:tells", lambda: speaker.request("tells/send", {**tell, "message": "cut"})),
            (b"gossip:players", lambda: speaker.request("players/sign-in", {"name": "Cut"})),
            (b"gossip:messages", lambda: say(speaker, "cut")),
        ):
            proxy.cut_after(topic)
            act()
            wait_until(lambda: proxy.has_cut, what="the connection was cut")
        wait_until(lambda: speaker.request("tells/send", {**tell, "message": "last"})["status"] == "success")
        far.wait_for("tells/receive", payload={"message": "last"}, seconds=10)
        far.wait_for("channels/broadcast", payload={"message": "cut"}, seconds=10)
        far.settle()
        tells = [frame["payload"]["message"] for frame in far.events("tells/receive")]
        signed_in = [frame["payload"]["name"] for frame in far.events("players/sign-in")]
        assert tells.count("cut") <= 1 and tells.count("last") == 1
        assert signed_in.count("Cut") <= 1
        assert [frame["payload"]["message"] for frame in far.events("channels/broadcast")].count("cut") == 1
        proxy.close()


def test_writers_that_queue_for_a_lock_wait_no_longer_than_the_first(start_worker, stored, connect, database_url):
    """They wait in one thread, one after the other, but each for LOCK_SECONDS in all."""
    worker = start_worker({"shared.db.LOCK_SECONDS": 2})
    stored.channel("gossip")
    writers = [enter(worker, stored, f"Game{number}", connect) for number in range(4)]
    holder = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        for number, writer in enumerate(writers):
            writer.send("channels/subscribe", {"channel": "brand-new" + "abcd"[number]}, ref="waits")
        started_at = time.monotonic()
        for writer in writers:
            assert writer.wait_for("channels/subscribe", ref="waits", seconds=10)["code"] == "internal"
        assert time.monotonic() - started_at < 4
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert writers[0].request("channels/subscribe", {"channel": "brand-newa"})["status"] == "success"
    assert "Traceback" not in worker.output


def test_a_worker_that_wakes_reads_what_moderators_did_before_it_handles_messages(start_worker, stored, connect):
    """It was frozen when the mute came. Ten muted players speak before it wakes, and none gets a line through."""
    worker = start_worker()
    stored.channel("gossip")
    speakers = [enter(worker, stored, f"Game{number}", connect) for number in range(10)]
    listener = enter(worker, stored, "Listener", connect)
    worker.send_signal(signal.SIGSTOP)
    try:
        with db.transaction() as session:
            for number in range(10):
                moderating.mute(session, OPERATOR, f"Wren@Game{number}")
        for speaker in speakers:
            say(speaker, "not allowed")
        time.sleep(2)  # time is the subject: the worker takes a shorter pause for load
    finally:
        worker.send_signal(signal.SIGCONT)
    for speaker in speakers:
        answer = speaker.request("channels/send", {"channel": "gossip", "name": "Wren", "message": "nor this"})
        assert answer["code"] == "muted"
    listener.settle()
    assert listener.events("channels/broadcast") == []


def test_a_renamed_channel_is_listed_by_its_new_name(start_worker, stored, connect):
    """Presence knows channels by their ids."""
    worker = start_worker()
    stored.channel("gossip")
    enter(worker, stored, "Subscriber", connect)
    asker = enter(worker, stored, "Asker", connect)
    with db.transaction() as session:
        channels.update_channel(session, OPERATOR, name="gossip", new_name="chatter")
    while asker.request("channels/subscribe", {"channel": "chatter"})["status"] != "success":
        pass
    status = asker.request("games/status", {"game": "Subscriber"})["payload"]
    assert status["channels"] == ["chatter"]


@pytest.mark.parametrize("moment", ["whole state", "live"])
def test_a_small_outbound_queue_is_enough_for_a_sync(moment, start_worker, stored, connect, run_flask):
    """An application that keeps reading receives a whole state and an import of many games."""
    worker = start_worker(OUTBOUND_BYTES="65536")
    owner = stored.user().username
    lines = "\n".join(
        f'{{"name": "Game {number}", "short_name": "g{number}", "owner": "{owner}", "description": "{"x" * 2_000}"}}'
        for number in range(400)
    )
    _, credentials = stored.application_with_credentials("Mirror")
    application = connect(worker.url)
    if moment == "whole state":
        run_flask("game", "import", "-", stdin=lines)
    application.authenticate(credentials.client_id, credentials.client_secret)
    complete = application.wait_for("sync/complete", seconds=30)["payload"]
    if moment == "live":
        run_flask("game", "import", "-", stdin=lines)
    received_ids: set[int] = set()
    cursors = [complete["cursor"]]
    while len(received_ids) < 400:
        payload = application.wait_for("sync/games", seconds=30)["payload"]
        received_ids.update(record["id"] for record in payload["games"])
        cursors.append(payload.get("cursor", 0))
    assert not application.is_closed
    if moment == "live":
        assert cursors == sorted(cursors)
        application.send("sync", {"since": cursors[-1]}, ref="again")
        assert application.wait_for("sync/complete", ref="again")["payload"]["counts"]["games"] == 400
