"""The history as moderators see it: search, a message's context, and taking a text away for good."""

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
    """Messages, the newest first, that fit all that is given; redacted ones too. text, player: parts of them, without
    case. game: a short name. channel: a name; unknown: nothing. Raises Forbidden."""
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
    """The message of this id, redacted or not. Raises NotFound."""
    found = session.get(Message, message_id)
    if found is None:
        raise unknown()
    return found


def unknown() -> NotFound:
    """What is raised for a message that is not there."""
    return NotFound("there is no such message, or it was so old that it is deleted", field="message_id")


def find_locked(session: Session, message_id: int) -> Message | None:
    """The message of this id, which nobody redacts before the commit; None if it is gone. For who copies its text."""
    return session.scalar(
        select(Message)
        .where(Message.id == message_id)
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    )


def context(session: Session, actor: Actor, *, message_id: int, around: int = 15) -> list[Message]:
    """A message with those before and after it on its channel, oldest first. Raises Forbidden, NotFound."""
    require(actor, Act.SEE)
    found = get_message(session, message_id)
    same = select(Message).where(Message.channel_id == found.channel_id)
    before = session.scalars(same.where(Message.id < found.id).order_by(Message.id.desc()).limit(around)).all()
    after = session.scalars(same.where(Message.id > found.id).order_by(Message.id).limit(around)).all()
    return [*reversed(before), found, *after]


def redact(session: Session, actor: Actor, *, message_id: int, reason: str) -> Message:
    """Take a message's text away for good: from the history, its pages and exports, and from reports of it.

    That there was one, whose, and who took it away stays. Raises Forbidden, NotFound, Conflict (done already), Invalid.
    """
    require(actor, Act.REDACT)
    reason = reason_of(reason)
    found = session.scalar(
        select(Message).where(Message.id == message_id).with_for_update().execution_options(populate_existing=True)
    )
    if found is None:
        raise unknown()
    if found.redacted_at is not None:
        raise Conflict("this message was redacted already")
    found.text, found.redacted_at, found.redacted_by = "", utc_now(), actor.name
    session.execute(
        update(Report)
        .where(Report.message_id == found.id)
        .values(quote="")
        .execution_options(synchronize_session="fetch")
    )
    session.flush()
    about = audit.Target("message", f"message:{found.id}", f"{found.name}@{found.game}")
    after = {"message": found.id, "channel_id": found.channel_id, "peer": found.peer}
    audit.record(session, actor, Act.REDACT, about, after=after, reason=reason)
    return found
