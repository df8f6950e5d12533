"""Accounts on the site."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime, utc_now

ROLES = ("player", "moderator", "admin")


class User(Model):
    """An account.

    Several accounts may enter the same email address, but at most one holds it: the one whose owner has
    verified it, or that the operator created as verified.

    Attributes:
        session_token: changes when all sessions of the account must end.
        email: empty for the first admin until they set one.
        address_key: the same for all spellings of the email (`validation.address_key`).
        email_key: the address key if the account holds its address; otherwise its `uid`. Thus it is unique without
            revealing who entered which address.
        pending_email: the new address that the user asked for, until they follow the link in the mail.
        returned_at: when the user first came back after registering; None if they never did.
    """

    __tablename__ = "users"
    __table_args__ = (
        Index("uq_users_username_lower", text("lower(username)"), unique=True),
        Index("ix_users_address_key", "address_key"),
        CheckConstraint("role IN ('player', 'moderator', 'admin')", name="role"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=lambda: str(uuid.uuid4()))
    username: Mapped[str] = mapped_column(String(50))
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254), unique=True)
    address_key: Mapped[str] = mapped_column(String(254))
    pending_email: Mapped[str | None] = mapped_column(String(254))
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(10), default="player")
    is_verified: Mapped[bool] = mapped_column(default=False)
    registration_key: Mapped[str] = mapped_column(String(36), unique=True, default=lambda: str(uuid.uuid4()))
    session_token: Mapped[str] = mapped_column(String(36), default=lambda: str(uuid.uuid4()))
    is_profile_hidden: Mapped[bool] = mapped_column(default=False)
    is_online_hidden: Mapped[bool] = mapped_column(default=False)
    about: Mapped[str] = mapped_column(Text, default="", server_default="")
    pronouns: Mapped[str] = mapped_column(String(40), default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    returned_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def holds_address(self) -> bool:
        """True if the account holds its email address, so that its owner can sign in with it."""
        return self.email_key != self.uid
