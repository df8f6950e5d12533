"""The audit trail of moderation: append-only, each entry hashed over the one before.

Triggers in the database refuse to change or remove an entry. Only `shared/services/authority/audit.py` writes entries;
it also detects a chain that was tampered with.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime


class AuditEntry(Model):
    """One act of moderation: who did what to whom, the state before and after, and why.

    Attributes:
        number: 1, 2, 3 … without gaps.
        actor_kind: `user`, `application` or `system`.
        actor_role: the role in which they acted.
        target: what was acted on, for people.
        target_id: the same for programs (`game:7/bob`, `channel:3`).
        before, after: canonical JSON.
        hash: SHA-256 in hex over the entry's canonical JSON, which includes `previous_hash`.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        CheckConstraint("actor_kind IN ('user', 'application', 'system')", name="actor_kind"),
        Index("ix_audit_entries_target_id_number", "target_id", "number"),
        Index("ix_audit_entries_actor_kind_actor_id", "actor_kind", "actor_id"),
    )

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor_kind: Mapped[str] = mapped_column(String(12))
    actor_id: Mapped[int | None]
    actor_name: Mapped[str] = mapped_column(String(80))
    actor_role: Mapped[str] = mapped_column(String(12))
    act: Mapped[str] = mapped_column(String(30))
    target_kind: Mapped[str] = mapped_column(String(12))
    target_id: Mapped[str] = mapped_column(Text)
    target: Mapped[str] = mapped_column(Text)
    before: Mapped[str | None] = mapped_column(Text)
    after: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class ModerationHead(Model):
    """One row: the end of the audit trail, and the revision of what workers enforce.

    A transaction that appends locks it until the commit, so that numbers appear in order and the chain cannot fork.
    """

    __tablename__ = "moderation_heads"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
    revision: Mapped[int] = mapped_column(BigInteger)
