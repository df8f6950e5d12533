"""The log of changes (`versions`) and the counters that number it and the chat history."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime, utc_now


class Counter(Model):
    """A number that only grows, given out under the row's lock until the commit, so that numbers appear in order.

    floor: entries up to this number may have been pruned; a reader from before it must start over.
    """

    __tablename__ = "counters"

    VERSIONS: ClassVar[str] = "versions"
    MESSAGES: ClassVar[str] = "messages"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger, default=0)
    floor: Mapped[int] = mapped_column(BigInteger, default=0)


class Version(Model):
    """One change of one synced record. `id` is the cursor; `record` its canonical JSON, null in a delete.

    `superseded_by` is the next version of the same record, null in the newest: the state of the network at any cursor
    N is what has `id <= N` and is not superseded by N, without a deleted one. Written by `shared.sync` alone.
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
