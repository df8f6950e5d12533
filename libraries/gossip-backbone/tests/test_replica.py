"""Replicas of a network with the real worker."""

from __future__ import annotations

import socket
import time

import pytest
from backbone import Backbone, Channel, DatabaseFailed, Game
from backbone.kinds import DEFAULT_KINDS
from backbone.store import Store
from backbone.verify import verify
from gossip_client import AuthenticationFailed, Backoff, ConnectFailed, RequestTimedOut
from gossip_client.sync import Client
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from shared import db
from shared.services import channels, games
from shared.services.authority.actors import OPERATOR
from tests.support.factory import edit_game
from tests.support.waiting import wait_until

QUICK = Backoff(first=0.1, longest=0.2)


@pytest.fixture
def check(worker, stored):
    """Return a function that compares a replica with the network, as a second application."""
    credentials = stored.application_with_credentials("Check")[1]

    def run(engine, *, url=None, **options):
        client = Client(
            url or worker.url, credentials.client_id, credentials.client_secret, sync=lambda: False, keeps_view=False
        )
        with client:
            return verify(Store(engine, DEFAULT_KINDS), client, **options)

    return run


def edit(short_name, **fields):
    with db.transaction() as session:
        edit_game(session, short_name, **fields)


def test_a_replica_follows_the_network(any_replica, make_replica, stored, check, run_flask):
    """It gets the whole state, then each create, edit and delete, whichever process makes it."""
    names = [stored.game(description="<b>✔ \"'\\</b>").short_name for _ in range(23)]
    stored.channel("gossip", description="Talk")
    replica = make_replica()
    assert len(replica.changes) == 24 and {change.action for change in replica.changes} == {"created"}

    edit(names[0], description="edited")
    assert replica.wait_for("updated", names[0]).fields == ["description"]
    assert run_flask("game", "delete", names[1]).returncode == 0
    replica.wait_for("deleted", names[1])
    assert run_flask("channel", "create", "testing").returncode == 0
    replica.wait_for("created", "testing")

    engine = replica.backbone.engine
    with Session(engine) as session:
        assert session.scalars(select(Game.description).where(Game.game == names[0])).one() == "edited"
        assert session.scalars(select(Channel.name).order_by(Channel.name)).all() == ["gossip", "testing"]
    report = check(engine)
    assert report.is_equal and report.counts == {"channels": 2, "games": 22} and report.missed == 0


def test_a_replica_resumes_where_it_stopped(make_replica, stored, check):
    """It gets only what changed meanwhile, deletes included. If nothing changed, it gets nothing."""
    kept, deleted = stored.game(), stored.game()
    first = make_replica()
    first.backbone.stop()
    edit(kept.short_name, description="meanwhile")
    with db.transaction() as session:
        games.delete_game(session, OPERATOR, short_name=deleted.short_name)
    second = make_replica()
    changes = {(change.action, change.label) for change in second.changes}
    assert changes == {("updated", kept.short_name), ("deleted", deleted.short_name)}
    second.backbone.stop()
    assert make_replica().changes == []
    assert check(second.backbone.engine).is_equal


def test_a_replica_reconnects_when_the_worker_is_back(make_replica, stored, worker, start_worker, check):
    game = stored.game()
    replica = make_replica(backoff=QUICK)
    worker.kill()
    wait_until(lambda: not replica.backbone.wait_synced(0))
    edit(game.short_name, description="while it was dead")
    start_worker(SOCKET_PORT=str(worker.port))
    replica.wait_for("updated", game.short_name, seconds=20)


def test_a_replica_that_was_changed_by_hand_mends_itself(make_replica, stored, check):
    """At the next connection the digests differ, and the replica asks for the whole state."""
    stored_games = [stored.game() for _ in range(12)]
    stored.channel("gossip")
    first = make_replica()
    engine = first.backbone.engine
    first.backbone.stop()
    with Session(engine) as session, session.begin():
        session.get(Game, stored_games[0].id).description = "by hand"
        session.delete(session.get(Game, stored_games[1].id))
        session.add(Game(id=999, game="Ghost"))
    second = make_replica()
    changes = {(change.action, change.label) for change in second.changes}
    assert ("deleted", "Ghost") in changes and ("created", stored_games[1].short_name) in changes
    assert len(changes) == 3
    assert check(engine).is_equal


