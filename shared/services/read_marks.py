"""How far people have read channels in the browser, and how many lines are unread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import exists, func, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.models.chat_reading import ChatReading
from shared.models.message import Message

MAX_UNREAD = 100  # lines beyond are not counted


def mark_read(session: Session, *, user_id: int, channel_id: int, message_id: int) -> None:
    """Store that a person has read a channel up to a line.

    A mark never moves back. Does nothing if the account or the channel was deleted.
    """
    is_mark = (ChatReading.user_id == user_id, ChatReading.channel_id == channel_id)
    moved = session.execute(
        update(ChatReading)
        .where(*is_mark, ChatReading.message_id < message_id)
        .values(message_id=message_id)
        .returning(ChatReading.user_id)
        .execution_options(synchronize_session=False)
    )
    if moved.first() is not None or session.scalar(select(exists().where(*is_mark))):
        return
    try:
        with session.begin_nested():
            session.add(ChatReading(user_id=user_id, channel_id=channel_id, message_id=message_id))
    except IntegrityError:
        pass  # marked in another transaction at the same moment, or the account or the channel was deleted


def last_read(session: Session, *, user_id: int, channel_id: int) -> int | None:
    """Return the id of the last line that a person has read on a channel; None if they never opened it."""
    return session.scalar(
        select(ChatReading.message_id).where(ChatReading.user_id == user_id, ChatReading.channel_id == channel_id)
    )


def count_unread(
    session: Session,
    *,
    user_id: int,
    channel_ids: Sequence[int],
    is_hidden: Callable[[Message], bool] | None = None,
) -> dict[int, int]:
    """Count the unread lines of each channel that the person has opened before, up to MAX_UNREAD.

    Args:
        is_hidden: Tells which lines the person is not shown; these are not counted. None: all are shown.
    """
    newer = (
        select(literal(1))
        .select_from(Message)
        .where(
            Message.channel_id == ChatReading.channel_id,
            Message.id > ChatReading.message_id,
            Message.redacted_at.is_(None),
        )
        .limit(MAX_UNREAD)
        .correlate(ChatReading)
        .subquery()
    )
    rows = session.execute(
        select(ChatReading.channel_id, select(func.count()).select_from(newer).scalar_subquery()).where(
            ChatReading.user_id == user_id, ChatReading.channel_id.in_(channel_ids)
        )
    )
    counts: dict[int, int] = {channel_id: count for channel_id, count in rows}
    if is_hidden is not None:
        for channel_id in [channel_id for channel_id, count in counts.items() if count]:
            lines = _unread_lines(session, user_id=user_id, channel_id=channel_id)
            counts[channel_id] = sum(not is_hidden(line) for line in lines)
    return counts


def _unread_lines(session: Session, *, user_id: int, channel_id: int) -> Sequence[Message]:
    """Return the first MAX_UNREAD unread lines."""
    return session.scalars(
        select(Message)
        .join(ChatReading, ChatReading.channel_id == Message.channel_id)
        .where(
            ChatReading.user_id == user_id,
            Message.channel_id == channel_id,
            Message.id > ChatReading.message_id,
            Message.redacted_at.is_(None),
        )
        .order_by(Message.id)
        .limit(MAX_UNREAD)
    ).all()
