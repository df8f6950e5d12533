"""People with an account on the site."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime, utc_now

ROLES = ("player", "moderator", "admin")


class User(Model):
    """A person with an account. `session_token` changes when all of their sessions must end.

    email: empty for the first admin until they set one.
    address_key: what all spellings of the email have in common (`validation.address_key`). Several accounts may give
    one address; one at most holds it.
    email_key: the same for the account that holds its address, since its owner proved it or the operator made it so;
    for all others their `uid`, which is no address. So it is unique without telling anybody who gave what.
    pending_email: the address that the account asked to have, until the link in the mail to it is followed.
    returned_at: when the person came back for the first time after registering; None if they never did.
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
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    returned_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def holds_address(self) -> bool:
        """True if the email is this account's and no other's: one may sign in with it."""
        return self.email_key != self.uid
