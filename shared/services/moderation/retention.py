"""Delete old records in small batches: messages after MESSAGE_DAYS, closed moderation records after MODERATION_DAYS.

The audit trail is never deleted.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from shared.models.message import Message
from shared.models.moderation import Sanction
from shared.models.report import Appeal, Report, Reporter
from shared.services import text_search

BATCH = 1_000
_QUIET = {"synchronize_session": False}


def delete_old_messages(session: Session, *, before: datetime, limit: int = BATCH) -> int:
    """Delete up to `limit` messages that were sent before a moment. Return how many, 0 when none are left.

    Looks at the messages with the lowest ids only: ids follow the time.
    """
    text_search.lock(session)
    oldest = session.execute(select(Message.id, Message.sent_at).order_by(Message.id).limit(limit)).all()
    ids = [row.id for row in oldest if row.sent_at < before]
    if ids:
        session.execute(delete(Message).where(Message.id.in_(ids)), execution_options=_QUIET)
    return len(ids)


def delete_old_records(session: Session, *, before: datetime, limit: int = BATCH) -> int:
    """Delete up to `limit` each of the reports, appeals and sanctions closed before a moment. Return how many."""
    deleted = 0
    reports = session.scalars(
        select(Report.id).where(Report.state != "open", Report.resolved_at < before).order_by(Report.id).limit(limit)
    ).all()
    if reports:
        session.execute(delete(Reporter).where(Reporter.report_id.in_(reports)), execution_options=_QUIET)
        session.execute(delete(Report).where(Report.id.in_(reports)), execution_options=_QUIET)
        deleted += len(reports)
    over = or_(Sanction.lifted_at < before, Sanction.until < before, Sanction.kind == "warn")
    is_appealed = select(Appeal.id).where(Appeal.sanction_id == Sanction.id, Appeal.state == "open").exists()
    ended = session.scalars(
        select(Sanction.id).where(over, Sanction.created_at < before, ~is_appealed).order_by(Sanction.id).limit(limit)
    ).all()
    if ended:
        session.execute(delete(Appeal).where(Appeal.sanction_id.in_(ended)), execution_options=_QUIET)
        session.execute(delete(Sanction).where(Sanction.id.in_(ended)), execution_options=_QUIET)
        deleted += len(ended)
    return deleted
