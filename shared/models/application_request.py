"""Requests for a network application, which an admin decides."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shared.db import Model, UtcDateTime, utc_now
from shared.models.application import Application
from shared.models.user import User


class ApplicationRequest(Model):
    """What an author asks for, and what an admin has answered.

    Attributes:
        purpose: what the application is for and who runs it.
        answer: the admin's words to the author.
        application: exists once the request is approved, unless it was deleted since.
    """

    __tablename__ = "application_requests"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'approved', 'declined')", name="state"),
        Index("ix_application_requests_state_id", "state", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    application_id: Mapped[int | None] = mapped_column(ForeignKey("applications.id", ondelete="SET NULL"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    short_name: Mapped[str] = mapped_column(String(15))
    purpose: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(10), default="open")
    answer: Mapped[str] = mapped_column(String(500), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    user: Mapped[User] = relationship()
    application: Mapped[Application | None] = relationship()