def test_a_server_with_another_log_resets_the_replica(make_replica, stored, check):
    """The replica's cursor is ahead of the network's, as after a restored backup."""
    stored.game("Alpha")
    first = make_replica()
    first.backbone.stop()
    engine = first.backbone.engine
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE backbone_state SET cursor = 100000")
        connection.exec_driver_sql("UPDATE backbone_games SET game = 'Future'")
    second = make_replica()
    assert second.wait_for("updated", "Alpha").fields == ["game"]
    assert second.backbone.store.since() < 100000
    assert check(engine).is_equal


def test_verify_names_differences_and_mends_them(make_replica, stored, check):
    stored.channel("gossip")
    changed, missing = stored.game("Alpha"), stored.game("Beta")
    replica = make_replica()
    engine = replica.backbone.engine
    replica.backbone.stop()
    later = stored.game("Gamma")
    report = check(engine)
    assert report.is_behind and not report.is_equal and report.missed == 1
    with Session(engine) as session, session.begin():
        session.get(Game, changed.id).homepage_url = "https://elsewhere.example.com"
        session.delete(session.get(Game, missing.id))
        session.add(Channel(id=77, name="ghost"))
    report = check(engine)
    assert [str(difference) for difference in report.differences] == [
        "channels 77 ghost: gone from the network",
        f"games {changed.id} Alpha: differs in homepage_url",
        f"games {missing.id} Beta: missing here",
    ]
    mended = check(engine, mend=True)
    assert mended.has_mended and len(mended.differences) == 3
    assert check(engine).is_equal
    with Session(engine) as session:
        assert session.get(Game, later.id) is not None


def test_verify_compares_what_is_in_the_copy(make_replica, stored, check):
    """A copy that lacks an edit is not equal, and --mend adds the edit. Changes it has anyway count for nothing."""
    game = stored.game("Alpha", description="old")
    replica = make_replica()
    engine = replica.backbone.engine
    replica.backbone.stop()
    edit("Alpha", description="new")
    edit("Alpha", description="old")
    assert check(engine).is_equal
    edit("Alpha", description="newer")
    report = check(engine)
    assert report.is_behind and not report.is_equal and report.missed == 1
    mended = check(engine, mend=True)
    assert mended.is_behind and mended.has_mended
    with Session(engine) as session:
        assert session.get(Game, game.id).description == "newer"
    assert check(engine).is_equal


def test_hooks_write_with_the_change(make_replica, stored):
    replica = make_replica(start=False)
    seen = []

    @replica.backbone.on("games", "created", "updated")
    def note(session, change):
        game = change.get(session)
        game.display_name = game.display_name
        seen.append((change.action, game.display_name))

    replica.start()
    game = stored.game("Alpha")
    replica.wait_for("created", "Alpha")
    edit("Alpha", name="Other")
    replica.wait_for("updated", "Alpha")
    assert seen == [("created", game.name), ("updated", "Other")]


def test_a_failing_hook_is_logged_with_its_traceback(make_replica, stored, caplog):
    stored.game("Alpha")
    replica = make_replica(start=False)

    @replica.backbone.on("games", "created")
    def fails(session, change):
        raise ValueError(f"no {change.label} today")

    replica.backbone.start()
    wait_until(lambda: not replica.backbone.is_running)
    assert "the replica has stopped: the hook fails failed" in caplog.text
    assert 'in fails\n    raise ValueError(f"no {change.label} today")' in caplog.text


@pytest.mark.parametrize(
    "any_replica",
    [pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("mariadb", marks=pytest.mark.mariadb)],
    indirect=True,
)
def test_a_replica_survives_a_restart_of_its_database(request, any_replica, replica_url, make_replica, stored, check):
    """All connections are cut. Changes made meanwhile are not lost."""
    stored.game("Alpha")
    replica = make_replica()
    attempts, apply = [], replica.backbone.store.apply
    replica.backbone.store.apply = lambda batch: (attempts.append(batch), apply(batch))[1]
    assert request.getfixturevalue(f"{any_replica}_server").cut_connections(replica_url) == 1
    edit("Alpha", description="meanwhile")
    replica.wait_for("updated", "Alpha", seconds=20)
    assert len(attempts) >= 2 and check(replica.backbone.engine).is_equal


