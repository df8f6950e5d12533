"""Network applications and sync, over real sockets (docs/protocol.md, §8, §11)."""

from __future__ import annotations

import json
import socket as sockets
import time
import uuid

import pytest

from shared import db
from shared.models.game_details import GameDetails
from shared.services import applications, channels, games
from shared.services.authority.actors import OPERATOR
from tests.support.factory import edit_game
from tests.support.replica import Replica
from tests.worker.applications import Application, application, last_cursor, many, network, run_cli, state_now

__all__ = ["network", "application"]


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
