"""What people let games and applications see: consent, the list under *Account*, and taking it back."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from shared.db import utc_now
from shared.errors import NotFound
from shared.models.game import Game
from shared.models.oauth import Grant
from shared.models.user import User
from shared.services.authority.actors import Actor
from shared.services.oauth.clients import Client

SCOPES = ("openid", "profile", "email")
USE_NOTED_EVERY = timedelta(minutes=10)


def clean_scopes(text: str) -> list[str] | None:
    """Return the known scopes in a request, in a fixed order. None if the request is not valid.

    OpenID Connect requests may name scopes that we do not know. Plain OAuth requests may not.
    """
    requested = set(text.split())
    known = [scope for scope in SCOPES if scope in requested]
    if not known or (len(known) < len(requested) and "openid" not in requested):
        return None
    return known


def find_grant(session: Session, *, user_id: int, client: Client, lock: bool = False) -> Grant | None:
    """Return what a person lets a client see, or None."""
    column = Grant.game_id if isinstance(client, Game) else Grant.application_id
    statement = select(Grant).where(Grant.user_id == user_id, column == client.id)
    return session.scalar(statement.with_for_update() if lock else statement)


def covers(grant: Grant | None, scopes: Collection[str]) -> bool:
    """Return whether the person has agreed to all of these scopes."""
    return grant is not None and set(scopes) <= set(grant.scopes)


def allow(session: Session, actor: Actor, *, client: Client, scopes: Collection[str]) -> Grant:
    """Let a client see what these scopes name, besides what it may see already. Raises Forbidden."""
    user_id = actor.require_account()
    grant = find_grant(session, user_id=user_id, client=client, lock=True)
    if grant is None:
        grant = Grant(user_id=user_id, scopes=[])
        if isinstance(client, Game):
            grant.game_id = client.id
        else:
            grant.application_id = client.id
        session.add(grant)
    grant.scopes = [scope for scope in SCOPES if scope in {*grant.scopes, *scopes}]
    session.flush()
    return grant


def list_grants(session: Session, actor: Actor) -> list[Grant]:
    """Return the actor's grants, the newest first. Raises Forbidden."""
    return list(
        session.scalars(
            select(Grant)
            .where(Grant.user_id == actor.require_account())
            .options(joinedload(Grant.game), joinedload(Grant.application))
            .order_by(Grant.id.desc())
        )
    )


def remove_grant(session: Session, actor: Actor, *, grant_id: int) -> Client:
    """Take a grant back. All of its codes and tokens die. Return the client. Raises Forbidden, NotFound."""
    grant = session.get(Grant, grant_id)
    if grant is None or grant.user_id != actor.require_account():
        raise NotFound("this game is not connected to your account")
    client = grant.client
    session.delete(grant)
    session.flush()
    return client


def note_use(grant: Grant) -> bool:
    """Note that the client uses the grant. Return False if that was noted a moment ago."""
    now = utc_now()
    if grant.used_at is not None and now - grant.used_at < USE_NOTED_EVERY:
        return False
    grant.used_at = now
    return True


def subject_of(client: Client, user: User) -> str:
    """Return the id by which a client knows a person. It never changes, and never becomes another person's."""
    if not client.has_private_ids or client.subject_key is None:
        return user.uid
    return hmac.new(client.subject_key.encode(), user.uid.encode(), hashlib.sha256).hexdigest()


def claims_of(client: Client, user: User, scopes: Collection[str], *, public_url: str) -> dict[str, Any]:
    """Return the claims about a person (OpenID Connect Core, section 5.1).

    The email address is a claim only if the person has verified it: games may take it as proof of who somebody is.
    """
    claims: dict[str, Any] = {"sub": subject_of(client, user)}
    if "profile" in scopes:
        claims["preferred_username"] = claims["name"] = user.username
        claims["profile"] = f"{public_url}/players/{user.username}"
        claims["updated_at"] = int(user.created_at.timestamp())  # the claims of this scope never change
    if "email" in scopes and user.is_verified and user.email:
        claims["email"] = user.email
        claims["email_verified"] = True
    return claims
