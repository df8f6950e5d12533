"""All public records with a page: visible channels, displayed games, profiles that are not hidden."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from shared.models.channel import Channel
from shared.models.game import Game
from shared.models.user import User

KINDS: tuple[tuple[str, Select[Any]], ...] = (
    ("channel", select(Channel.name).where(Channel.is_hidden.is_(False)).order_by(Channel.id)),
    ("game", select(Game.short_name).where(Game.is_displayed).order_by(Game.id)),
    ("player", select(User.username).where(User.is_profile_hidden.is_(False)).order_by(User.id)),
)


def count_public(session: Session) -> int:
    """Count the public records."""
    return sum(_count(session, statement) for _, statement in KINDS)


def list_public(session: Session, *, start: int, limit: int) -> list[tuple[str, str]]:
    """Return a part of the whole list as (kind, name), where kind is `channel`, `game` or `player`."""
    records: list[tuple[str, str]] = []
    for kind, statement in KINDS:
        if len(records) >= limit:
            break
        names = session.scalars(statement.offset(start).limit(limit - len(records))).all()
        records += [(kind, name) for name in names]
        start = 0 if names else start - _count(session, statement)
    return records


def _count(session: Session, statement: Select[Any]) -> int:
    return session.scalar(select(func.count()).select_from(statement.order_by(None).subquery())) or 0
