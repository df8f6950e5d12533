"""Who chats in the browser: what the socket workers know of an account."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.chat_tokens import session_mark
from shared.models.user import User


@dataclass(frozen=True, slots=True)
class Chatter:
    """An account at the socket. mark: another one once all of its sessions were ended."""

    id: int
    username: str
    is_online_hidden: bool
    mark: str


def list_chatters(session: Session, user_ids: Collection[int]) -> dict[int, Chatter]:
    """The accounts of these ids that still exist."""
    columns = (User.id, User.username, User.is_online_hidden, User.session_token)
    rows = session.execute(select(*columns).where(User.id.in_(user_ids)))
    return {
        row.id: Chatter(row.id, row.username, row.is_online_hidden, session_mark(row.session_token)) for row in rows
    }
