"""The results of connection checks: whether a game's ways to connect work."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime, utc_now


class ConnectionCheck(Model):
    """The last check of one way to connect, and when the next is due. See `shared/services/connection_checks.py`.

    Editing the way to connect deletes the row, so that a result never describes an old address. Apart from a page's
    status, nothing that the other end sent is stored.

    Attributes:
        claim: identifies the check that a worker runs now, until `lease_until`.
        outcome: None before the first check.
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
        """True while a check is due or running."""
        return self.due_at <= utc_now() or self.is_running

    @property
    def is_running(self) -> bool:
        """True while a worker runs the check."""
        return self.lease_until is not None and self.lease_until > utc_now()


class CheckCount(Model):
    """How many checks the games of one owner had in the current window. See `shared/services/check_allowances.py`.

    Attributes:
        port_class: the ports that were checked, one of `PortClass`.
        since: when the window began.
    """

    __tablename__ = "check_counts"

    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    port_class: Mapped[str] = mapped_column(String(10), primary_key=True)
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    checks: Mapped[int]
