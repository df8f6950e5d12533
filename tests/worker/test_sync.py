"""Network applications and sync, over real sockets (docs/protocol.md, §8, §11)."""

from __future__ import annotations

import json
import socket as sockets
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest

from shared import db
from shared.db import utc_now
from shared.models.game_details import GameDetails
from shared.services import applications, channels, games, versions
from shared.services.authority.actors import OPERATOR
from tests.support.client import SocketClient
from tests.support.factory import edit_game
from tests.support.network import Network
from tests.support.one_worker import network_of_this_test
from tests.support.processes import ROOT, clean_environment
from tests.support.replica import Replica
from tests.support.waiting import wait_until


@pytest.fixture
def network(_usual_networks) -> Iterator[Network]:
    yield from network_of_this_test(_usual_networks(1))


class Application:
    """An application's socket with a replica. `frames` holds its sync frames, in order."""

    def __init__(self, client: SocketClient, peer, *, replica: Replica | None = None, **payload) -> None:
        self.client = client
        self.replica = replica or Replica()
        self._applied = 0
        client.authenticate(peer.client_id, peer.client_secret, **payload)

    @property
    def frames(self):
        return [frame for frame in self.client.frames if frame["event"].startswith("sync")]

    def complete(self, *, seconds: float = 10.0, **matching):
        """Return the next `sync/complete`, after applying everything up to it."""
        frame = self.client.wait_for("sync/complete", seconds=seconds, **matching)
        self.apply()
        return frame["payload"]

    def apply(self):
        while self._applied < len(self.client.frames):
            self.replica.apply(self.client.frames[self._applied])
            self._applied += 1

    def caught_up(self):
        """Wait until the replica has the newest change, and return it."""
        with db.reading() as session:
            cursor = versions.last_cursor(session)

        def is_current():
            self.client._read(0.05)
            self.apply()
            return self.replica.cursor is not None and self.replica.cursor >= cursor

        wait_until(is_current, what=f"the replica is at {cursor}")
        return self.replica

    def next(self, kind):
        """Return the next change of a kind."""
        while True:
            frame = self.client.wait_for(f"sync/{kind}")
            if "cursor" in frame["payload"]:
                self.apply()
                return frame["payload"]


@pytest.fixture
def application(network):
    """Return a function that opens an application's socket: application(sync=False), application(peer, replica=…)."""

    def open_socket(peer=None, **options):
        return Application(network.open(), peer or network.application(), **options)

    return open_socket


