"""The libraries are tested against the real worker: the fixtures of the network's own tests are these tests' too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import (  # noqa: F401
    _localhost_only,
    _migrated_postgres,
    _migrated_sqlite,
    _missing,
    _session_valkey,
    any_database,
    browser,
    connect,
    database_url,
    engine,
    environment,
    make_settings,
    new_page,
    own_valkey,
    page,
    postgres_server,
    redis_url,
    run_flask,
    session,
    site,
    start_site,
    start_worker,
    stored,
    valkey,
    worker,
)

LIBRARIES = Path(__file__).resolve().parent
SOURCES = [str(LIBRARIES / name / "src") for name in ("gossip-client", "gossip-backbone")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = _missing()
    for item in items:
        for marker, reason in missing.items():
            if item.path.is_relative_to(LIBRARIES) and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def run_environment() -> dict[str, str]:
    """The environment of a program that uses the libraries as they are in this tree."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES), "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter of the tests."""
    return sys.executable
