"""Names that nobody may take again: short names of games and applications, usernames of deleted accounts."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model


class ReservedShortName(Model):
    """A short name in lower case and whose it is. The row outlives its owner: an old replica must not take a new game
    for a deleted one. Without foreign keys for that reason; games and applications share the namespace."""

    __tablename__ = "reserved_short_names"

    key: Mapped[str] = mapped_column(String(15), primary_key=True)
    game_id: Mapped[int | None]
    application_id: Mapped[int | None]


class ReservedUsername(Model):
    """The username of a deleted account in lower case, so that nobody can pass for who had it."""

    __tablename__ = "reserved_usernames"

    key: Mapped[str] = mapped_column(String(50), primary_key=True)
