"""Moderation without signals: a worker without Redis polls the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import select

from shared import db
from shared.db import utc_now
from shared.models import Message
from shared.services import history
from shared.services.authority.actors import OPERATOR
from shared.services.history import Line
from shared.services.moderation import sanctions
from tests.support.client import SocketClient
from tests.support.factory import Factory
from tests.support.in_process import PlainDatabase
from tests.support.servers import RunningWorker
from tests.support.valkey import TestValkey
from tests.support.waiting import wait_until
from worker.jobs.jobs import Jobs, network_jobs


def test_a_mute_holds_while_redis_is_down(
    start_worker: Callable[..., RunningWorker],
    connect: Callable[..., SocketClient],
    stored: Factory,
    own_valkey: TestValkey,
) -> None:
    channel = stored.channel()
    game, credentials = stored.game_with_credentials()
    worker = start_worker()
    client = connect(worker.url)
    client.authenticate(credentials.client_id, credentials.client_secret, channels=[channel.name])
    line = {"channel": channel.name, "name": "Alice", "message": "hello"}
    assert client.request("channels/send", line)["status"] == "success"
    own_valkey.stop()
    with db.transaction() as session:
        target = f"Alice@{game.short_name}"
        sanctions.sanction(session, OPERATOR, kind="mute", target_kind="player", target=target, reason="flooding")
    wait_until(lambda: client.request("channels/send", line).get("code") == "muted", what="the mute")


def test_old_messages_are_deleted_by_a_job_that_runs_once(any_database, engine, settings) -> None:
    """There is more than one batch. The worker that claims the job first deletes them."""
    old = utc_now() - timedelta(days=settings.message_days + 1)
    with db.transaction() as session:
        lines = [Line(1, "game:1", "Tea", "Bob", f"{number}", old) for number in range(2_500)]
        history.store_lines(session, [*lines, Line(1, "game:1", "Tea", "Bob", "new", utc_now())], worker="w")
    job = next(job for job in network_jobs(settings) if job.name == "delete-old-messages")
    jobs = Jobs(PlainDatabase(), network_jobs(settings))
    assert jobs.run_if_due(job)
    assert not jobs.run_if_due(job)
    with db.reading() as session:
        assert list(session.scalars(select(Message.text))) == ["new"]
