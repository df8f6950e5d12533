"""Sockets of applications, with a replica."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

from shared import db
from shared.services import versions
from tests.support.client import SocketClient
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
