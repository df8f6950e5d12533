"""The log of changes (`versions`), and the counters that number it and the chat history."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime, utc_now


class Counter(Model):
    """A number that only grows. A transaction locks the row until the commit, so that numbers appear in order.

    Attributes:
        floor: entries up to this number may have been pruned; a reader at an earlier cursor must start over.
    """

    __tablename__ = "counters"

    VERSIONS: ClassVar[str] = "versions"
    MESSAGES: ClassVar[str] = "messages"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger, default=0)
    floor: Mapped[int] = mapped_column(BigInteger, default=0)


class Version(Model):
    """One change of one synced record. Only `shared/sync.py` writes it.

    The state of the network at a cursor N is all versions with `id <= N` that no version up to N supersedes, except
    deletions.

    Attributes:
        id: the cursor.
        record: canonical JSON; None for a deletion.
        superseded_by: the next version of the same record; None for the newest.
    """

    __tablename__ = "versions"
    __table_args__ = (
        Index(
            "uq_versions_newest",
            "kind",
            "record_id",
            unique=True,
            sqlite_where=text("superseded_by IS NULL"),
            postgresql_where=text("superseded_by IS NULL"),
        ),
        Index("ix_versions_kind_record_id_id", "kind", "record_id", "id"),
        CheckConstraint("action IN ('created', 'updated', 'deleted')", name="action"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(20))
    record_id: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(String(10))
    record: Mapped[str | None] = mapped_column(Text)
    superseded_by: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
