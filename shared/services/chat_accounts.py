"""The accounts of people who chat in the browser, as socket workers know them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.chat_tokens import session_mark
from shared.models.user import User


@dataclass(frozen=True, slots=True)
class ChatAccount:
    """An account with an open chat. mark: changes when all sessions of the account are ended."""

    id: int
    username: str
    is_online_hidden: bool
    mark: str


def list_chat_accounts(session: Session, user_ids: Collection[int]) -> dict[int, ChatAccount]:
    """Return the accounts with these ids that still exist, by id."""
    columns = (User.id, User.username, User.is_online_hidden, User.session_token)
    rows = session.execute(select(*columns).where(User.id.in_(user_ids)))
    return {
        row.id: ChatAccount(row.id, row.username, row.is_online_hidden, session_mark(row.session_token)) for row in rows
    }