def run_cli(network, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=ROOT,
        env=clean_environment(**network.environment),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def last_cursor():
    with db.reading() as session:
        return versions.last_cursor(session)


def state_now(kind):
    """Return the records of a kind from the database, by id."""
    from sqlalchemy import select

    from shared.models import Channel, Game

    model = {"channels": Channel, "games": Game}[kind]
    with db.reading() as session:
        return {record.id: record.sync_payload() for record in session.scalars(select(model))}


def test_the_answer_counts_the_records_of_the_whole_state(network):
    """The answer to `authenticate` contains the counts, only for applications of 2.4.0."""
    peer, game = network.application(), network.game()
    network.factory.channel("counted")

    def counts(peer, **payload):
        answer = network.open().authenticate(peer.client_id, peer.client_secret, **payload)
        return answer["payload"].get("counts")

    known = counts(peer, version="2.4.0")
    assert known == {kind: len(state_now(kind)) for kind in ("channels", "games")}
    assert known["channels"] and known["games"]
    assert counts(peer, version="2.4.0", sync={"since": None}) == known
    assert counts(peer, version="2.4.0", sync={"since": last_cursor()}) is None
    assert counts(peer, version="2.4.0", sync=False) is None
    assert counts(peer) is counts(peer, version="2.3.0") is None
    assert counts(game, version="2.4.0") is None


def many(network, count=25):
    """Create this many games and channels, some hidden, some with ways to connect."""
    for number in range(count):
        game = network.factory.game(
            f"M{uuid.uuid4().hex[:10]}", owner=network._owner, name=f"Żółw {uuid.uuid4()}", is_displayed=number % 3 > 0
        )
        if number % 5 == 0:
            network.factory.connection(game)
            network.factory.connection(game, type="web", host="", port=None, url="https://play.example.com/")
        network.factory.channel(is_hidden=number % 2 == 0)


# The whole state


def test_the_whole_state_is_sent_after_authenticating(network, application):
    """It has all channels, then all games, hidden ones too, in batches of at most ten. Counts and digests follow."""
    many(network)
    app = application()
    app.complete()
    assert app.replica.records == {kind: state_now(kind) for kind in ("channels", "games")}
    assert app.replica.cursor == last_cursor()
    events = [frame["event"] for frame in app.client.frames if frame["event"] != "heartbeat"]
    assert events[0] == "authenticate" and events[-1] == "sync/complete"
    assert events[1:-1] == sorted(events[1:-1])
    assert len([event for event in events if event == "sync/games"]) > 2
    assert not any("cursor" in frame["payload"] for frame in app.frames[:-1])
    sizes = [len(frame["payload"]["games"]) for frame in app.frames if frame["event"] == "sync/games"]
    assert set(sizes[:-1]) == {10} and 1 <= sizes[-1] <= 10
    refs = [uuid.UUID(frame["ref"]) for frame in app.frames]
    assert len(set(refs)) == len(refs)
    assert "reset" not in app.frames[-1]["payload"]


def test_the_state_matches_its_cursor(network, application):
    """Changes committed while it is sent follow after its `sync/complete`, with a cursor."""
    many(network, 30)
    peer = network.application()
    before = last_cursor()
    client = network.open()
    client.send(
        "authenticate",
        {"client_id": peer.client_id, "client_secret": peer.client_secret, "supports": ["channels"]},
    )
    name = network.factory.channel().name
    app = Application.__new__(Application)
    app.client, app.replica, app._applied = client, Replica(), 0
    complete = app.complete()
    assert before <= complete["cursor"]
    app.caught_up()
    assert app.replica.records["channels"] == state_now("channels")
    assert name in {record["name"] for record in app.replica.records["channels"].values()}


def test_games_receive_no_sync_events(network):
    game = network.game()
    socket = network.open()
    socket.authenticate(game.client_id, game.client_secret, sync={"since": 0})
    network.factory.channel()
    answer = socket.request("sync", {"since": 0})
    assert (answer["status"], answer["code"], answer["error"]) == (
        "failure",
        "not-an-application",
        "not an application",
    )
    socket.settle()
    assert not any(frame["event"].startswith("sync/") for frame in socket.frames)


def test_no_secret_is_in_any_frame(network, application):
    game, peer = network.game(), network.application()
    app = application(peer)
    app.complete()
    with db.transaction() as session:
        new = games.regenerate_credentials(session, OPERATOR, short_name=game.short_name)
        edit_game(session, game.short_name, description="Changed.")
    app.next("games")
    from sqlalchemy import select

    from shared.models import Game, User

    with db.reading() as session:
        secrets = {value for row in session.execute(select(Game.client_id, Game.client_secret_digest)) for value in row}
        secrets |= {
            value
            for row in session.execute(select(User.password_hash, User.email, User.session_token))
            for value in row
        }
    secrets |= {new.client_secret, game.client_secret, game.client_id, peer.client_secret, peer.client_id}
    text = json.dumps(app.client.frames, ensure_ascii=False)
    assert [secret for secret in secrets if secret in text] == []


def test_unknown_fields_of_a_record_are_null(network, application):
    game = network.game()
    app = application()
    app.complete()
    record = next(record for record in app.replica.records["games"].values() if record["game"] == game.short_name)
    assert record == {
        "id": int(game.key.split(":")[1]),
        "game": game.short_name,
        "display_name": f"The {game.short_name}",
        "display": True,
        "description": None,
        "homepage_url": None,
        "user_agent": None,
        "user_agent_url": None,
        "connections": [],
        "allow_character_registration": True,
        "redirect_uris": [],
    }


# Changes, live


def test_changes_by_services_and_sockets_are_sent(network, application):
    app = application()
    app.complete()
    game = network.factory.game(owner=network._owner)
    created = app.next("games")
    assert [record["game"] for record in created["games"]] == [game.short_name] and "deleted" not in created
    with db.transaction() as session:
        edit_game(session, game.short_name, description="☃")
        way = games.add_connection(
            session, OPERATOR, short_name=game.short_name, type="telnet", host="a.example.com", port=23
        )
    updated = app.next("games")
    assert updated["cursor"] == created["cursor"] + 1
    assert updated["games"][0]["description"] == "☃"
    assert updated["games"][0]["connections"] == [{"id": way.id, "type": "telnet", "host": "a.example.com", "port": 23}]
    with db.transaction() as session:
        games.delete_game(session, OPERATOR, short_name=game.short_name)
    gone = app.next("games")
    assert (gone["deleted"], gone.get("games", [])) == ([game.id], [])
    assert gone["cursor"] == updated["cursor"] + 1

    # A game's socket creates a channel, and reports its software.
    peer = network.game()
    app.next("games")
    agent = f"Agent {uuid.uuid4()}"
    name = "s-" + "".join(chr(97 + int(digit, 16)) for digit in uuid.uuid4().hex[:10])
    socket = network.open()
    socket.authenticate(peer.client_id, peer.client_secret, channels=[name], user_agent=agent)
    assert [(record["name"], record["hidden"]) for record in app.next("channels")["channels"]] == [(name, True)]
    assert app.next("games")["games"][0]["user_agent"] == agent
    with db.transaction() as session:
        channels.delete_channel(session, OPERATOR, name=name)
    assert app.next("channels")["deleted"]
    assert app.replica.cursor == last_cursor()


def test_changes_by_the_command_line_are_sent(network, application):
    app = application()
    app.complete()
    name = "c-" + "".join(chr(97 + int(digit, 16)) for digit in uuid.uuid4().hex[:10])
    created = run_cli(network, "channel", "create", name, "--hidden")
    assert app.next("channels")["channels"] == [created]
    updated = run_cli(network, "channel", "update", name, "--description", "Żółw.", "--visible")
    assert app.next("channels")["channels"] == [updated]
    run_cli(network, "channel", "delete", name)
    assert app.next("channels")["deleted"] == [created["id"]]


def test_changes_of_other_fields_send_nothing(network, application):
    game = network.game()
    app = application()
    app.complete()
    with db.transaction() as session:
        games.regenerate_credentials(session, OPERATOR, short_name=game.short_name)
        edit_game(session, game.short_name, name=f"The {game.short_name}")
    network.application()
    network.factory.channel("last-of-all")
    change = app.next("channels")
    assert change["channels"][0]["name"] == "last-of-all"
    assert len([frame for frame in app.frames if "cursor" in frame["payload"]]) == 2
    with db.transaction() as session:
        channels.delete_channel(session, OPERATOR, name="last-of-all")


def test_a_large_transaction_arrives_in_batches_of_ten(network, application):
    app = application()
    app.complete()
    before = last_cursor()
    with db.transaction() as session:
        for number in range(25):
            name = "b-" + chr(97 + number) + "".join(chr(97 + int(digit, 16)) for digit in uuid.uuid4().hex[:8])
            channels.create_channel(session, OPERATOR, name=name)
    app.caught_up()
    frames = [frame["payload"] for frame in app.frames if frame["payload"].get("cursor", 0) > before]
    assert [len(payload["channels"]) for payload in frames] == [10, 10, 5]
    assert [payload["cursor"] for payload in frames] == [before + 10, before + 20, before + 25]


def test_every_application_receives_changes(network, application):
    peer = network.application()
    apps = [application(peer), application(peer), application()]
    for app in apps:
        app.complete()
    channel = network.factory.channel()
    for app in apps:
        assert app.next("channels")["channels"][0]["id"] == channel.id


# Reconnecting


def drop_and_miss(network, app):
    """Close the application's socket, and then create, update and delete records."""
    app.client.drop()
    doomed = next(iter(app.replica.records["channels"].values()))
    with db.transaction() as session:
        channels.delete_channel(session, OPERATOR, name=doomed["name"])
    kept = network.factory.channel()
    with db.transaction() as session:
        channels.update_channel(session, OPERATOR, name=kept.name, description="One.")
    with db.transaction() as session:
        channels.update_channel(session, OPERATOR, name=kept.name, description="Two.")
    network.factory.game(owner=network._owner)


def test_a_replica_resumes_from_its_cursor(network, application):
    """It receives only the changes after its cursor, in order across all kinds, including deletes."""
    many(network, 12)
    peer = network.application()
    app = application(peer)
    app.complete()
    cursor = app.replica.cursor
    drop_and_miss(network, app)
    back = application(peer, replica=app.replica, sync={"since": cursor})
    complete = back.complete()
    assert "reset" not in complete
    assert back.replica.records == {kind: state_now(kind) for kind in ("channels", "games")}
    payloads = [frame["payload"] for frame in back.frames[:-1]]
    cursors = [payload["cursor"] for payload in payloads]
    assert cursors == sorted(cursors) and cursors[0] > cursor and cursors[-1] == complete["cursor"] == cursor + 5
    assert sum(len(payload.get("channels", [])) for payload in payloads) == 3
    assert [payload["deleted"] for payload in payloads if "deleted" in payload]


def test_intermediate_versions_may_be_sent_but_a_record_once_per_event(network, application):
    peer = network.application()
    app = application(peer)
    app.complete()
    app.client.drop()
    channel = network.factory.channel()
    for number in range(12):
        with db.transaction() as session:
            channels.update_channel(session, OPERATOR, name=channel.name, description=f"Number {number}.")
    back = application(peer, replica=app.replica, sync={"since": app.replica.cursor})
    back.complete()
    for frame in back.frames[:-1]:
        ids = [record["id"] for record in frame["payload"]["channels"]]
        assert len(ids) == len(set(ids))
    assert back.replica.records["channels"][channel.id]["description"] == "Number 11."


def test_a_replica_that_missed_nothing_receives_no_changes(network, application):
    peer = network.application()
    app = application(peer)
    app.complete()
    back = application(peer, replica=app.replica, sync={"since": app.replica.cursor})
    complete = back.complete()
    assert len(back.frames) == 1 and complete["cursor"] == app.replica.cursor
    channel = network.factory.channel()
    assert back.next("channels")["channels"][0]["id"] == channel.id


def test_a_sync_from_zero_replays_the_whole_log(network, application):
    app = application(sync={"since": 0})
    complete = app.complete()
    assert "reset" not in complete
    assert app.replica.records == {kind: state_now(kind) for kind in ("channels", "games")}


@pytest.mark.parametrize("since", [10**6, 10**30, -1, -(10**30)])
def test_an_unknown_cursor_gets_the_whole_state_and_a_reset(network, application, since):
    """After a backup was restored, the log is behind the replica."""
    app = application(sync={"since": since})
    complete = app.complete()
    assert complete["reset"] is True
    assert app.replica.records["games"] == state_now("games")
    assert not any("cursor" in frame["payload"] for frame in app.frames[:-1])


@pytest.mark.parametrize("sync", [{"since": None}, {}, True, None])
def test_the_whole_state_can_be_requested_in_other_ways(network, application, sync):
    network.factory.channel()
    app = application(sync=sync)
    complete = app.complete()
    assert "reset" not in complete
    assert not any("cursor" in frame["payload"] for frame in app.frames[:-1])


@pytest.mark.parametrize("sync", [{"since": "x"}, {"since": 1.5}, "yes", 5, [1]])
def test_an_invalid_sync_fails_the_authentication(network, sync):
    peer = network.application()
    client = network.open()
    answer = client.authenticate(peer.client_id, peer.client_secret, check=False, sync=sync)
    assert (answer["status"], answer["code"]) == ("failure", "invalid") and '"sync' in answer["error"]
    assert client.wait_closed() == 4000


def test_sync_false_sends_nothing_until_requested(network, application):
    app = application(sync=False)
    network.factory.channel()
    app.client.settle()
    assert app.frames == []
    app.client.send("sync", {}, ref="now")
    app.complete(ref="now")
    assert app.replica.records["channels"] == state_now("channels")
    channel = network.factory.channel()
    assert app.next("channels")["channels"][0]["id"] == channel.id


# Requests


@pytest.mark.parametrize("ref", ["words", 7, "7c4a8d09-ca37-42af-b6a3-8d5b8f0c1e52", ""])
def test_all_answers_of_a_request_carry_its_ref(network, application, ref):
    network.factory.channel()
    network.game()
    app = application()
    app.complete()
    cursor = app.replica.cursor
    seen = len(app.client.frames)
    app.replica.expect_state()
    app.client.send("sync", {"since": None}, ref=ref)
    app.complete(ref=ref)
    answers = [frame for frame in app.client.frames[seen:] if frame["event"].startswith("sync/")]
    assert {json.dumps(frame["ref"]) for frame in answers} == {json.dumps(ref)} and len(answers) >= 3
    assert not any("status" in frame for frame in answers)

    network.factory.channel()
    app.next("channels")
    app.replica.cursor = cursor
    app.client.send("sync", {"since": cursor}, ref=ref)
    seen = len(app.client.frames)
    complete = app.complete(ref=ref)
    answers = [frame for frame in app.client.frames[seen:] if frame["event"].startswith("sync/")]
    assert [frame["event"] for frame in answers] == ["sync/channels", "sync/complete"]
    assert {json.dumps(frame["ref"]) for frame in answers} == {json.dumps(ref)}
    assert complete["cursor"] == last_cursor()


def test_requests_are_served_one_after_the_other(network, application):
    app = application(sync=False)
    for number in range(5):
        app.client.send("sync", {"since": 0 if number % 2 else None}, ref=number + 1)
    app.client.wait_for("sync/complete", ref=5, seconds=10)
    refs = [frame["ref"] for frame in app.frames]
    assert refs == sorted(refs) and set(refs) == {1, 2, 3, 4, 5}


def test_a_request_without_a_ref_gets_no_answer(network, application):
    app = application(sync=False)
    app.client.send("sync", {"since": 0})
    app.client.settle()
    assert app.frames == []


# The log is too short


def test_a_replica_from_before_the_floor_starts_over(start_worker, connect, stored):
    """Uses its own network, since it prunes the log."""
    running = start_worker()
    _, credentials = stored.application_with_credentials()

    def open_application(**options):
        client = connect(running.url)
        app = Application.__new__(Application)
        app.client, app.replica, app._applied = client, Replica(), 0
        client.authenticate(credentials.client_id, credentials.client_secret, **options)
        return app

    channel = stored.channel()
    for number in range(3):
        with db.transaction() as session:
            channels.update_channel(session, OPERATOR, name=channel.name, description=f"Number {number}.")
    doomed = stored.channel()
    with db.transaction() as session:
        channels.delete_channel(session, OPERATOR, name=doomed.name)
    live = open_application()
    live.complete()
    with db.transaction() as session:
        assert versions.prune(session, before=utc_now() + timedelta(days=1)) == 4

    for since in (0, 1, last_cursor() - 1):
        back = open_application(sync={"since": since})
        assert back.complete()["reset"] is True
        assert back.replica.records["channels"] == state_now("channels")
    there = open_application(sync={"since": last_cursor()})
    assert "reset" not in there.client.wait_for("sync/complete")["payload"]
    # A replica that was up to date continues as before.
    stored.channel()
    assert live.next("channels")["cursor"] == last_cursor()
    assert "Traceback" not in running.output


def test_every_replica_starts_over_when_the_log_goes_back(start_worker, connect, stored, database_url, tmp_path):
    """A backup is restored while the worker runs."""
    import sqlite3

    running = start_worker()
    _, credentials = stored.application_with_credentials()
    stored.channel("kept")
    backup = sqlite3.connect(tmp_path / "backup.db")
    current = sqlite3.connect(database_url.removeprefix("sqlite:///"))
    current.backup(backup)
    client = connect(running.url)
    client.authenticate(credentials.client_id, credentials.client_secret)
    client.wait_for("sync/complete")
    stored.channel("lost")
    client.wait_for("sync/channels", payload={"cursor": 2})  # the worker has read the log up to this cursor
    start = len(client.frames)
    backup.backup(current)
    backup.close()
    current.close()
    complete = client.wait_for("sync/complete", seconds=30)
    assert complete["payload"]["reset"] is True
    replica = Replica()
    for frame in client.frames[start:]:
        replica.apply(frame)
    assert [record["name"] for record in replica.records["channels"].values()] == ["kept"]
    stored.channel("after")
    frame = client.wait_for("sync/channels", payload={"cursor": 2})
    assert frame["payload"]["channels"][0]["name"] == "after"
    # Cursor 2 meant another state before. The worker must not send its digests again.
    client.send("sync", {"since": 1}, ref="again")
    complete = client.wait_for("sync/complete", ref="again")
    replica.apply(frame)
    replica.check(complete["payload"])


# Lost signals


def test_changes_arrive_without_redis(start_worker, connect, stored, own_valkey):
    """They arrive a little later, because the worker polls the log."""
    running = start_worker()
    _, credentials = stored.application_with_credentials()
    client = connect(running.url)
    client.authenticate(credentials.client_id, credentials.client_secret)
    client.wait_for("sync/complete")
    own_valkey.stop()
    channel = stored.channel()
    frame = client.wait_for("sync/channels", seconds=10, payload={"cursor": 1})
    assert frame["payload"]["channels"][0]["id"] == channel.id
    own_valkey.start()
    second = stored.channel()
    frame = client.wait_for("sync/channels", seconds=10, payload={"cursor": 2})
    assert frame["payload"]["channels"][0]["id"] == second.id


def test_replicas_miss_nothing_when_a_worker_is_killed(start_worker, connect, stored):
    first = start_worker()
    _, credentials = stored.application_with_credentials()
    client = connect(first.url)
    client.authenticate(credentials.client_id, credentials.client_secret)
    cursor = client.wait_for("sync/complete")["payload"]["cursor"]
    first.kill()
    missed = [stored.channel().id for _ in range(3)]
    second = start_worker()
    client = connect(second.url)
    client.authenticate(credentials.client_id, credentials.client_secret, sync={"since": cursor})
    client.wait_for("sync/complete")
    got = [record["id"] for frame in client.events("sync/channels") for record in frame["payload"]["channels"]]
    assert got == missed


# A slow reader


def test_a_slow_replica_receives_everything_and_slows_nobody(network, application):
    """It has a small receive window and pauses. Its sync waits for it, but other sockets do not."""
    with db.transaction() as session:
        for number in range(120):
            games.create_game(
                session,
                OPERATOR,
                owner_id=network._owner.id,
                details=GameDetails(
                    name=f"Slow {number} {uuid.uuid4()}", short_name=f"S{uuid.uuid4().hex[:10]}", description="x" * 5000
                ),
            )
    peer = network.application()
    slow = network.open(sockopt=[(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)])
    slow.send(
        "authenticate",
        {"client_id": peer.client_id, "client_secret": peer.client_secret, "supports": ["channels"]},
    )
    slow.wait_for("authenticate")
    quick = application()
    began = time.monotonic()
    quick.complete()
    assert time.monotonic() - began < 5
    game = network.game()
    socket = network.open()
    socket.authenticate(game.client_id, game.client_secret)
    assert quick.next("games")
    app = Application.__new__(Application)
    app.client, app.replica, app._applied = slow, Replica(), 0
    for _ in range(20):
        socket.settle()  # the worker serves others between the reads of the slow replica
        slow._read(1)
    app.complete(seconds=20)
    app.caught_up()
    assert app.replica.records["games"] == state_now("games")


def test_a_deleted_application_receives_no_more_changes(network, application):
    peer = network.application()
    app = application(peer)
    app.complete()
    with db.transaction() as session:
        applications.delete_application(session, OPERATOR, short_name=peer.short_name)
    assert app.client.wait_closed() == 4003
