"""Network applications: trusted peers with the right to sync."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime, utc_now
from shared.models.credentials import HasCredentials
from shared.models.sign_in import HasSignIn

SCOPES = ("moderate", "identity")


class Application(HasCredentials, HasSignIn, Model):
    """A network application. Games see it as another game, so its short name comes from the same namespace.

    Attributes:
        scopes: the extra permissions it has, out of `SCOPES`.
    """

    __tablename__ = "applications"
    __table_args__ = (
        Index("uq_applications_short_name_lower", text("lower(short_name)"), unique=True),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    short_name: Mapped[str] = mapped_column(String(15))
    name: Mapped[str] = mapped_column(String(80))
    scopes: Mapped[list[str]] = mapped_column(JSON, default=list)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
