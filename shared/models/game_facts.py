"""What a game says about itself when the gateway asks it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime


class GameFacts(Model):
    """The last answer of one telnet address, and when it is asked next. See `shared/services/game_facts.py`.

    Attributes:
        failures: how often it has not answered since its last answer.
        source: how it answered, one of `Source`.
        variables: the values of each variable of MSSP, or what INFO and WHO mean in its terms.
    """

    __tablename__ = "game_facts"

    connection_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("game_connections.id", ondelete="CASCADE"), primary_key=True
    )
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failures: Mapped[int] = mapped_column(default=0)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    source: Mapped[str | None] = mapped_column(String(20))
    players: Mapped[int | None]
    variables: Mapped[dict[str, list[str]]] = mapped_column(JSON, default=dict)
