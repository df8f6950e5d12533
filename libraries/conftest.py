"""Fixtures for the libraries' tests, which use the real worker and the fixtures of the root's `conftest.py`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.network import Network
from tests.support.one_worker import network_of_this_test

LIBRARIES = Path(__file__).resolve().parent
SOURCES = [str(LIBRARIES / name / "src") for name in ("gossip-client", "gossip-backbone")]


@pytest.fixture
def run_environment() -> dict[str, str]:
    """Environment variables for a program that uses the libraries of this tree."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES), "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}


@pytest.fixture(scope="session")
def python(processes: None) -> str:
    """The path of the interpreter that runs the tests."""
    return sys.executable


@pytest.fixture(scope="session")
def _shared_network(
    processes: None, tmp_path_factory: pytest.TempPathFactory, _migrated_sqlite: Path
) -> Iterator[Network]:
    from tests.worker.conftest import running_network

    with running_network(tmp_path_factory.mktemp("network"), _migrated_sqlite, 1) as network:
        yield network


@pytest.fixture
def network(_shared_network: Network) -> Iterator[Network]:
    """A worker that several tests share. Each test makes its own games and channels there."""
    yield from network_of_this_test(_shared_network)


@pytest.fixture
def network_url(network: Network) -> str:
    """The address of the shared worker's socket."""
    return network.workers[0].url
