"""The full-text index of the history finds the same lines on both databases, indexed or not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from shared import db
from shared.models.message import Message
from shared.protocol.types import MAX_CURSOR
from shared.services import history, text_search
from shared.services.history import Line
from shared.services.moderation import messages, retention
from tests.support.statements import counted_statements

pytestmark = pytest.mark.usefixtures("any_database")

LINES = [
    # (text, player's name, short name, channel's id)
    ("Who sells gold, silver or iron?", "Wren", "Harbour", 1),
    ("ZWÖLF goldene Straßen am МОРЕ", "Lady Wren", "Harbour", 2),
    ("don't_panic: 100% fog 'quoted' \"twice\" & | ! :* (a) -b AND OR NOT", "O'Do", "Oak", 1),
    ("你好 世界 https://example.com/a-b?c=d", "Björn", "Oak", 1),
    ("… ;-) …", "-", "Oak", 1),
    ("gold gold gold", "Gold", "Gold1", 1),
]
SEARCHES = {
    # What is searched for: the lines that are found.
    ("words", "gold"): {0, 1, 5},
    ("words", "GOLD silver"): {0},
    ("words", "silver gold"): {0},
    ("words", "gol iron"): set(),  # only the last word may be incomplete
    ("words", "gold sil"): {0},
    ("words", "old"): set(),
    ("words", "zwölf"): {1},
    ("words", "strassen море"): {1},
    ("words", "zwo\u0308lf"): {1},
    ("words", "100%"): {2},
    ("words", "panic don"): {2},
    ("words", '"quoted" twice*'): {2},
    ("words", "not"): {2},
    ("words", "世界"): {3},
    ("words", "example.com"): {3},
    ("words", ";-)"): set(),
    ("player", "wren"): {0, 1},
    ("player", "lady wr"): {1},
    ("player", "bjö"): {3},
    ("player", "gold"): {5},
    ("player", "silver"): set(),
    ("game", "OAK"): {2, 3, 4},
    ("game", "oa"): set(),
    ("game", "o ak"): set(),
    ("game", "oak' | 'x"): set(),
}


@pytest.fixture
def ids(session):
    lines = [Line(channel, "game:1", game, name, text, db.utc_now()) for text, name, game, channel in LINES]
    ids = history.store_lines(session, lines, worker="w")
    session.commit()
    return ids


def find(session, **criteria):
    query = text_search.make_query(**criteria)
    return [] if query is None else text_search.find_ids(session, query, first=0, last=MAX_CURSOR, limit=100)


@pytest.mark.parametrize("indexed", [0, 3, len(LINES)])
def test_words_of_lines_are_found_indexed_or_not(session, ids, indexed):
    assert text_search.index_batch(session, limit=indexed) == indexed
    assert text_search.last_indexed_id(session) == (ids[indexed - 1] if indexed else 0)
    for (criterion, value), expected in SEARCHES.items():
        positions = [ids.index(message_id) for message_id in find(session, **{criterion: value})]
        assert positions == sorted(expected, reverse=True), (criterion, value)
    assert find(session, words="gold", channel_id=2) == [ids[1]]
    assert find(session, words="gold", player="wren", game="harbour", channel_id=1) == [ids[0]]


@pytest.mark.parametrize("indexed", [2, len(LINES)])
def test_a_search_is_bounded(session, ids, indexed):
    text_search.index_batch(session, limit=indexed)
    query = text_search.make_query(words="gold")
    assert text_search.find_ids(session, query, first=0, last=MAX_CURSOR, limit=2) == [ids[5], ids[1]]
    assert text_search.find_ids(session, query, first=ids[1], last=ids[4], limit=9) == [ids[1]]
    assert text_search.find_ids(session, query, first=ids[1], last=ids[4], limit=1) == [ids[1]]


@pytest.mark.parametrize(("small", "finds_in"), [(3, "messages"), (0, text_search.TABLE)])
def test_the_index_is_not_used_for_a_small_channel(session, ids, engine, monkeypatch, small, finds_in):
    """A common word is in so many lines of other channels that reading all lines of this channel is faster."""
    text_search.index_batch(session)
    channel_id = LINES[0][3]
    expected = {number for number, line in zip(ids, LINES, strict=True) if line[3] == channel_id}
    monkeypatch.setattr(text_search, "SMALL_CHANNEL", small and len(expected))
    with counted_statements(engine) as statements:
        query = text_search.make_query(channel_id=channel_id)
        assert set(text_search.find_ids(session, query, first=0, last=MAX_CURSOR, limit=100)) == expected
    searched = [statement for statement in statements if "rowid BETWEEN" in statement or "@@" in statement]
    reads = 2 if engine.dialect.name == "postgresql" else 1  # the newest lines first
    assert (len(statements), len(searched)) == ((1, 0) if finds_in == "messages" else (3 + reads, reads))


def test_lines_are_indexed_in_order_and_once(session, ids):
    assert [text_search.index_batch(session, limit=4) for _ in range(4)] == [4, 2, 0, 0]
    session.commit()
    with counted_statements(session.get_bind()) as statements:
        find(session, words="gold")
    expected = 4 if session.get_bind().dialect.name == "postgresql" else 3
    assert len([statement for statement in statements if not statement.startswith("BEGIN")]) == expected, statements


@pytest.mark.parametrize("indexed", [0, 1, len(LINES)])
def test_a_redacted_text_leaves_the_index(session, ids, moderator, indexed):
    """The line is still found by its player, on the same transaction, also when the newest line is redacted."""
    text_search.index_batch(session, limit=indexed)
    for message_id in (ids[0], ids[5]):
        messages.redact(session, moderator, message_id=message_id, reason="An advert")
    assert find(session, words="gold") == [ids[1]]
    assert find(session, words="silver") == []
    assert find(session, player="wren") == [ids[1], ids[0]]
    session.commit()
    while text_search.index_batch(session):
        pass
    assert find(session, words="gold") == [ids[1]]
    assert find(session, player="gold") == [ids[5]]
    assert "silver" not in str(session.execute(text("SELECT terms FROM message_search")).all())


def test_deleted_lines_leave_the_index(session, ids):
    text_search.index_batch(session)
    assert retention.delete_old_messages(session, before=db.utc_now() + timedelta(days=1), limit=3) == 3
    session.commit()
    assert find(session, words="gold") == [ids[5]]
    assert session.scalar(text("SELECT count(*) FROM message_search")) == 3


def test_a_line_changed_past_the_services_leaves_the_index(session, ids):
    """Triggers see to it, also for code from before the index."""
    text_search.index_batch(session)
    session.execute(text("UPDATE messages SET text = '' WHERE id = :id"), {"id": ids[0]})
    session.execute(text("DELETE FROM messages WHERE id = :id"), {"id": ids[1]})
    session.commit()
    assert find(session, words="gold") == [ids[5]]


def test_a_search_by_time_reads_few_rows(session, moderator):
    start = db.utc_now() - timedelta(days=10)
    lines = [Line(1, "game:1", "Oak", "Odo", f"line {n}", start + timedelta(minutes=n)) for n in range(300)]
    ids = history.store_lines(session, lines, worker="w")
    session.commit()
    first = history.first_id_since(session, start + timedelta(minutes=100))
    assert first == ids[100]
    assert history.first_id_since(session, start - timedelta(days=1)) <= ids[0]
    assert history.first_id_since(session, db.utc_now()) == ids[-1] + 1
    with counted_statements(session.get_bind()) as statements:
        history.first_id_since(session, start + timedelta(minutes=7))
    assert len(statements) < 15
    page = messages.search(
        session, moderator, since=start + timedelta(minutes=100), until=start + timedelta(minutes=110), text="line"
    )
    assert [message.id for message in page.items] == ids[109:99:-1]


def test_a_search_tells_no_more_than_its_bound(session, ids, moderator, monkeypatch):
    monkeypatch.setattr(messages, "MATCHES_AT_MOST", 4)
    page = messages.search(session, moderator, per_page=3)
    assert (page.total, [message.id for message in page.items]) == (4, ids[:2:-1][:3])
    assert isinstance(page.items[0], Message)
