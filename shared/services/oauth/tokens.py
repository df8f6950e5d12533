"""Codes, access tokens and refresh tokens. Only their digests are stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from shared.db import count_changed, utc_now
from shared.models.oauth import AuthorizationCode, Grant, Token
from shared.services.oauth.clients import Client

CODE_LIVES = timedelta(seconds=60)
ACCESS_LIVES = timedelta(hours=1)
REFRESH_LIVES = timedelta(days=60)
CODES_KEPT = timedelta(days=1)
"""How long redeemed codes are kept, so that a replay is noticed."""


@dataclass(frozen=True)
class CodeRequest:
    """What an authorization request asked for, as far as its code must keep it."""

    redirect_uri: str
    scopes: list[str]
    nonce: str | None = None
    code_challenge: str | None = None
    authenticated_at: datetime | None = None


def new_token() -> str:
    """Return a random text of 256 bits."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """Return the digest by which a code or token is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def store_code(session: Session, code: str, grant: Grant, request: CodeRequest) -> None:
    """Store a code that can be redeemed once, in the next minute."""
    session.add(
        AuthorizationCode(
            digest=digest_of(code),
            grant_id=grant.id,
            redirect_uri=request.redirect_uri,
            scopes=request.scopes,
            nonce=request.nonce,
            code_challenge=request.code_challenge,
            authenticated_at=request.authenticated_at,
            created_at=utc_now(),
        )
    )
    session.flush()


def find_code(session: Session, code: str, client: Client) -> AuthorizationCode | None:
    """Return a client's code that can still be redeemed, locked. A code that comes back revokes what it gave."""
    row = session.scalar(select(AuthorizationCode).where(AuthorizationCode.digest == digest_of(code)).with_for_update())
    if row is None or row.grant.client is not client:
        return None
    if row.redeemed_at is not None:
        revoke_family(session, row.digest)
        return None
    return row if utc_now() - row.created_at <= CODE_LIVES else None


def store_tokens(
    session: Session,
    *,
    access_token: str,
    refresh_token: str,
    access_scopes: Collection[str],
    source: AuthorizationCode | Token,
) -> None:
    """Store new tokens in place of a code or an older refresh token, which cannot be used again."""
    now = utc_now()
    if isinstance(source, AuthorizationCode):
        family, source.redeemed_at = source.digest, now
    else:
        family, source.replaced_at = source.family, now
    session.add(
        Token(
            grant_id=source.grant_id,
            family=family,
            access_digest=digest_of(access_token),
            refresh_digest=digest_of(refresh_token),
            scopes=list(source.scopes),
            access_scopes=list(access_scopes),
            authenticated_at=source.authenticated_at,
            issued_at=now,
        )
    )
    session.flush()


def find_access_token(session: Session, access_token: str) -> Token | None:
    """Return the row of an access token that is valid now."""
    row = session.scalar(select(Token).where(Token.access_digest == digest_of(access_token)))
    return row if row is not None and utc_now() - row.issued_at < ACCESS_LIVES else None


def find_refresh_token(session: Session, refresh_token: str, client: Client) -> Token | None:
    """Return the row of a client's refresh token, locked. One that was used before revokes all of its family."""
    row = session.scalar(select(Token).where(Token.refresh_digest == digest_of(refresh_token)).with_for_update())
    if row is None or row.grant.client is not client:
        return None
    if row.replaced_at is not None:
        revoke_family(session, row.family)
        return None
    return row if utc_now() - row.issued_at < REFRESH_LIVES else None


def revoke(session: Session, token: str, client: Client) -> None:
    """Revoke a client's access or refresh token, and with it all tokens of the same sign-in."""
    digest = digest_of(token)
    row = session.scalar(select(Token).where(or_(Token.access_digest == digest, Token.refresh_digest == digest)))
    if row is not None and row.grant.client is client:
        revoke_family(session, row.family)


def revoke_family(session: Session, family: str) -> None:
    """Revoke all tokens that descend from one code."""
    session.execute(delete(Token).where(Token.family == family).execution_options(synchronize_session="fetch"))


def prune(session: Session) -> int:
    """Delete codes and tokens that can no longer be used. Return how many."""
    now = utc_now()
    old_codes = delete(AuthorizationCode).where(AuthorizationCode.created_at < now - CODES_KEPT)
    old_tokens = delete(Token).where(Token.issued_at < now - REFRESH_LIVES)
    return sum(
        count_changed(session.execute(statement.execution_options(synchronize_session=False)))
        for statement in (old_codes, old_tokens)
    )
