"""Characters: players of games that users have claimed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shared.db import Model, UtcDateTime, utc_now
from shared.models.game import Game
from shared.models.user import User


class Character(Model):
    """A player of a game, claimed from inside the game. Public once the user has approved it on the site.

    Denying or removing a character deletes the row, which frees the name.

    Attributes:
        name_key: the name's player key (`player_key`).
    """

    __tablename__ = "characters"
    __table_args__ = (
        UniqueConstraint("game_id", "name_key"),
        CheckConstraint("state IN ('pending', 'approved')", name="state"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    game_id: Mapped[int] = mapped_column(ForeignKey("games.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(60))
    name_key: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(10), default="pending")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    approved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    user: Mapped[User] = relationship()
    game: Mapped[Game] = relationship()
    sighting: Mapped[CharacterSighting | None] = relationship(lazy="selectin", viewonly=True)

    @property
    def is_approved(self) -> bool:
        """True once the user has confirmed that the character is theirs."""
        return self.state == "approved"


class CharacterSighting(Model):
    """When a character was last online, to the minute. A separate table, because it is written often."""

    __tablename__ = "character_sightings"

    character_id: Mapped[int] = mapped_column(ForeignKey("characters.id", ondelete="CASCADE"), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
