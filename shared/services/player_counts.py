"""Player counts: one for each quarter of an hour in which a game is connected, in a bounded number of rows.

The worker counts every minute, so a game that is connected for less than a quarter of an hour is counted too.

Single counts are kept for `COUNT_DAYS`. Each is also added to the row of its day, kept for `DAILY_DAYS`. A game never
has more than about 1,200 rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby

from sqlalchemy import case, delete, select
from sqlalchemy.orm import Session

from shared.db import count_changed, upsert
from shared.models.game import Game
from shared.models.player_count import DailyPlayerCount, PlayerCount
from shared.times import floor

QUARTER = timedelta(minutes=15)
COUNT_DAYS = 8
DAILY_DAYS = 400
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Span:
    """The players in a span of time: the most at once, the sum of the counts, and the number of counts."""

    start: datetime
    most: int
    total: int
    counts: int

    @property
    def average(self) -> float:
        """Return the average number of players while the game was connected."""
        return self.total / self.counts


def quarter_of(moment: datetime) -> datetime:
    """Return the start of a moment's quarter of an hour."""
    return floor(moment, QUARTER)


def record(session: Session, players: Mapping[int, int], *, at: datetime) -> int:
    """Store how many players the connected games have, for the quarter of an hour of `at`. Return how many were new.

    Only the first count of a game and quarter is stored. Skips deleted games.

    Args:
        players: The number of players by game id.
    """
    quarter = quarter_of(at)
    recorded = 0
    for ids in _batches(sorted(players)):
        is_counted = select(PlayerCount).where(PlayerCount.game_id == Game.id, PlayerCount.at == quarter).exists()
        # Lock the games: one that is deleted at this moment would fail the whole transaction.
        uncounted_ids = session.scalars(
            select(Game.id)
            .where(Game.id.in_(ids), ~is_counted)
            .order_by(Game.id)
            .with_for_update(read=True, key_share=True)
        )
        rows = [{"game_id": game_id, "at": quarter, "players": players[game_id]} for game_id in uncounted_ids]
        if not rows:
            continue
        insert = upsert(session, PlayerCount).on_conflict_do_nothing().returning(PlayerCount.game_id)
        new = session.scalars(insert, rows).all()
        if new:
            _add_to_day(session, {game_id: players[game_id] for game_id in new}, quarter)
        recorded += len(new)
    return recorded


def prune(session: Session, *, now: datetime) -> int:
    """Delete counts older than COUNT_DAYS and days older than DAILY_DAYS. Return how many rows."""
    oldest = now - timedelta(days=COUNT_DAYS)
    counts = session.execute(delete(PlayerCount).where(PlayerCount.at < oldest))
    oldest_day = now.astimezone(UTC).date() - timedelta(days=DAILY_DAYS)
    days = session.execute(delete(DailyPlayerCount).where(DailyPlayerCount.day < oldest_day))
    return count_changed(counts) + count_changed(days)


def list_counts(session: Session, game_id: int, *, since: datetime) -> list[Span]:
    """Return a span for each count from `since` on, oldest first. There are gaps where the game was not connected."""
    rows = session.execute(
        select(PlayerCount.at, PlayerCount.players)
        .where(PlayerCount.game_id == game_id, PlayerCount.at >= since)
        .order_by(PlayerCount.at)
    )
    return [Span(at, players, players, 1) for at, players in rows]


def list_days(session: Session, game_id: int, *, since: date) -> list[Span]:
    """Return a span for each day from `since` on, oldest first, without days on which the game was not connected."""
    rows = session.execute(
        select(DailyPlayerCount.day, DailyPlayerCount.most, DailyPlayerCount.total, DailyPlayerCount.counts)
        .where(DailyPlayerCount.game_id == game_id, DailyPlayerCount.day >= since)
        .order_by(DailyPlayerCount.day)
    )
    return [Span(datetime.combine(row.day, time(), UTC), row.most, row.total, row.counts) for row in rows]


def merge_spans(spans: Iterable[Span], start_of: Callable[[datetime], datetime]) -> list[Span]:
    """Merge spans into longer ones.

    Args:
        start_of: Returns the start of the longer span that contains a moment.
    """
    return [
        Span(start, max(span.most for span in parts), sum(span.total for span in parts), sum(s.counts for s in parts))
        for start, group in groupby(spans, key=lambda span: start_of(span.start))
        if (parts := list(group))
    ]


def last_counted_at(session: Session, game_id: int) -> datetime | None:
    """Return when the game was last connected, to the quarter of an hour; None if not within `DAILY_DAYS`."""
    last = select(DailyPlayerCount.last_at).where(DailyPlayerCount.game_id == game_id)
    return session.scalar(last.order_by(DailyPlayerCount.day.desc()).limit(1))


def _add_to_day(session: Session, players: Mapping[int, int], quarter: datetime) -> None:
    insert = upsert(session, DailyPlayerCount)
    more = insert.excluded
    insert = insert.on_conflict_do_update(
        index_elements=["game_id", "day"],
        set_={
            "most": case((more.most > DailyPlayerCount.most, more.most), else_=DailyPlayerCount.most),
            "total": DailyPlayerCount.total + more.total,
            "counts": DailyPlayerCount.counts + 1,
            "last_at": case((more.last_at > DailyPlayerCount.last_at, more.last_at), else_=DailyPlayerCount.last_at),
        },
    )
    session.execute(
        insert,
        [
            {
                "game_id": game_id,
                "day": quarter.date(),
                "most": count,
                "total": count,
                "counts": 1,
                "last_at": quarter,
            }
            for game_id, count in players.items()
        ],
    )


def _batches(ids: list[int]) -> list[list[int]]:
    return [ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH)]
