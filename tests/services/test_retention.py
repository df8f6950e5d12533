"""Deleting old records."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from shared.db import utc_now
from shared.models import Appeal, Message, Report, Reporter, Sanction
from shared.services import history
from shared.services.authority import actors, audit
from shared.services.history import Line
from shared.services.moderation import (
    appeals,
    reports,
    retention,
)
from tests.support.moderating import mute

pytestmark = pytest.mark.usefixtures("any_database")


def said(session, text, name="Bob", game_id=1, game="Tea", channel_id=1, sent_at=None):
    line = Line(channel_id, f"game:{game_id}", game, name, text, sent_at or utc_now())
    return history.store_lines(session, [line], worker="w")[0]


def test_old_sanctions_under_appeal_do_not_block_others(make, session, moderator):
    owner = make.user()
    make.game("Tea", owner=owner)
    old = utc_now() - timedelta(days=400)
    appealed = [mute(session, moderator, f"Bob{number}@Tea", kind="warn") for number in range(3)]
    for sanction in appealed:
        appeals.create_appeal(session, actors.of_user(session, owner.id), sanction_id=sanction.id, text="please")
    mute(session, moderator, "Eve@Tea", kind="warn")
    session.execute(update(Sanction).values(created_at=old))
    session.commit()
    before = utc_now() - timedelta(days=365)
    assert [retention.delete_old_records(session, before=before, limit=2) for _ in range(2)] == [1, 0]
    assert list(session.scalars(select(Sanction.id))) == [sanction.id for sanction in appealed]


def test_old_records_are_deleted_in_batches_and_the_audit_trail_stays(make, session, moderator):
    make.game("Tea")
    old = utc_now() - timedelta(days=400)
    for number in range(25):
        said(session, f"old {number}", sent_at=old)
    kept = said(session, "new")
    over = mute(session, moderator, "Bob@Tea", seconds=1)
    standing = mute(session, moderator, "Eve@Tea", seconds=None)
    session.execute(
        update(Sanction).where(Sanction.id == over.id).values(created_at=old, until=old + timedelta(seconds=1))
    )
    session.execute(update(Sanction).where(Sanction.id == standing.id).values(created_at=old))
    session.commit()
    before = utc_now() - timedelta(days=365)
    assert [retention.delete_old_messages(session, before=before, limit=10) for _ in range(4)] == [10, 10, 5, 0]
    assert retention.delete_old_records(session, before=before) == 1
    session.commit()
    assert list(session.scalars(select(Message.id))) == [kept]
    assert list(session.scalars(select(Sanction.id))) == [standing.id]
    assert session.scalars(select(Appeal)).all() == []
    assert audit.verify(session).entries == 2 and audit.verify(session).is_whole


def test_decided_reports_are_deleted_with_their_reporters_and_open_ones_stay(make, session, moderator):
    make.game("Tea")
    reporters = [actors.of_user(session, make.user().id) for _ in range(2)]
    for name in ("Old", "Recent", "Open"):
        for reporter in reporters:
            report = reports.create_report(session, reporter, game="Tea", name=name, text="rude")
        if name != "Open":
            reports.resolve_report(session, moderator, report_id=report.id, state="upheld", outcome="muted")
    old = utc_now() - timedelta(days=400)
    session.execute(update(Report).where(Report.name == "Old").values(resolved_at=old))
    session.execute(update(Report).values(created_at=old))
    session.commit()
    assert retention.delete_old_records(session, before=utc_now() - timedelta(days=365)) == 1
    session.commit()
    assert set(session.scalars(select(Report.name))) == {"Recent", "Open"}
    assert len(session.scalars(select(Reporter)).all()) == 4
