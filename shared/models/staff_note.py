"""What moderators note for each other about a report or a person."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime, utc_now


class StaffNote(Model):
    """An internal note. Only moderators and admins can read it.

    Attributes:
        about: what it is about, as the audit trail names it (`report:12`, `game:7/bob`, `user:3`). No foreign key,
            since notes outlive games and accounts.
        author_id: the author's account; None for the operator.
    """

    __tablename__ = "staff_notes"
    __table_args__ = (Index("ix_staff_notes_about_id", "about", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    about: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(String(1000))
    author_id: Mapped[int | None]
    author_name: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
