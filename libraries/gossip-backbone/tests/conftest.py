"""A network with an application, and replicas of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from backbone import Backbone, Change
from backbone.__main__ import open_database
from sqlalchemy import Engine


@pytest.fixture
def replica_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database for the replica: of the kind of `any_database` where the test asks for it, else SQLite."""
    kind = request.getfixturevalue("any_database") if "any_database" in request.fixturenames else "sqlite"
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'replica.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def replica_engine(replica_url: str) -> Iterator[Engine]:
    """An engine on it."""
    engine = open_database(replica_url, locked_seconds=2)
    yield engine
    engine.dispose()


@pytest.fixture
def application(stored):
    """The credentials of an application."""
    return stored.application_with_credentials("App")[1]


class Running:
    """A replica that runs, and all that it told of its changes."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.changes: list[Change] = []
        self._news = threading.Condition()
        backbone.on_commit(self._note)

    def _note(self, changes: Sequence[Change]) -> None:
        with self._news:
            self.changes.extend(changes)
            self._news.notify_all()

    def start(self) -> Running:
        self.backbone.start()
        assert self.backbone.wait_synced(20)
        return self

    def wait_for(self, action: str, label: str, *, seconds: float = 10.0) -> Change:
        """The first change of this kind that was told."""

        def found() -> list[Change]:
            return [change for change in self.changes if (change.action, change.label) == (action, label)]

        with self._news:
            assert self._news.wait_for(found, seconds), f"no {action} {label}: {self.changes}"
            return found()[0]


@pytest.fixture
def make_replica(replica_engine: Engine, worker, application) -> Iterator[Callable[..., Running]]:
    """Makes replicas, running unless `start=False`; they are stopped after the test."""
    made: list[Running] = []

    def make(*, start: bool = True, engine: Engine | None = None, url: str | None = None, **options: Any) -> Running:
        running = Running(
            Backbone(
                engine or replica_engine, url or worker.url, application.client_id, application.client_secret, **options
            )
        )
        made.append(running)
        return running.start() if start else running

    yield make
    for running in made:
        running.backbone.stop()
