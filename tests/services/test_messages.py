"""Moderators' work on the chat history: search, context, redaction."""

from __future__ import annotations

import pytest

from shared import db
from shared.db import utc_now
from shared.errors import Conflict
from shared.models import Message, Report
from shared.services import history
from shared.services.authority import actors, audit
from shared.services.authority.actors import OPERATOR
from shared.services.history import Line
from shared.services.moderation import (
    filters,
    messages,
    reports,
)
from tests.support.racing import Racer, wait_until_blocked

pytestmark = pytest.mark.usefixtures("any_database")


def said(session, text, name="Bob", game_id=1, game="Tea", channel_id=1, sent_at=None):
    line = Line(channel_id, f"game:{game_id}", game, name, text, sent_at or utc_now())
    return history.store_lines(session, [line], worker="w")[0]


WORD = {"kind": "word", "action": "mask", "text": "darn"}


def test_a_redacted_text_is_gone_everywhere(make, session, moderator):
    game = make.game("Tea")
    number = said(session, "my secret", game_id=game.id)
    report = reports.create_report(
        session, actors.of_user(session, make.user().id), game="Tea", name="Bob", text="private", message_id=number
    )
    assert report.quote == "my secret"
    messages.redact(session, moderator, message_id=number, reason="private data")
    session.commit()
    session.expire_all()
    assert (session.get(Message, number).text, session.get(Report, report.id).quote) == ("", "")
    assert history.channel_page(session, 1) == ([], False)
    assert history.list_lines(session, [number]) == []
    exported = "".join(audit.export_json(session))
    assert "my secret" not in exported and moderator.name in exported
    assert [message.redacted_by for message in messages.search(session, moderator).items] == [moderator.name]
    with pytest.raises(Conflict):
        messages.redact(session, moderator, message_id=number, reason="again")


@pytest.mark.parametrize("by", ["a reader", "a filter"])
def test_a_report_during_a_redaction_quotes_nothing(engine, stored, by):
    stored.game("Tea")
    reader = stored.user()
    with db.transaction() as session:
        number = said(session, "my secret")
        rule = filters.create_filter(session, OPERATOR, **WORD).id

    def report():
        with db.transaction() as session:
            if by == "a filter":
                return reports.flag_message(session, message_id=number, filter_id=rule)
            actor, about = actors.of_user(session, reader.id), {"game": "Tea", "name": "Bob", "message_id": number}
            return reports.create_report(session, actor, **about, text="private")

    with db.transaction() as session:
        messages.redact(session, OPERATOR, message_id=number, reason="private data")
        racer = Racer(report)
        wait_until_blocked(engine, racer)
    report = racer.join()
    assert report is None if by == "a filter" else report.quote == ""


def test_search_and_context(session, moderator):
    ids = [said(session, f"line {number}", name="Bob" if number % 2 else "Alice") for number in range(9)]
    said(session, "line elsewhere", channel_id=2, game="Oak")
    assert messages.search(session, moderator, text="LINE", player="bo").total == 5
    assert messages.search(session, moderator, game="oak").total == 1
    assert messages.search(session, moderator, text="100%").total == 0
    context = messages.context(session, moderator, message_id=ids[4], around=2)
    assert [message.id for message in context] == ids[2:7]
