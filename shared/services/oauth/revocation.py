"""Revoking all tokens of an account or a client, as when its password or its secret may have been stolen.

What people have agreed to stays: they sign in once more, and see no page of consent.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from shared.models.oauth import AuthorizationCode, Grant, Token


def revoke_of_user(session: Session, user_id: int) -> None:
    """Revoke what an account's games can see with."""
    _revoke(session, Grant.user_id == user_id)


def revoke_of_game(session: Session, game_id: int) -> None:
    """Revoke what a game holds about all of its players."""
    _revoke(session, Grant.game_id == game_id)


def revoke_of_application(session: Session, application_id: int) -> None:
    """Revoke what an application holds about all people."""
    _revoke(session, Grant.application_id == application_id)


def _revoke(session: Session, condition: ColumnElement[bool]) -> None:
    grant_ids = select(Grant.id).where(condition)
    for model in (AuthorizationCode, Token):
        statement = delete(model).where(model.grant_id.in_(grant_ids))
        session.execute(statement.execution_options(synchronize_session=False))
