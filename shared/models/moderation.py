"""What moderators, owners and players have decided: sanctions, filters, states of channels, mutes, ignores.

Sanctions refer to players by peer key and player key (`game:7`, `bob`) and store the names of that time. They have no
foreign keys, because a record of moderation outlives the game, the channel and the account that it is about.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shared.conduct import RULES
from shared.db import Model, UtcDateTime, utc_now
from shared.models.channel import Channel
from shared.models.game import Game
from shared.models.user import User
from shared.peer_keys import PeerKey

SANCTION_KINDS = ("warn", "mute", "ban")
TARGET_KINDS = ("player", "game", "user", "address")
FILTER_KINDS = ("word", "pattern", "link", "flood", "repeat")
FILTER_ACTIONS = ("flag", "mask", "refuse")


class Sanction(Model):
    """A warning, a mute or a ban. It ends by itself at `until`, or when it is lifted or undone.

    Attributes:
        target: the player, game, user or address, for people. One of the next four holds it for programs.
        peer, player_key: a player; `peer` alone is a game.
        user_id: a user of the site.
        address: a network (`192.0.2.0/24`, `192.0.2.7/32`).
        channel_id: the channel it is limited to; None for all channels.
        until: None for a sanction without an end.
        is_undone: whether moderators have decided that it was a mistake.
    """

    __tablename__ = "sanctions"
    __table_args__ = (
        CheckConstraint("kind IN ('warn', 'mute', 'ban')", name="kind"),
        CheckConstraint("target_kind IN ('player', 'game', 'user', 'address')", name="target_kind"),
        Index("ix_sanctions_peer_player_key", "peer", "player_key"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    target_kind: Mapped[str] = mapped_column(String(10))
    target: Mapped[str] = mapped_column(Text)
    peer: Mapped[PeerKey | None] = mapped_column(String(30))
    player_key: Mapped[str | None] = mapped_column(Text)
    user_id: Mapped[int | None] = mapped_column(index=True)
    address: Mapped[str | None] = mapped_column(String(50))
    channel_id: Mapped[int | None]
    channel: Mapped[str | None] = mapped_column(String(15))
    reason: Mapped[str] = mapped_column(String(500))
    until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    actor_kind: Mapped[str] = mapped_column(String(12))
    actor_id: Mapped[int | None]
    actor_name: Mapped[str] = mapped_column(String(80))
    actor_role: Mapped[str] = mapped_column(String(12))
    report_id: Mapped[int | None]
    lifted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lifted_by: Mapped[str | None] = mapped_column(String(80))
    lift_reason: Mapped[str | None] = mapped_column(String(500))
    is_undone: Mapped[bool] = mapped_column(default=False)

    def state_at(self, now: datetime) -> str:
        """Return `in force`, `over`, `lifted` or `undone`. A warning is over at once."""
        if self.is_undone:
            return "undone"
        if self.lifted_at is not None:
            return "lifted"
        if self.kind == "warn" or (self.until is not None and self.until <= now):
            return "over"
        return "in force"

    @property
    def state(self) -> str:
        """The state now, as `state_at` returns it."""
        return self.state_at(utc_now())


class ChannelState(Model):
    """What moderators have done to a channel. A separate table, since it is not synced to replicas.

    Attributes:
        paused_until: None, while `is_paused`, for a pause without an end.
        slow_seconds: the minimum time between two lines of one player; 0 turns slow mode off.
    """

    __tablename__ = "channel_states"

    channel_id: Mapped[int] = mapped_column(ForeignKey("channels.id", ondelete="CASCADE"), primary_key=True)
    is_paused: Mapped[bool] = mapped_column(default=False)
    paused_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pause_reason: Mapped[str] = mapped_column(String(500), default="")
    slow_seconds: Mapped[int] = mapped_column(default=0)
    is_closed: Mapped[bool] = mapped_column(default=False)

    channel: Mapped[Channel] = relationship()

    def is_paused_at(self, now: datetime) -> bool:
        """Return whether the channel is paused at this time."""
        return self.is_paused and (self.paused_until is None or self.paused_until > now)


class Filter(Model):
    """What to look for in every line, and what to do with a line that contains it.

    Attributes:
        text: the word or the pattern.
        count, seconds: the limits for links (`count` in one line), floods (`count` lines in `seconds`) and repeats (the
            same line `count` times in `seconds`).
    """

    __tablename__ = "filters"
    __table_args__ = (
        CheckConstraint("kind IN ('word', 'pattern', 'link', 'flood', 'repeat')", name="kind"),
        CheckConstraint("action IN ('flag', 'mask', 'refuse')", name="action"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    text: Mapped[str] = mapped_column(String(200), default="")
    count: Mapped[int] = mapped_column(default=0)
    seconds: Mapped[int] = mapped_column(default=0)
    action: Mapped[str] = mapped_column(String(10))
    note: Mapped[str] = mapped_column(String(200), default="")
    is_on: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    created_by: Mapped[str] = mapped_column(String(80))


class ReasonPreset(Model):
    """A reason that forms offer to moderators.

    Attributes:
        rule: the rule of conduct that it cites, a key of `shared.conduct.RULES`.
        changed_by: who wrote it; None for those that came with the software.
    """

    __tablename__ = "reason_presets"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    rule: Mapped[str] = mapped_column(String(20))
    text: Mapped[str] = mapped_column(String(200))
    changed_by: Mapped[str | None] = mapped_column(String(80))

    @property
    def reason(self) -> str:
        """The reason as people read it, with the rule."""
        return f"{self.text.rstrip('.')}. Rule: {RULES[self.rule]}."


class GameMute(Model):
    """Players of other games whom an owner has muted: a pattern of `name@game`, where `*` matches anything."""

    __tablename__ = "game_mutes"
    __table_args__ = (UniqueConstraint("game_id", "pattern"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    game_id: Mapped[int] = mapped_column(ForeignKey("games.id", ondelete="CASCADE"))
    pattern: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    game: Mapped[Game] = relationship()


class Ignore(Model):
    """Someone whom a user ignores: a pattern of `name@game`, or a person with all of their registered characters."""

    __tablename__ = "ignores"
    __table_args__ = (
        UniqueConstraint("user_id", "pattern"),
        UniqueConstraint("user_id", "person_id"),
        CheckConstraint("(pattern IS NULL) <> (person_id IS NULL)", name="one_target"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    pattern: Mapped[str | None] = mapped_column(String(100))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    person: Mapped[User | None] = relationship(foreign_keys=[person_id])
