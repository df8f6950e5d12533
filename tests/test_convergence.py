"""Four writers change records while a replica disconnects and resumes at random. In the end it equals a whole state.

CONVERGENCE_SECONDS sets how long the writers write (2 s in the suite); CONVERGENCE_SEED repeats the random choices of a
run. To run it for a minute on each database and print its figures:

    CONVERGENCE_SECONDS=60 pytest tests/test_convergence.py -s
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
from typing import Any

import pytest

from shared import db
from shared.services import versions
from tests.support.client import Closed, SocketClient
from tests.support.passwords import use_quick_passwords
from tests.support.replica import Replica, digest
from tests.support.writer import write

SECONDS = float(os.environ.get("CONVERGENCE_SECONDS", "2"))
SEED = int(os.environ.get("CONVERGENCE_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
WRITERS = 4

pytestmark = [pytest.mark.timeout(60 + 4 * SECONDS), pytest.mark.usefixtures("any_database")]


class Restless:
    """A replica that keeps losing its socket, in the middle of a sync too."""

    def __init__(self, url: str, credentials: Any, chance: random.Random) -> None:
        self.url = url
        self.credentials = credentials
        self.random = chance
        self.replica = Replica()
        self.resumes = self.wholes = self.frames = self.completes = self.cuts_in_a_sync = 0

    def visit(self, reads: int | None) -> None:
        """Connect, read this many messages (None: until nothing follows `sync/complete`), and drop the socket."""
        client = SocketClient(self.url)
        sync: dict[str, Any] | bool = True
        if self.replica.cursor is not None and self.random.random() > 0.1:
            sync = {"since": self.replica.cursor}
            self.resumes += 1
        else:
            self.wholes += 1
            self.replica.expect_state()
        client.authenticate(self.credentials.client_id, self.credentials.client_secret, sync=sync)
        applied, is_complete = 0, False
        kept = self.replica.cursor
        while True:
            while applied < len(client.frames):
                frame = client.frames[applied]
                applied += 1
                self.replica.apply(frame)
                if frame["event"].startswith("sync/"):
                    self.frames += 1
                if frame["event"] == "sync/complete":
                    is_complete = True
                    self.completes += 1
            if client.is_closed:
                raise Closed(client.close_code, client.close_reason)
            if reads is not None and applied >= reads:
                break
            is_quiet = not client._read(0.05)
            if is_quiet and is_complete and (reads is None or self.random.random() < 0.5):
                break
        if not is_complete:
            self.cuts_in_a_sync += 1
            if sync is True:
                # An incomplete whole state is discarded: the previous state remains.
                self.replica._state = None
                self.replica.cursor = kept
        client.drop()


def test_a_restless_replica_equals_a_full_sync(
    database_url, redis_url, stored, start_worker, monkeypatch, capsys, any_database
):
    """Its digests equal those of a whole state that another application gets at the end."""
    use_quick_passwords(monkeypatch)
    running = start_worker()
    owner = stored.user()
    _, credentials = stored.application_with_credentials()
    for _ in range(10):  # so that there is something to edit from the start
        stored.connection(stored.game(owner=owner))
        stored.channel()
    chance = random.Random(SEED)
    # From a fresh interpreter, so that the processes do not inherit pytest's state.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.writer"])
    results = context.Queue()
    writers = [
        context.Process(
            target=write,
            args=(database_url, redis_url, owner.id, chance.randrange(10**9), SECONDS, results),
            daemon=True,
        )
        for _ in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    restless = Restless(running.url, credentials, chance)
    while any(writer.is_alive() for writer in writers):
        restless.visit(chance.choice([1, 2, 3, 5, 8, 20, 50]))
    for writer in writers:
        writer.join(10)
        assert writer.exitcode == 0, f"a writer failed, seed {SEED}"
    done: dict[str, int] = {}
    for _ in writers:
        for name, count in results.get(timeout=10).items():
            done[name] = done.get(name, 0) + count

    with db.reading() as session:
        cursor = versions.last_cursor(session)
    while (restless.replica.cursor or 0) < cursor:
        restless.visit(None)
    whole = Replica()
    client = SocketClient(running.url)
    client.authenticate(credentials.client_id, credentials.client_secret)
    complete = client.wait_for("sync/complete", seconds=30)["payload"]
    for frame in client.frames:
        whole.apply(frame)
    client.drop()

    assert restless.replica.records == whole.records, f"seed {SEED}"
    restless.replica.check(complete)
    assert restless.replica.cursor == whole.cursor == cursor
    assert "Traceback" not in running.output
    assert restless.resumes > 3 and cursor > 50, f"too little has happened to show anything: {done}"
    figures = (
        f"{any_database}, {SECONDS:g} s, seed {SEED}: {cursor} versions, {complete['counts']}; "
        f"{restless.resumes} resumes, "
        f"{restless.wholes} whole states, {restless.cuts_in_a_sync} cut before sync/complete, "
        f"{restless.completes} digests checked, {restless.frames} sync frames; {done}"
    )
    with capsys.disabled():
        if "-s" in sys.argv or SECONDS > 5:
            print("\n" + figures)


def test_the_comparison_notices_one_changed_letter():
    """Otherwise equal digests would prove little."""
    record = {"id": 1, "name": "gossip", "description": None, "hidden": False}
    replicas = [Replica(), Replica()]
    replicas[0].records["channels"][1] = record
    replicas[1].records["channels"][1] = {**record, "name": "gossiq"}
    complete = {
        "counts": {"channels": 1, "games": 0},
        "digests": {kind: digest(records) for kind, records in replicas[0].records.items()},
    }
    replicas[0].check(complete)
    with pytest.raises(AssertionError):
        replicas[1].check(complete)
