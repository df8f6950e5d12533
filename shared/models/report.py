"""Reports of messages and players, with everyone who made them, and appeals against sanctions."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shared.db import Model, UtcDateTime, utc_now
from shared.models.moderation import Sanction
from shared.peer_keys import PeerKey

REPORT_STATES = ("open", "upheld", "dismissed")
CLAIM_TIME = timedelta(minutes=30)
APPEAL_STATES = ("open", "granted", "refused")


class Report(Model):
    """A message or a player that people or filters have reported. An open report collects all of its reporters.

    Attributes:
        key: what is reported (`message:12`, `player:game:7/bob`).
        quote: the message's text when it was reported. A redaction empties it too.
        outcome: the answer to the reporters.
        claimed_by_id, claimed_by, claimed_at: the moderator who is working on it, and since when.
    """

    __tablename__ = "reports"
    __table_args__ = (
        CheckConstraint("kind IN ('message', 'player')", name="kind"),
        CheckConstraint("state IN ('open', 'upheld', 'dismissed')", name="state"),
        Index(
            "uq_reports_open",
            "key",
            unique=True,
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_reports_state_id", "state", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    key: Mapped[str] = mapped_column(Text)
    peer: Mapped[PeerKey] = mapped_column(String(30))
    player_key: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(String(60))
    game: Mapped[str] = mapped_column(String(15))
    message_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    channel: Mapped[str | None] = mapped_column(String(15))
    quote: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(String(10), default="open")
    outcome: Mapped[str] = mapped_column(String(500), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    resolved_by: Mapped[str | None] = mapped_column(String(80))
    claimed_by_id: Mapped[int | None]
    claimed_by: Mapped[str | None] = mapped_column(String(80))
    claimed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    reporters: Mapped[list[Reporter]] = relationship(
        back_populates="report", cascade="all, delete-orphan", lazy="selectin", order_by="Reporter.id"
    )

    @property
    def target(self) -> str:
        """The reported player as `name@game`."""
        return f"{self.name}@{self.game}"

    def is_claimed_at(self, now: datetime) -> bool:
        """Return whether a moderator is working on it. A claim ends by itself."""
        return self.state == "open" and self.claimed_at is not None and now - self.claimed_at < CLAIM_TIME


class Reporter(Model):
    """A user of the site, a game or a filter that made the report. `key` (`user:3`, `game:7`) is unique in a report."""

    __tablename__ = "reporters"
    __table_args__ = (
        UniqueConstraint("report_id", "key"),
        CheckConstraint("kind IN ('user', 'game', 'filter')", name="kind"),
        Index("ix_reporters_key_id", "key", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("reports.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    key: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(80))
    text: Mapped[str] = mapped_column(String(1000), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    report: Mapped[Report] = relationship(back_populates="reporters")


class Appeal(Model):
    """An appeal of a sanctioned person or an owner, one each. Someone other than the sanction's author decides it."""

    __tablename__ = "appeals"
    __table_args__ = (
        UniqueConstraint("sanction_id", "user_id"),
        CheckConstraint("state IN ('open', 'granted', 'refused')", name="state"),
        Index("ix_appeals_state_id", "state", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    sanction_id: Mapped[int] = mapped_column(ForeignKey("sanctions.id", ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    username: Mapped[str] = mapped_column(String(50))
    text: Mapped[str] = mapped_column(String(2000))
    state: Mapped[str] = mapped_column(String(10), default="open")
    outcome: Mapped[str] = mapped_column(String(500), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    decided_by: Mapped[str | None] = mapped_column(String(80))

    sanction: Mapped[Sanction] = relationship(lazy="joined")
