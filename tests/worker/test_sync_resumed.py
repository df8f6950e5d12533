"""Applications that reconnect get what they have missed (docs/protocol.md, §11)."""

from __future__ import annotations

import pytest

from shared import db
from shared.services import channels
from shared.services.authority.actors import OPERATOR
from tests.worker.applications import application, many, network, state_now

__all__ = ["network", "application"]


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
