"""The chat history for moderators: search it, read a message in context, redact a message."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared.db import utc_now
from shared.errors import Conflict, NotFound
from shared.models.channel import Channel
from shared.models.message import Message
from shared.models.report import Report
from shared.pagination import Page, paginate
from shared.services import validation
from shared.services.authority import audit
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require
from shared.services.moderation.sanctions import reason_of


def search(
    session: Session,
    actor: Actor,
    *,
    text: str = "",
    player: str = "",
    game: str = "",
    channel: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    page: int = 1,
    per_page: int = 50,
) -> Page[Message]:
    """Return messages that match all criteria, newest first, redacted ones too.

    Args:
        text, player: Parts of the text and of the player's name, in any case.
        game: A short name.
        channel: A channel's name. An unknown one matches nothing.

    Raises Forbidden.
    """
    require(actor, Act.SEE)
    statement = select(Message).order_by(Message.id.desc())
    if text.strip() and validation.is_storable(text):
        statement = statement.where(Message.text.icontains(text.strip(), autoescape=True))
    if player.strip() and validation.is_storable(player):
        statement = statement.where(Message.name.icontains(player.strip(), autoescape=True))
    if game.strip() and validation.is_storable(game):
        statement = statement.where(func.lower(Message.game) == game.strip().lower())
    if channel.strip() and validation.is_storable(channel):
        of_name = select(Channel.id).where(func.lower(Channel.name) == channel.strip().lower())
        statement = statement.where(Message.channel_id.in_(of_name))
    if since is not None:
        statement = statement.where(Message.sent_at >= since)
    if until is not None:
        statement = statement.where(Message.sent_at < until)
    return paginate(session, statement, page=page, per_page=per_page)


def get_message(session: Session, message_id: int) -> Message:
    """Return the message with this id, redacted or not. Raises NotFound."""
    message = session.get(Message, message_id)
    if message is None:
        raise unknown()
    return message


def unknown() -> NotFound:
    """Return the error for a message that does not exist."""
    return NotFound("there is no such message; old messages are deleted", field="message_id")


def find_locked(session: Session, message_id: int) -> Message | None:
    """Return the message with this id, locked so that nobody redacts it before the commit; None if it is deleted."""
    return session.scalar(
        select(Message)
        .where(Message.id == message_id)
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    )


def context(session: Session, actor: Actor, *, message_id: int, around: int = 15) -> list[Message]:
    """Return a message with those around it on its channel, oldest first. Raises Forbidden, NotFound."""
    require(actor, Act.SEE)
    message = get_message(session, message_id)
    same = select(Message).where(Message.channel_id == message.channel_id)
    before = session.scalars(same.where(Message.id < message.id).order_by(Message.id.desc()).limit(around)).all()
    after = session.scalars(same.where(Message.id > message.id).order_by(Message.id).limit(around)).all()
    return [*reversed(before), message, *after]


def redact(session: Session, actor: Actor, *, message_id: int, reason: str) -> Message:
    """Permanently delete a message's text: from the history, its pages and exports, and from reports.

    The message itself stays, with its speaker and who redacted it.

    Raises Forbidden, NotFound, Conflict (redacted already), Invalid.
    """
    require(actor, Act.REDACT)
    reason = reason_of(reason)
    message = session.scalar(
        select(Message).where(Message.id == message_id).with_for_update().execution_options(populate_existing=True)
    )
    if message is None:
        raise unknown()
    if message.redacted_at is not None:
        raise Conflict("this message was redacted already")
    message.text, message.redacted_at, message.redacted_by = "", utc_now(), actor.name
    session.execute(
        update(Report)
        .where(Report.message_id == message.id)
        .values(quote="")
        .execution_options(synchronize_session="fetch")
    )
    session.flush()
    about = audit.Target("message", f"message:{message.id}", f"{message.name}@{message.game}")
    after = {"message": message.id, "channel_id": message.channel_id, "peer": message.peer}
    audit.record(session, actor, Act.REDACT, about, after=after, reason=reason)
    return message
