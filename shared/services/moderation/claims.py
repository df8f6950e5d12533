"""Claims: which moderator is working on a report, so that no two decide the same one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from shared.db import utc_now
from shared.errors import Conflict
from shared.models.report import CLAIM_TIME, Report
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require
from shared.services.moderation import reports


def claim(session: Session, actor: Actor, *, report_id: int, takes_over: bool = False) -> Report:
    """Note that the actor is working on an open report, for the next half hour. Claiming again starts it anew.

    Args:
        takes_over: Claim it even if another moderator is working on it.

    Raises Forbidden, NotFound, Conflict (it is decided, or somebody else is working on it).
    """
    require(actor, Act.RESOLVE_REPORT)
    report = reports.lock_report(session, actor, report_id)
    if report.state != "open":
        raise Conflict(reports.ALREADY_DECIDED)
    if not takes_over:
        require_unclaimed(actor, report, utc_now())
    report.claimed_by_id, report.claimed_by, report.claimed_at = actor.id, actor.name, utc_now()
    return report


def release(session: Session, actor: Actor, *, report_id: int) -> Report:
    """Stop working on a report. Changes nothing if somebody else is. Raises Forbidden, NotFound."""
    require(actor, Act.RESOLVE_REPORT)
    report = reports.lock_report(session, actor, report_id)
    if report.claimed_by_id == actor.id:
        report.claimed_by_id = report.claimed_by = report.claimed_at = None
    return report


def find_holder(actor: Actor, report: Report, now: datetime) -> str | None:
    """Return who else is working on a report; None if nobody is."""
    return report.claimed_by if report.is_claimed_at(now) and report.claimed_by_id != actor.id else None


def require_unclaimed(actor: Actor, report: Report, now: datetime) -> None:
    """Raise Conflict if somebody else is working on the report."""
    holder = find_holder(actor, report, now)
    if holder is not None and report.claimed_at is not None:
        minutes = int((now - report.claimed_at).total_seconds() // 60)
        since = "just now" if minutes < 1 else f"{minutes} minute{'' if minutes == 1 else 's'} ago"
        raise Conflict(
            f"{holder} started to work on this report {since}: take it over first, or leave it to them "
            f"(a claim ends after {int(CLAIM_TIME.total_seconds() // 60)} minutes)"
        )
