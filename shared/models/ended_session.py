"""Sessions of the site that have ended by signing out."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime


class EndedSession(Model):
    """A session, by the number in its cookie, that is no longer valid. Copies of the cookie may still exist."""

    __tablename__ = "ended_sessions"

    number: Mapped[str] = mapped_column(String(32), primary_key=True)
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
