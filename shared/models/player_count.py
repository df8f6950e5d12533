"""How many players were online in a game: every quarter of an hour for some days, then one row per day."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime


class PlayerCount(Model):
    """One count. `at` is a full quarter of an hour. There is no row for a game that was not connected."""

    __tablename__ = "player_counts"

    game_id: Mapped[int] = mapped_column(ForeignKey("games.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True, index=True)
    players: Mapped[int]


class DailyPlayerCount(Model):
    """The counts of one day (UTC): the highest, their sum, how many there were, and the time of the last."""

    __tablename__ = "daily_player_counts"

    game_id: Mapped[int] = mapped_column(ForeignKey("games.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True, index=True)
    most: Mapped[int]
    total: Mapped[int] = mapped_column(BigInteger)
    counts: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
