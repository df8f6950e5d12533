"""The moderators' start page."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.current_actor import actor_reading
from shared.db import utc_now
from shared.services import raids
from shared.services.authority import audit
from shared.services.moderation import channel_states, records, tell_counts

bp = Blueprint("overview", __name__)


def pending() -> records.Waiting:
    """Return the counts for the tabs of the moderators' pages."""
    with actor_reading() as (session, actor):
        return records.count_waiting(session, actor)


SHOWN_ACTS = 8


@bp.get("")
def index() -> ResponseReturnValue:
    """Show what is pending, which channels are restricted, and the latest acts."""
    with actor_reading() as (session, actor):
        now = utc_now()
        protection = raids.get_settings(session)
        states = [
            state
            for state in channel_states.list_states(session)
            if state.is_closed or state.slow_seconds or state.is_paused_at(now)
        ]
        return render_template(
            "moderation/index.html",
            waiting=records.count_waiting(session, actor),
            tells=tell_counts.count(session, actor, now=now),
            states=states,
            raid_until=protection.raid_until if protection.is_raid_at(now) else None,
            now=now,
            entries=audit.list_entries(session, per_page=SHOWN_ACTS).items,
        )
