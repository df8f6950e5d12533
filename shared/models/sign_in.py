"""Columns of records that people can sign in to with their account: games, and applications with the scope."""

from __future__ import annotations

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

ID_TOKEN_ALGORITHMS = ("RS256", "ES256")


class HasSignIn:
    """Mixin: what a client of OpenID Connect has registered. Its credentials are those of the socket.

    Attributes:
        redirect_uris: where people may return after signing in.
        logout_uris: where they may return after signing out.
        requires_secret: whether a code can only be redeemed with the client secret.
        has_private_ids: whether the client learns an id of its own for each person, instead of the account's `uid`.
        subject_key: what those ids are derived from; None until the client first wanted them.
        id_token_algorithm: how its ID tokens are signed.
    """

    redirect_uris: Mapped[list[str]] = mapped_column(JSON, default=list)
    logout_uris: Mapped[list[str]] = mapped_column(JSON, default=list)
    requires_secret: Mapped[bool] = mapped_column(default=False)
    has_private_ids: Mapped[bool] = mapped_column(default=False)
    subject_key: Mapped[str | None] = mapped_column(String(64))
    id_token_algorithm: Mapped[str] = mapped_column(String(10), default="RS256")
