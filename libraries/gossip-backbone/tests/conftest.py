"""Fixtures: databases for replicas, stores, and replicas of a running network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from backbone import Backbone, Change, migrate
from backbone.__main__ import open_database
from backbone.kinds import DEFAULT_KINDS
from backbone.store import Store
from gossip_client import SyncRecords
from sqlalchemy import Engine

from tests.support.backbone import channel, complete, game
from tests.support.mariadb import MariaDB

REPLICAS = (
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
)


@pytest.fixture(scope="session")
def mariadb_server(processes: None) -> Iterator[MariaDB]:
    """The MariaDB server of the test run."""
    server = MariaDB()
    yield server
    server.close()


@pytest.fixture(params=REPLICAS)
def any_replica(request: pytest.FixtureRequest) -> str:
    """Run the test on each database that the library supports. `replica_url` and the fixtures that use it follow."""
    return str(request.param)


@pytest.fixture(params=[*REPLICAS, "duckdb"])
def any_store(request: pytest.FixtureRequest) -> str:
    """Run the test on these and on DuckDB, for which the library has no upsert, no lock and no isolation level.

    Only one process at a time can open a DuckDB file.
    """
    return str(request.param)


@pytest.fixture
def replica_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, of the kind of `any_replica` or `any_store`, by default SQLite."""
    choices = [name for name in ("any_replica", "any_store") if name in request.fixturenames]
    kind = request.getfixturevalue(choices[0]) if choices else "sqlite"
    if kind in ("sqlite", "duckdb"):
        yield f"{kind}:///{tmp_path / 'replica.db'}"
        return
    server = request.getfixturevalue(f"{kind}_server")
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def replica_engine(replica_url: str) -> Iterator[Engine]:
    """An engine on the database of `replica_url`."""
    engine = open_database(replica_url, locked_seconds=2)
    yield engine
    engine.dispose()


@pytest.fixture
def make_store(replica_engine: Engine) -> Callable[..., Store]:
    """Return a function that makes stores on the migrated database."""
    migrate(replica_engine)

    def make(**options: Any) -> Store:
        return Store(replica_engine, options.pop("kinds", DEFAULT_KINDS), **options)

    return make


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    """A store that is complete at cursor 10, with channel 1 and games 1 and 2."""
    store = make_store()
    store.wants_changes = True
    first, second = game(1), game(2, "Beta")
    applied = store.apply(
        [
            SyncRecords("channels", [channel(1)]),
            SyncRecords("games", [first, second]),
            complete(10, [channel(1)], [first, second]),
        ]
    )
    assert applied.is_complete and applied.cursor == 10
    assert [change.action for change in applied.changes] == ["created"] * 3
    return store


@pytest.fixture
def application(stored):
    """The credentials of an application."""
    return stored.application_with_credentials("App")[1]


class Running:
    """A running replica that collects its committed changes."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.changes: list[Change] = []
        self._changed = threading.Condition()
        backbone.on_commit(self._collect)

    def _collect(self, changes: Sequence[Change]) -> None:
        with self._changed:
            self.changes.extend(changes)
            self._changed.notify_all()

    def start(self) -> Running:
        self.backbone.start()
        assert self.backbone.wait_synced(20)
        return self

    def wait_for(self, action: str, label: str, *, seconds: float = 10.0) -> Change:
        """Wait for a change, and return it."""

        def matching() -> list[Change]:
            return [change for change in self.changes if (change.action, change.label) == (action, label)]

        with self._changed:
            assert self._changed.wait_for(matching, seconds), f"no {action} {label}: {self.changes}"
            return matching()[0]


@pytest.fixture
def make_replica(replica_engine: Engine, worker, application) -> Iterator[Callable[..., Running]]:
    """Make replicas, started unless `start=False`, and stop them after the test."""
    replicas: list[Running] = []

    def make(*, start: bool = True, engine: Engine | None = None, url: str | None = None, **options: Any) -> Running:
        running = Running(
            Backbone(
                engine or replica_engine, url or worker.url, application.client_id, application.client_secret, **options
            )
        )
        replicas.append(running)
        return running.start() if start else running

    yield make
    for running in replicas:
        running.backbone.stop()
