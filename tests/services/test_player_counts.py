"""Player counts: once a quarter of an hour, in a bounded number of rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import func, select

from shared import db
from shared.models import DailyPlayerCount, PlayerCount
from shared.services import games, player_counts
from shared.services.authority.actors import OPERATOR
from shared.times import floor
from tests.support.racing import Racer, wait_until_blocked

NOW = datetime(2026, 3, 10, 14, 37, 12, tzinfo=UTC)
QUARTER = datetime(2026, 3, 10, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.usefixtures("any_database")


@pytest.fixture
def game(make, session):
    return make.game()


def all_counts(session):
    return [(row.at, row.players) for row in session.scalars(select(PlayerCount).order_by(PlayerCount.at))]


def test_each_quarter_of_an_hour_is_counted_once(make, session, game):
    """A second count in the same quarter changes neither the count nor the day."""
    other = make.game()
    assert player_counts.record(session, {game.id: 3}, at=NOW) == 1
    assert player_counts.record(session, {game.id: 9, other.id: 0}, at=NOW + 7 * MINUTE) == 1
    assert player_counts.record(session, {game.id: 7}, at=NOW + 8 * MINUTE) == 1
    assert [(count.at, count.players) for count in session.scalars(select(PlayerCount).filter_by(game_id=game.id))] == [
        (QUARTER, 3),
        (QUARTER + 15 * MINUTE, 7),
    ]
    (day,) = player_counts.list_days(session, game.id, since=date(2026, 3, 10))
    assert (day.start, day.most, day.total, day.counts, day.average) == (
        datetime(2026, 3, 10, tzinfo=UTC),
        7,
        10,
        2,
        5.0,
    )
    assert player_counts.last_counted_at(session, game.id) == QUARTER + 15 * MINUTE
    assert [span.most for span in player_counts.list_counts(session, other.id, since=QUARTER)] == [0]
    assert player_counts.last_counted_at(session, make.game().id) is None


def test_deleted_games_are_skipped(session, game):
    """Presence may be out of date for seconds. The other games are counted."""
    assert player_counts.record(session, {999_999: 4, game.id: 1}, at=NOW) == 1
    assert player_counts.record(session, {}, at=NOW) == 0
    assert all_counts(session) == [(QUARTER, 1)]


def test_deleting_a_game_deletes_its_counts(session, game):
    player_counts.record(session, {game.id: 1}, at=NOW)
    games.delete_game(session, OPERATOR, short_name=game.short_name)
    session.commit()
    assert session.scalar(select(func.count()).select_from(PlayerCount)) == 0
    assert session.scalar(select(func.count()).select_from(DailyPlayerCount)) == 0


def test_counting_changes_no_game(session, make):
    """Nothing is synced."""
    from shared.services import versions

    game = make.game()
    session.commit()
    before = versions.last_cursor(session)
    player_counts.record(session, {game.id: 1}, at=NOW)
    session.commit()
    assert versions.last_cursor(session) == before


def test_two_workers_that_count_at_once_count_once(engine, stored):
    """The second one adds nothing to the day."""
    game = stored.game()

    def count():
        with db.transaction() as session:
            return player_counts.record(session, {game.id: 5}, at=NOW)

    with db.transaction() as session:
        assert player_counts.record(session, {game.id: 4}, at=NOW) == 1
        second = Racer(count)
        wait_until_blocked(engine, second)
    assert second.join() == 0
    with db.reading() as session:
        assert all_counts(session) == [(QUARTER, 4)]
        (day,) = player_counts.list_days(session, game.id, since=NOW.date())
        assert (day.total, day.counts) == (4, 1)


def test_old_counts_are_pruned(session, game):
    """Single counts after 8 days, days after 400, so the number of rows is bounded."""
    for days in (0, 7, 9, 399, 402):
        player_counts.record(session, {game.id: days}, at=NOW - timedelta(days=days))
    assert player_counts.prune(session, now=NOW) == 4
    assert [players for _, players in all_counts(session)] == [7, 0]
    assert [day.most for day in player_counts.list_days(session, game.id, since=date(2000, 1, 1))] == [399, 9, 7, 0]
    assert player_counts.prune(session, now=NOW) == 0


def test_spans_are_merged(session, game):
    """Into hours here. Hours without a count are left out."""
    for minutes, players in ((0, 2), (15, 4), (120, 9)):
        player_counts.record(session, {game.id: players}, at=QUARTER + minutes * MINUTE)
    counts = player_counts.list_counts(session, game.id, since=QUARTER)
    hours = player_counts.merge_spans(counts, lambda at: floor(at, timedelta(hours=1)))
    assert [(span.start.hour, span.most, span.average) for span in hours] == [(14, 4, 3.0), (16, 9, 9.0)]
    assert len(player_counts.list_counts(session, game.id, since=QUARTER + MINUTE)) == 2
