"""Fixtures of the worker's tests: networks of one and of two workers, shared by modules without special settings."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.factory import Factory
from tests.support.in_process import Clock
from tests.support.network import Network
from tests.support.one_worker import network_of_this_test
from tests.support.servers import SECRET_KEY, RunningWorker
from tests.support.valkey import TestValkey

IN_PROCESS = 0  # in place of a number of workers
NAMES = {IN_PROCESS: "in process", 1: "one worker", 2: "two workers"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def running_network(
    folder: Path, migrated: Path, workers: int, constants: dict[str, float] | None = None, **settings: str
) -> Iterator[Network]:
    """Start workers with a new database and a new Valkey, and stop them at the end of the block."""
    from shared import bus, db

    database = folder / "gossip.db"
    shutil.copyfile(migrated, database)
    valkey = TestValkey()
    valkey.start()
    engine = db.make_engine(f"sqlite:///{database}")
    db.bind(engine)
    bus.publish_after_commit(bus.Bus(valkey.url))
    environment = {
        "DATABASE_URL": f"sqlite:///{database}",
        "REDIS_URL": valkey.url,
        "SECRET_KEY": SECRET_KEY,
        "INSTANCE_PATH": str(folder / "instance"),
        "WEB_PORT": "0",
        "SOCKET_PORT": "0",
        "RATE_LIMITS": "off",
        "LOG_FORMAT": "json",
        **settings,
    }
    running = [RunningWorker(environment, constants) for _ in range(workers)]
    network = None
    try:
        for worker in running:
            worker.wait_until_ready()
        network = Network(running, Factory(db.transaction), environment, valkey)
        yield network
    finally:
        if network is not None:
            network.close()
        for worker in running:
            worker.kill()
        bus.publish_after_commit(None)
        engine.dispose()
        valkey.close()


@pytest.fixture(scope="session")
def _usual_networks(
    processes: None, tmp_path_factory: pytest.TempPathFactory, _migrated_sqlite: Path
) -> Iterator[Callable[[int], Network]]:
    """Return a function from a number of workers to a network with default settings, which modules share."""
    with ExitStack() as running:
        networks: dict[int, Network] = {}

        def usual_network(workers: int) -> Network:
            if workers not in networks:
                folder = tmp_path_factory.mktemp("network")
                networks[workers] = running.enter_context(running_network(folder, _migrated_sqlite, workers))
            return networks[workers]

        yield usual_network


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of a network twice, with one worker and with two, unless it is marked `one_worker` or `in_process`."""
    if "_module_network" in metafunc.fixturenames and "network" in metafunc.fixturenames:
        numbers = [1, 2]
        if metafunc.definition.get_closest_marker("one_worker"):
            numbers = [1]
        if metafunc.definition.get_closest_marker("in_process"):
            numbers = [IN_PROCESS]
        names = [NAMES[number] for number in numbers]
        metafunc.parametrize("_module_network", numbers, ids=names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def _module_network(
    processes: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _migrated_sqlite: Path
) -> Iterator[Network]:
    settings: dict[str, Any] = getattr(request.module, "NETWORK_SETTINGS", {})
    constants: dict[str, float] = getattr(request.module, "NETWORK_CONSTANTS", {})
    if request.param == IN_PROCESS:
        from tests.support.in_process_worker import network_in_process

        assert not constants, "constants are changed only in workers with a process of their own"
        with network_in_process(tmp_path_factory.mktemp("network"), _migrated_sqlite, **settings) as network:
            yield network
        return
    if not settings and not constants:
        yield request.getfixturevalue("_usual_networks")(request.param)
        return
    folder = tmp_path_factory.mktemp("network")
    with running_network(folder, _migrated_sqlite, request.param, constants, **settings) as network:
        yield network


@pytest.fixture
def network(_module_network: Network) -> Iterator[Network]:
    """Return the module's network, and close this test's sockets afterwards.

    The module may define NETWORK_SETTINGS and NETWORK_CONSTANTS (see `RunningWorker`).
    """
    yield from network_of_this_test(_module_network)
