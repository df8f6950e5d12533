"""Engines that share what SQLAlchemy has compiled: compiling statements again took a third of each test's time."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, make_url

from shared import db


def share_compiled_statements(patch: pytest.MonkeyPatch) -> None:
    """Make `make_engine` return engines that share their pool, dialect and compiled statements by URL.

    Each call still returns an engine of its own, so that a test's listeners and options do not reach other tests.
    """
    make_engine = db.make_engine
    engines: dict[tuple[str, bool, float], Engine] = {}

    def make_sharing_engine(url: Any, *, keeps_connection: bool = False) -> Engine:
        key = (make_url(url).render_as_string(hide_password=False), keeps_connection, db.LOCK_SECONDS)
        if key not in engines:
            engines[key] = make_engine(url, keeps_connection=keeps_connection)
        return engines[key].execution_options()

    patch.setattr(db, "make_engine", make_sharing_engine)
