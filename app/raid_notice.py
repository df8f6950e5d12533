"""Whether raid protection is on, for the notice on every page. Read at most every few seconds."""

from __future__ import annotations

import time
from datetime import datetime

from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError

from shared.db import reading, utc_now
from shared.services import raids

CACHE_SECONDS = 5.0
_KEY = "raid_notice"


def init_app(app: Flask) -> None:
    """Give templates `raid()`, which returns (end, reason), or None while raid protection is off."""
    app.extensions[_KEY] = (float("-inf"), None)
    app.jinja_env.globals["raid"] = current_raid


def current_raid() -> tuple[datetime, str] | None:
    """Return when raid protection ends, and its reason. None while it is off or cannot be read."""
    read_at, raid = current_app.extensions[_KEY]
    if time.monotonic() - read_at > CACHE_SECONDS:
        raid = _read()
        current_app.extensions[_KEY] = (time.monotonic(), raid)
    return raid if raid is not None and raid[0] > utc_now() else None


def forget_raid() -> None:
    """Read again for the next page: this process has just changed it."""
    current_app.extensions[_KEY] = (float("-inf"), None)


def _read() -> tuple[datetime, str] | None:
    try:
        with reading() as session:
            settings = raids.get_settings(session)
            return None if settings.raid_until is None else (settings.raid_until, settings.raid_reason)
    except SQLAlchemyError:
        return None  # error pages must work while the database is down
