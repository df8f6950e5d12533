"""Chat channels."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime, utc_now
from shared.models.synced import Synced


class Channel(Synced, Model):
    """A named chat room shared by games. A hidden channel is not listed, but works for anyone who knows its name.

    Attributes:
        made_by: the short name of the game or application that created it by subscribing to an unknown name. It is not
            a foreign key: the creator may be deleted, and short names are never reused.
    """

    __tablename__ = "channels"
    __table_args__ = (
        Index("uq_channels_name_lower", text("lower(name)"), unique=True),
        {"sqlite_autoincrement": True},
    )
    sync_kind = "channels"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(15))
    description: Mapped[str | None] = mapped_column(String(500))
    is_hidden: Mapped[bool] = mapped_column(default=True)
    proposed_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    made_by: Mapped[str | None] = mapped_column(String(15))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    def sync_payload(self) -> dict[str, Any]:
        """Return the record of a `sync/channels` event (docs/protocol.md, §8)."""
        return {"id": self.id, "name": self.name, "description": self.description, "hidden": self.is_hidden}
