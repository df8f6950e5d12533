"""What people say about themselves on their profile, beside their account: links and favourite games."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shared.db import Model, UtcDateTime, utc_now
from shared.models.game import Game


class ProfileLink(Model):
    """A link on a profile.

    Attributes:
        verified_at: when the page last linked back with rel="me"; None if it did not when it was last checked.
        due_at: when a worker checks it next.
    """

    __tablename__ = "profile_links"
    __table_args__ = (
        UniqueConstraint("user_id", "url"),
        Index("ix_profile_links_due_at", "due_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    url: Mapped[str] = mapped_column(String(500))
    verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class FavouriteGame(Model):
    """A game that somebody likes."""

    __tablename__ = "favourite_games"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    game_id: Mapped[int] = mapped_column(ForeignKey("games.id", ondelete="CASCADE"), primary_key=True, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    game: Mapped[Game] = relationship()
