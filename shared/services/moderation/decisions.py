"""Decide a report in one act: with a sanction of the person it is about, if one follows from it."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.db import utc_now
from shared.errors import Invalid
from shared.models.report import Report
from shared.services.authority.actors import Actor
from shared.services.moderation import claims, reports, sanctions

HOUR = 3_600


class Decision(NamedTuple):
    """What a decision does: the state of the report, and the kind of the sanction, if any."""

    state: str
    sanction: str | None = None
    seconds: int | None = None


DECISIONS = {
    "mute": Decision("upheld", "mute", HOUR),
    "warn": Decision("upheld", "warn"),
    "upheld": Decision("upheld"),
    "dismissed": Decision("dismissed"),
}


def decide_report(session: Session, actor: Actor, *, report_id: int, decision: str, outcome: str) -> Report:
    """Decide a report, and sanction the player with the outcome as the reason: both or nothing.

    Args:
        decision: A key of DECISIONS.

    Raises what `reports.resolve_report` and `sanctions.sanction` raise, and Conflict if somebody else is working on it.
    """
    chosen = DECISIONS.get(decision)
    if chosen is None:
        raise Invalid("choose a decision", field="state")
    claims.require_unclaimed(actor, reports.lock_report(session, actor, report_id), utc_now())
    report = reports.resolve_report(session, actor, report_id=report_id, state=chosen.state, outcome=outcome)
    if chosen.sanction is not None:
        sanctions.sanction(
            session,
            actor,
            kind=chosen.sanction,
            target_kind="player",
            target=report.target,
            reason=outcome,
            seconds=chosen.seconds,
            report_id=report.id,
        )
    return report
