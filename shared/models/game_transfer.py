"""Games that their owners offered to somebody else, who has not answered yet."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shared.db import Model, UtcDateTime, utc_now
from shared.models.game import Game
from shared.models.user import User


class GameTransfer(Model):
    """One offer; a game has one at most. It is gone once it was accepted, declined or taken back."""

    __tablename__ = "game_transfers"

    game_id: Mapped[int] = mapped_column(ForeignKey("games.id", ondelete="CASCADE"), primary_key=True)
    from_user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    to_user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    game: Mapped[Game] = relationship()
    from_user: Mapped[User] = relationship(foreign_keys=from_user_id)
    to_user: Mapped[User] = relationship(foreign_keys=to_user_id)
