"""A database session together with the signed-in account as the actor, for services that check permissions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from app.accounts.identity import viewer_id
from shared.db import reading, transaction
from shared.services.authority import actors
from shared.services.authority.actors import Actor


@contextmanager
def actor_transaction() -> Iterator[tuple[Session, Actor]]:
    """Open a transaction and yield it with the actor, whose roles are read in it."""
    user_id = viewer_id()
    with transaction() as session:
        yield session, actors.of_user(session, user_id)


def current_actor() -> Actor:
    """Return the actor, read in its own session.

    For services that hash a password before their first statement: in one transaction, reading the actor would lock
    the database for as long as the hash takes.
    """
    with actor_reading() as (_session, actor):
        return actor


@contextmanager
def actor_reading() -> Iterator[tuple[Session, Actor]]:
    """Open a read-only session and yield it with the actor."""
    user_id = viewer_id()
    with reading() as session:
        yield session, actors.of_user(session, user_id)
