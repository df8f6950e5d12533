"""Whether a game's ways to connect work, as a worker found when it last tried."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime, utc_now


class ConnectionCheck(Model):
    """The last try of one way to connect, and when the next is due. See `shared/services/connection_checks.py`.

    An edit of the way deletes the row, so that a result is always of the way as it is. claim: a mark of the worker
    that tries it now, until `lease_until`. outcome: None before the first try. No word of what the other end said is
    kept, but for the status of a page.
    """

    __tablename__ = "connection_checks"

    connection_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("game_connections.id", ondelete="CASCADE"), primary_key=True
    )
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    claim: Mapped[str | None] = mapped_column(String(36))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    checked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(String(20))
    http_status: Mapped[int | None]
    milliseconds: Mapped[int | None]

    @property
    def is_waiting(self) -> bool:
        """True while a try is due, or under way."""
        now = utc_now()
        return self.due_at <= now or (self.lease_until is not None and self.lease_until > now)
