"""How far people have read channels in the browser, and what is unread."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, func, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.models.chat_reading import ChatReading
from shared.models.message import Message
from shared.services.moderation.unheard import NOBODY, Unheard

UNREAD_AT_MOST = 100  # more are not counted


def mark_read(session: Session, *, user_id: int, channel_id: int, message_id: int) -> None:
    """Note that a person has read a channel up to a line. Never goes back; nothing happens if either is gone."""
    own = (ChatReading.user_id == user_id, ChatReading.channel_id == channel_id)
    changed = session.execute(
        update(ChatReading)
        .where(*own, ChatReading.message_id < message_id)
        .values(message_id=message_id)
        .returning(ChatReading.user_id)
        .execution_options(synchronize_session=False)
    )
    if changed.first() is not None or session.scalar(select(exists().where(*own))):
        return
    try:
        with session.begin_nested():
            session.add(ChatReading(user_id=user_id, channel_id=channel_id, message_id=message_id))
    except IntegrityError:
        pass  # noted by somebody else at the same moment, or the account or the channel was deleted


def last_read(session: Session, *, user_id: int, channel_id: int) -> int | None:
    """The last line that a person has read on a channel; None if they never opened it."""
    return session.scalar(
        select(ChatReading.message_id).where(ChatReading.user_id == user_id, ChatReading.channel_id == channel_id)
    )


def count_unread(
    session: Session, *, user_id: int, channel_ids: Sequence[int], unheard: Unheard = NOBODY
) -> dict[int, int]:
    """How many lines came since, for each channel that the person has opened before: UNREAD_AT_MOST at most.

    unheard: whose lines the person is not shown; they are counted off those.
    """
    newer = (
        select(literal(1))
        .select_from(Message)
        .where(
            Message.channel_id == ChatReading.channel_id,
            Message.id > ChatReading.message_id,
            Message.redacted_at.is_(None),
        )
        .limit(UNREAD_AT_MOST)
        .correlate(ChatReading)
        .subquery()
    )
    counted = select(ChatReading.channel_id, select(func.count()).select_from(newer).scalar_subquery()).where(
        ChatReading.user_id == user_id, ChatReading.channel_id.in_(channel_ids)
    )
    counts = {channel_id: count for channel_id, count in session.execute(counted)}
    if unheard:
        for channel_id, count in counts.items():
            if count:
                lines = _unread_lines(session, user_id=user_id, channel_id=channel_id)
                counts[channel_id] = sum(not unheard.covers(line) for line in lines)
    return counts


def _unread_lines(session: Session, *, user_id: int, channel_id: int) -> Sequence[Message]:
    """The first UNREAD_AT_MOST of them."""
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
        .limit(UNREAD_AT_MOST)
    ).all()
