"""What moderators have set against raids, and for newcomers: one row."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime

ONLY_ROW = 1


class SafeguardSettings(Model):
    """The raid switch and the probation of new accounts and games.

    Attributes:
        raid_until: When raid protection ends by itself. None, or a time in the past, while it is off.
        raid_reason: Shown to everybody while it is on.
        probation_hours: How long accounts and games count as new. 0 turns probation off.
        probation_slow_seconds: The minimum time between two lines of a new player; 0 for none.
        probation_refuses_links: Whether new players may not say links.
    """

    __tablename__ = "safeguard_settings"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    raid_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    raid_reason: Mapped[str] = mapped_column(String(500), default="")
    probation_hours: Mapped[int] = mapped_column(default=0)
    probation_slow_seconds: Mapped[int] = mapped_column(default=0)
    probation_refuses_links: Mapped[bool] = mapped_column(default=False)

    def is_raid_at(self, now: datetime) -> bool:
        """Return whether raid protection is on at this time."""
        return self.raid_until is not None and self.raid_until > now
