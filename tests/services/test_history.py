"""The history of chat lines: numbered in commit order, read in pages."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from shared import db
from shared.db import utc_now
from shared.models import Message
from shared.services import history
from shared.services.history import Line
from tests.support.racing import Racer, wait_until_blocked
from tests.support.statements import counted_statements

pytestmark = pytest.mark.usefixtures("any_database")


def lines(*texts, channel_id=1, sent_at=None):
    return [Line(channel_id, "game:1", "Tea", "Wren", text, sent_at or utc_now()) for text in texts]


def texts(messages):
    return [message.text for message in messages]


def test_lines_are_numbered_in_their_order(session):
    assert history.last_message_id(session) == 0
    assert history.store_lines(session, lines("a", "b"), worker="w1") == [1, 2]
    assert history.store_lines(session, lines("c"), worker="w2") == [3]
    session.commit()
    assert history.last_message_id(session) == 3
    messages, more = history.channel_page(session, 1)
    assert ([message.id for message in messages], texts(messages), more) == ([1, 2, 3], ["a", "b", "c"], False)
    assert messages[0].sent_at.tzinfo is not None
    assert (messages[0].peer, messages[0].game, messages[0].name, messages[0].worker) == ("game:1", "Tea", "Wren", "w1")


def test_a_batch_of_lines_takes_as_many_statements_as_one_line(engine):
    counts = []
    for batch in (lines("a"), lines(*"bcdefghij" * 10)):
        with db.single_statement() as connection, counted_statements(engine) as statements:
            history.insert_lines(connection, batch, worker="w")
        counts.append(len(statements))
    assert counts == ([1, 1] if engine.dialect.name == "postgresql" else [2, 2])
    with db.reading() as session:
        stored = session.scalars(select(Message).order_by(Message.id)).all()
    assert texts(stored) == [*"a", *"bcdefghij" * 10]
    assert all(message.sent_at.tzinfo is not None for message in stored)


def test_any_text_is_stored_unchanged(session):
    said = ["x" * 4000, "żółw ☃ 🐢", "tab\tand\nnewline", "'; DROP TABLE messages; --", "%s {} \\"]
    history.store_lines(session, lines(*said), worker="w")
    session.commit()
    session.expire_all()
    assert texts(history.channel_page(session, 1)[0]) == said


def test_pages_backward_and_forward(session):
    history.store_lines(session, lines(*"abcdefg"), worker="w")
    history.store_lines(session, lines("elsewhere", channel_id=2), worker="w")
    session.flush()

    def page(**where):
        messages, more = history.channel_page(session, 1, **where)
        return "".join(texts(messages)), more

    assert page() == ("abcdefg", False)
    assert page(limit=3) == ("efg", True)
    assert page(limit=7) == ("abcdefg", False)
    assert page(before=5, limit=3) == ("bcd", True)
    assert page(before=4, limit=3) == ("abc", False)
    assert page(before=1) == page(before=-5) == ("", False)
    assert page(after=0, limit=3) == ("abc", True)
    assert page(after=4, limit=3) == ("efg", False)
    assert page(after=7) == page(after=10**18) == ("", False)
    assert history.channel_page(session, 3) == ([], False)


def test_lines_a_worker_missed(session):
    """Lines of other workers between two ids, whatever the clocks of those workers say."""
    history.store_lines(session, lines("old", sent_at=utc_now() - timedelta(minutes=5)), worker="other")
    history.store_lines(session, lines("early", sent_at=utc_now() + timedelta(minutes=5)), worker="other")
    history.store_lines(session, lines("mine"), worker="me")
    history.store_lines(session, lines("b", "c"), worker="other")
    session.flush()
    assert history.list_ids(session, 0, 5, not_from="me") == [1, 2, 4, 5]
    assert history.list_ids(session, 1, 4, not_from="me") == [2, 4]
    assert texts(history.list_lines(session, [5, 2, 3])) == ["early", "mine", "c"]
    assert history.list_lines(session, []) == []


def test_redacted_ids_are_those_of_the_channel_and_the_latest_lines(session):
    """From a page's first line on, but no further back than a page keeps lines."""
    ids = history.store_lines(session, [*lines("a", "b", "c"), *lines("d", channel_id=2)], worker="w")
    assert history.redacted_ids(session, 1, first=0) == []
    for message in session.scalars(select(Message)):
        message.redacted_at = utc_now()
    session.flush()
    assert history.redacted_ids(session, 1, first=0) == ids[:3]
    assert history.redacted_ids(session, 1, first=ids[1]) == ids[1:3]
    assert history.redacted_ids(session, 1, first=0, lines=1) == ids[2:3]


def test_a_rollback_leaves_no_gap(session):
    history.store_lines(session, lines("never"), worker="w")
    session.rollback()
    assert history.store_lines(session, lines("first"), worker="w") == [1]


def test_ids_appear_in_commit_order(engine):
    """Whoever sees an id can see every lower one: the second transaction waits for the first."""
    stored = threading.Event()

    def second():
        with db.transaction() as other:
            stored.set()
            return history.store_lines(other, lines("second"), worker="b")

    with db.transaction() as session:
        assert history.store_lines(session, lines("first"), worker="a") == [1]
        racer = Racer(second)
        if engine.dialect.name != "sqlite":
            stored.wait(5)
        wait_until_blocked(engine, racer)
        assert racer.is_running
        with db.reading() as reader:
            assert history.last_message_id(reader) == 0
    assert racer.join() == [2]
