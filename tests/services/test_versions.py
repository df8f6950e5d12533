"""Reading the log: changes after a cursor, the state at a cursor, and pruning."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from shared.db import utc_now
from shared.services import channels, games, versions
from shared.services.authority.actors import OPERATOR

pytestmark = pytest.mark.usefixtures("any_database")


@pytest.fixture
def log(make, session):
    """gossip (1) and Tea (2) made, gossip described (3), testing made (4), Tea deleted (5), gossip hidden (6)."""
    for step in (
        lambda: make.channel("gossip"),
        lambda: make.game("Tea"),
        lambda: channels.update_channel(session, OPERATOR, name="gossip", description="Talk."),
        lambda: make.channel("testing"),
        lambda: games.delete_game(session, OPERATOR, short_name="Tea"),
        lambda: channels.update_channel(session, OPERATOR, name="gossip", is_hidden=True),
    ):
        step()
        session.commit()
    return session


def state(session, cursor, kind="channels", limit=500):
    rows, after_id = [], 0
    while page := versions.state_page(session, kind, cursor=cursor, after_id=after_id, limit=limit):
        assert len(page) <= limit
        rows += page
        after_id = page[-1][0]
    return [(record_id, json.loads(record)) for record_id, record in rows]


def test_an_empty_log(session):
    assert versions.last_cursor(session) == 0
    assert versions.since(session, 0) == []
    assert versions.state_page(session, "games", cursor=0) == []
    assert versions.reaches_back_to(session, 0)
    assert not versions.reaches_back_to(session, 1)


def test_counts_of_records(log, make):
    """Without deleted records and older versions."""
    assert versions.counts(log) == {"channels": 2}
    make.game("Coffee")
    log.commit()
    assert versions.counts(log) == {"channels": 2, "games": 1}


def test_changes_after_a_cursor_in_order(log):
    changes = versions.since(log, 0)
    assert [change.cursor for change in changes] == [1, 2, 3, 4, 5, 6]
    assert [change.kind for change in changes] == ["channels", "games", "channels", "channels", "games", "channels"]
    assert [change.record is None for change in changes] == [False] * 4 + [True, False]
    assert [change.cursor for change in versions.since(log, 3)] == [4, 5, 6]
    assert [change.cursor for change in versions.since(log, 1, up_to=4)] == [2, 3, 4]
    assert [change.cursor for change in versions.since(log, 1, limit=2)] == [2, 3]
    assert versions.since(log, 6) == versions.since(log, 60) == []


def test_the_state_at_every_cursor(log):
    """Whatever was committed later."""

    def short(cursor):
        return [(record["name"], record["description"], record["hidden"]) for _, record in state(log, cursor)]

    assert short(0) == []
    assert short(1) == short(2) == [("gossip", None, False)]
    assert short(3) == [("gossip", "Talk.", False)]
    assert short(5) == short(4) == [("gossip", "Talk.", False), ("testing", None, False)]
    assert short(6) == [("gossip", "Talk.", True), ("testing", None, False)]
    assert [len(state(log, cursor, "games")) for cursor in range(7)] == [0, 0, 1, 1, 1, 0, 0]


def test_pages_of_a_state(make, session):
    channel_ids = [make.channel().id for _ in range(7)]
    session.commit()
    for limit in (1, 2, 3, 7, 8):
        assert [record_id for record_id, _ in state(session, 7, limit=limit)] == channel_ids


def test_how_far_the_log_reaches(log):
    assert all(versions.reaches_back_to(log, cursor) for cursor in range(7))
    assert not versions.reaches_back_to(log, 7)
    assert not versions.reaches_back_to(log, -1)


def test_pruning_keeps_the_state_and_says_how_far_the_log_reaches(log):
    before = state(log, 6)
    assert versions.prune(log, before=utc_now() - timedelta(days=1)) == 0
    assert versions.reaches_back_to(log, 0)

    assert versions.prune(log, before=utc_now() + timedelta(days=1), limit=2) == 2
    log.commit()
    assert state(log, 6) == before
    assert versions.prune(log, before=utc_now() + timedelta(days=1), limit=2) == 1
    log.commit()
    assert state(log, 6) == before
    assert [versions.reaches_back_to(log, cursor) for cursor in range(8)] == [False] * 6 + [True, False]
    # The newest version of each record is there, that of the deleted one too.
    assert [change.cursor for change in versions.since(log, 0)] == [4, 5, 6]
    assert versions.prune(log, before=utc_now() + timedelta(days=1)) == 0


def test_the_log_goes_on_after_pruning(log):
    versions.prune(log, before=utc_now() + timedelta(days=1))
    log.commit()
    channels.update_channel(log, OPERATOR, name="gossip", is_hidden=False)
    log.commit()
    assert versions.last_cursor(log) == 7
    assert [change.cursor for change in versions.since(log, 6)] == [7]
    assert versions.reaches_back_to(log, 6) and not versions.reaches_back_to(log, 5)


def test_pruning_keeps_the_state_at_the_floor(log, monkeypatch):
    """A reader may be paging the state at a cursor just after the pruned ones."""
    moment = utc_now()
    channels.update_channel(log, OPERATOR, name="gossip", description="Later.")
    log.commit()
    versions.prune(log, before=moment)
    assert next(record["description"] for _, record in state(log, 6)) == "Talk."
    assert versions.reaches_back_to(log, 6) and versions.reaches_back_to(log, 7)
