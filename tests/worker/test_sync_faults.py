"""Sync when the log is too short, and when signals or workers are lost."""

from __future__ import annotations

from datetime import timedelta

from shared import db
from shared.db import utc_now
from shared.services import channels, versions
from shared.services.authority.actors import OPERATOR
from tests.support.replica import Replica
from tests.worker.applications import Application, last_cursor, network, state_now

__all__ = ["network"]

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
