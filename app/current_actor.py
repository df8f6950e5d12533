"""Who is signed in, as the one who acts: moderation's services are given an actor, and ask the table of permissions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from app.accounts.identity import viewer_id
from shared.db import reading, transaction
from shared.services.authority import actors
from shared.services.authority.actors import Actor


@contextmanager
def acting() -> Iterator[tuple[Session, Actor]]:
    """A transaction, and who acts in it; their roles are read in it too."""
    user_id = viewer_id()
    with transaction() as session:
        yield session, actors.of_user(session, user_id)


@contextmanager
def looking() -> Iterator[tuple[Session, Actor]]:
    """A session that changes nothing, and who looks."""
    user_id = viewer_id()
    with reading() as session:
        yield session, actors.of_user(session, user_id)
