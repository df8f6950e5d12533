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

from tests.support.mariadb import MariaDB

REPLICAS = (
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """The run's MariaDB."""
    server = MariaDB()
    yield server
    server.close()


@pytest.fixture(params=REPLICAS)
def any_replica(request: pytest.FixtureRequest) -> str:
    """Runs the test on each database that the library knows; `replica_url` and what builds on it follow."""
    return str(request.param)


@pytest.fixture(params=[*REPLICAS, "duckdb"])
def any_store(request: pytest.FixtureRequest) -> str:
    """Like `any_replica`, and on one that the library knows nothing of: no upsert, no lock, no level of isolation.

    (It lets one process in at a time.)
    """
    return str(request.param)


@pytest.fixture
def replica_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database for the replica: of the kind that `any_replica` or `any_store` says, else SQLite."""
    asked = [name for name in ("any_replica", "any_store") if name in request.fixturenames]
    kind = request.getfixturevalue(asked[0]) if asked else "sqlite"
    if kind in ("sqlite", "duckdb"):
        yield f"{kind}:///{tmp_path / 'replica.db'}"
        return
    server = request.getfixturevalue(f"{kind}_server")
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
