"""Names that are never reused: short names of games and applications, usernames of deleted accounts."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model


class ReservedShortName(Model):
    """A short name in lower case and its owner. Games and applications share the namespace.

    The row outlives its owner, so that an old replica cannot mistake a new game for a deleted one. Therefore it has no
    foreign keys.
    """

    __tablename__ = "reserved_short_names"

    key: Mapped[str] = mapped_column(String(15), primary_key=True)
    game_id: Mapped[int | None]
    application_id: Mapped[int | None]


class ReservedUsername(Model):
    """The username of a deleted account in lower case, so that nobody can pose as its former owner."""

    __tablename__ = "reserved_usernames"

    key: Mapped[str] = mapped_column(String(50), primary_key=True)
