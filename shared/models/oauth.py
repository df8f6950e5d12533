"""Signing in to games with an account of the network: OAuth 2 and OpenID Connect."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shared.db import Model, UtcDateTime, utc_now
from shared.models.application import Application
from shared.models.game import Game
from shared.models.user import User


class SigningKey(Model):
    """A key that signs ID tokens.

    Attributes:
        private_pem: encrypted with SECRET_KEY.
        retired_at: when another key replaced it. It still verifies the tokens that it has signed.
    """

    __tablename__ = "oauth_keys"

    kid: Mapped[str] = mapped_column(String(43), primary_key=True)
    algorithm: Mapped[str] = mapped_column(String(10))
    private_pem: Mapped[str] = mapped_column(Text)
    public_jwk: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Grant(Model):
    """What a person lets a game or application see. Deleting it deletes all codes and tokens.

    Attributes:
        used_at: when the client last got or used a token.
    """

    __tablename__ = "oauth_grants"
    __table_args__ = (
        UniqueConstraint("user_id", "game_id"),
        UniqueConstraint("user_id", "application_id"),
        CheckConstraint("(game_id IS NULL) <> (application_id IS NULL)", name="one_client"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    game_id: Mapped[int | None] = mapped_column(ForeignKey("games.id", ondelete="CASCADE"), index=True)
    application_id: Mapped[int | None] = mapped_column(ForeignKey("applications.id", ondelete="CASCADE"), index=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    user: Mapped[User] = relationship()
    game: Mapped[Game | None] = relationship()
    application: Mapped[Application | None] = relationship()

    @property
    def client(self) -> Game | Application:
        """The game or application."""
        client = self.game or self.application
        assert client is not None
        return client


class AuthorizationCode(Model):
    """A code that a client redeems for tokens, once.

    Attributes:
        digest: the SHA-256 of the code.
        authenticated_at: when the person signed in; None if that is unknown.
    """

    __tablename__ = "oauth_codes"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    grant_id: Mapped[int] = mapped_column(ForeignKey("oauth_grants.id", ondelete="CASCADE"), index=True)
    redirect_uri: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    nonce: Mapped[str | None] = mapped_column(Text)
    code_challenge: Mapped[str | None] = mapped_column(String(128))
    authenticated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    redeemed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    grant: Mapped[Grant] = relationship()


class Token(Model):
    """An access token, with the refresh token that was issued together with it.

    Attributes:
        family: the digest of the code that all tokens of one sign-in descend from.
        access_digest, refresh_digest: the SHA-256 of each.
        scopes: what the refresh token can ask for.
        access_scopes: what the access token can read, which may be less.
        replaced_at: when the refresh token was used. Using it again revokes the family.
    """

    __tablename__ = "oauth_tokens"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    grant_id: Mapped[int] = mapped_column(ForeignKey("oauth_grants.id", ondelete="CASCADE"), index=True)
    family: Mapped[str] = mapped_column(String(64), index=True)
    access_digest: Mapped[str] = mapped_column(String(64), unique=True)
    refresh_digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    access_scopes: Mapped[list[str]] = mapped_column(JSON)
    authenticated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    replaced_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    grant: Mapped[Grant] = relationship()
