"""The libraries are tested against the real worker, with the fixtures of the network's own tests (`conftest.py` at the
root, one set for both trees)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

LIBRARIES = Path(__file__).resolve().parent
SOURCES = [str(LIBRARIES / name / "src") for name in ("gossip-client", "gossip-backbone")]


@pytest.fixture
def run_environment() -> dict[str, str]:
    """The environment of a program that uses the libraries as they are in this tree."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES), "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter of the tests."""
    return sys.executable
