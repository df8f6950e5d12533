"""The server software that games say they run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Select, String, select
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime, utc_now
from shared.models.synced import SyncedPart


class UserAgent(SyncedPart, Model):
    """A `user_agent` that a game has authenticated with, and the address of its source code, if known."""

    __tablename__ = "user_agents"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    repository_url: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    def synced_owners(self) -> Iterable[tuple[str, Select[Any]]]:
        """Return every game that runs it."""
        games = self.metadata.tables["games"]  # the model imports this module
        return [("games", select(games.c.id).where(games.c.user_agent_id == self.id))]