def test_an_application_can_chat_with_the_same_client(make_replica, stored, worker):
    from gossip_client import ChannelMessage

    credentials = stored.game_with_credentials("Alpha")[1]
    replica = make_replica(start=False)
    messages = []
    replica.backbone.client.on(ChannelMessage)(messages.append)
    replica.start()
    with Client(worker.url, credentials.client_id, credentials.client_secret, channels=["gossip"]) as game:
        game.send("gossip", "Ann", "hello")
        wait_until(lambda: messages)
        replica.wait_for("created", "gossip")
        replica.backbone.client.send("gossip", "Bot", "hello Ann")
        wait_until(lambda: [event for event in game.take(seconds=0.1) if isinstance(event, ChannelMessage)])
    assert messages[0].message == "hello"


def test_run_raises_what_goes_wrong_at_the_start(replica_engine, worker, application, tmp_path):
    def run(engine, url=worker.url, secret=application.client_secret):
        Backbone(engine, url, application.client_id, secret).run(connect_seconds=1)

    with pytest.raises(AuthenticationFailed):
        run(replica_engine, secret="wrong")
    with pytest.raises(ConnectFailed):
        run(replica_engine, url="ws://127.0.0.1:1/socket")
    with pytest.raises(DatabaseFailed):
        run(f"sqlite:///{tmp_path}/no/such/folder/x.db")


def test_stop_interrupts_a_connection_attempt(replica_engine, application):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/socket"
        backbone = Backbone(replica_engine, url, application.client_id, application.client_secret)
        backbone.start()
        backbone.start()  # no effect: it is running
        connection, _ = listener.accept()
        with connection:
            connection.recv(1)  # the replica has sent its request and waits for the answer
            started_at = time.monotonic()
            backbone.stop()
        assert time.monotonic() - started_at < 5
        assert not backbone.is_running


def test_a_stopped_replica_can_start_again(make_replica, stored):
    stored.game("Alpha")
    replica = make_replica()
    replica.backbone.stop()
    assert not replica.backbone.wait_synced(0)
    replica.start()
    edit("Alpha", description="again")
    replica.wait_for("updated", "Alpha")


def test_start_keeps_trying_while_the_database_is_away(make_replica, stored, tmp_path, worker, application):
    """It goes on long after `run` would have raised."""
    stored.game("Alpha")
    folder = tmp_path / "later"
    replica = make_replica(start=False, engine=create_engine(f"sqlite:///{folder}/replica.db"), database_seconds=0.1)
    replica.backbone.start()
    assert not replica.backbone.wait_synced(0.5)
    folder.mkdir()
    assert replica.backbone.wait_synced(20)


def test_a_replica_asks_again_for_a_whole_state_that_failed(make_replica, stored, monkeypatch):
    """The digests differ, and the server does not answer the first request."""
    monkeypatch.setattr("backbone.replica._ASK_AGAIN_SECONDS", 0.1)
    game = stored.game("Alpha")
    first = make_replica()
    engine = first.backbone.engine
    first.backbone.stop()
    with Session(engine) as session, session.begin():
        session.get(Game, game.id).description = "by hand"
    second = make_replica(start=False)
    post, requests = second.backbone.client.post, []

    def fails_once(request):
        requests.append(request)
        if len(requests) == 1:
            request.finish(RequestTimedOut("sync: no answer in time"))
        else:
            post(request)

    monkeypatch.setattr(second.backbone.client, "post", fails_once)
    second.start()
    assert second.wait_for("updated", "Alpha").fields == ["description"] and len(requests) == 2


def test_changes_wait_for_a_locked_database(make_replica, stored, replica_engine, check):
    game = stored.game()
    replica = make_replica(database_seconds=30.0)
    attempts, apply = [], replica.backbone.store.apply
    replica.backbone.store.apply = lambda batch: (attempts.append(batch), apply(batch))[1]
    with replica_engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        edit(game.short_name, description="locked out")
        wait_until(lambda: attempts, what="the replica tries to write the change")
        connection.rollback()
    replica.wait_for("updated", game.short_name, seconds=20)
    with db.transaction() as session:
        channels.create_channel(session, OPERATOR, name="after")
    replica.wait_for("created", "after")
