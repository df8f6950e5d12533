"""The history of chat lines."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime
from shared.peer_keys import PeerKey

SEARCH_TABLE = "message_search"  # the full-text index (shared/services/text_search.py), which differs by database


class Message(Model):
    """One chat line on a channel, numbered in commit order by the `messages` counter.

    It has no foreign keys: the history outlives games and channels.

    Attributes:
        peer: the sender's peer key (`game:7`, `application:3`, `grapevine`).
        game: the sender's short name at that time.
        worker: the id of the worker that received the line.
        redacted_at, redacted_by: when a moderator removed the text, and who. The text is then empty.
    """

    __tablename__ = "messages"
    __table_args__ = (Index("ix_messages_channel_id_id", "channel_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    channel_id: Mapped[int]
    peer: Mapped[PeerKey] = mapped_column(String(30))
    game: Mapped[str] = mapped_column(String(15))
    name: Mapped[str] = mapped_column(String(60))
    text: Mapped[str] = mapped_column(Text)
    worker: Mapped[str] = mapped_column(String(36))
    sent_at: Mapped[datetime] = mapped_column(UtcDateTime)
    redacted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    redacted_by: Mapped[str | None] = mapped_column(String(80))


def is_declared(name: str | None, type_: str, _parents: object) -> bool:
    """Return False for the index's own tables, which no model declares: for Alembic's comparison of schemas."""
    return type_ != "table" or not (name or "").startswith(SEARCH_TABLE)
