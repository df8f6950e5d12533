"""The report of `/_health`: whether this worker can do its work."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from shared import __version__
from worker.database import Database
from worker.signals import Signals


class Health:
    """Checks the database and Redis."""

    def __init__(self, database: Database, signals: Signals) -> None:
        self._database = database
        self._signals = signals

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Return whether everything works, and the state of each part. May wait for the database."""
        is_database_up = self._is_database_up()
        redis_state = "down" if not self._signals.is_connected else "refusing" if self._signals.refusal else "ok"
        is_healthy = is_database_up and redis_state == "ok"
        return is_healthy, {
            "status": "ok" if is_healthy else "down",
            "version": __version__,
            "database": "ok" if is_database_up else "down",
            "redis": redis_state,
        }

    def _is_database_up(self) -> bool:
        try:
            self._database.read(lambda session: session.execute(text("SELECT 1")).all())
        except SQLAlchemyError:
            return False
        return True
