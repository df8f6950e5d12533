"""The settings against raids, and what raid protection closes. `moderation/safeguards.py` changes them."""

from __future__ import annotations

from sqlalchemy.orm import Session

from shared.db import utc_now
from shared.errors import Conflict
from shared.models.safeguards import ONLY_ROW, SafeguardSettings


def get_settings(session: Session) -> SafeguardSettings:
    """Return the settings, to be read only."""
    return session.get(SafeguardSettings, ONLY_ROW) or SafeguardSettings(
        id=ONLY_ROW, raid_reason="", probation_hours=0, probation_slow_seconds=0, probation_refuses_links=False
    )


def require_no_raid(session: Session) -> None:
    """Refuse to register an account or a game during a raid. Raises Conflict with the time from which it works."""
    settings = get_settings(session)
    if settings.raid_until is not None and settings.is_raid_at(utc_now()):
        until = settings.raid_until
        raise Conflict(
            f"registration is closed until {until:%H:%M} UTC on {until.day} {until:%B},"
            " because the network is protecting itself against a raid: please come back then"
        )
