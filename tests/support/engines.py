"""Engines that share what SQLAlchemy has compiled: compiling statements again took a third of each test's time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, make_url

from shared import db


def share_compiled_statements(patch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make `make_engine` return engines that share their pool, dialect and compiled statements by URL.

    Each call still returns an engine of its own, so that a test's listeners and options do not reach other tests.

    Returns:
        A function that closes the connections that engines on SQLite keep. Call it before a file is replaced.
    """
    make_engine = db.make_engine
    engines: dict[tuple[str, int, float], Engine] = {}

    def make_sharing_engine(url: Any, *, kept_connections: int = 0) -> Engine:
        key = (make_url(url).render_as_string(hide_password=False), kept_connections, db.LOCK_SECONDS)
        if key not in engines:
            engines[key] = make_engine(url, kept_connections=kept_connections)
        return engines[key].execution_options()

    patch.setattr(db, "make_engine", make_sharing_engine)

    def close_connections() -> None:
        for engine in engines.values():
            if engine.dialect.name == "sqlite":
                engine.dispose()

    return close_connections
