"""The chat history for moderators: search it, read a message in context, redact a message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared import validation
from shared.db import utc_now
from shared.errors import Conflict, NotFound
from shared.models.channel import Channel
from shared.models.message import Message
from shared.models.report import Report
from shared.pagination import Page, page_of
from shared.protocol.types import MAX_CURSOR
from shared.services import history, text_search
from shared.services.authority import audit
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require
from shared.services.moderation.sanctions import reason_of

MATCHES_AT_MOST = 10_000  # a search finds no more than this: nobody reads 200 pages


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
        text, player: Words of the text and of the player's name, in any case and order. The last one may be incomplete.
            Only letters and digits count.
        game: A short name.
        channel: A channel's name. An unknown one matches nothing.

    Returns:
        A page of the newest MATCHES_AT_MOST matches.

    Raises Forbidden.
    """
    require(actor, Act.SEE)
    first = 0 if since is None else history.first_id_since(session, since)
    last = MAX_CURSOR if until is None else history.first_id_since(session, until) - 1
    ids = _find_ids(session, text, player, game, channel, first=first, last=last)
    ids_page = page_of(ids, page=page, per_page=per_page)
    rows = session.scalars(select(Message).where(Message.id.in_(ids_page.items)).order_by(Message.id.desc()))
    return Page(list(rows), ids_page.page, ids_page.per_page, ids_page.total)


def _find_ids(
    session: Session, text: str, player: str, game: str, channel: str, *, first: int, last: int
) -> Sequence[int]:
    text, player, game, channel = (
        value if validation.is_storable(value) else "" for value in (text, player, game, channel)
    )
    if not any(value.strip() for value in (text, player, game, channel)):
        ids = select(Message.id).where(Message.id.between(first, last)).order_by(Message.id.desc())
        return session.scalars(ids.limit(MATCHES_AT_MOST)).all()
    channel_id = None
    if channel.strip():
        of_name = select(Channel.id).where(func.lower(Channel.name) == channel.strip().lower())
        channel_id = session.scalar(of_name)
        if channel_id is None:
            return []
    query = text_search.make_query(words=text, player=player, game=game, channel_id=channel_id)
    if query is None:
        return []
    return text_search.find_ids(session, query, first=first, last=last, limit=MATCHES_AT_MOST)


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
    text_search.lock(session)
    message = session.scalar(
        select(Message).where(Message.id == message_id).with_for_update().execution_options(populate_existing=True)
    )
    if message is None:
        raise unknown()
    if message.redacted_at is not None:
        raise Conflict("this message has already been redacted")
    message.text, message.redacted_at, message.redacted_by = "", utc_now(), actor.name
    session.execute(
        update(Report)
        .where(Report.message_id == message.id)
        .values(quote="")
        .execution_options(synchronize_session="fetch")
    )
    session.flush()
    text_search.index_again(session, message)
    about = audit.Target("message", f"message:{message.id}", f"{message.name}@{message.game}")
    after = {"message": message.id, "channel_id": message.channel_id, "peer": message.peer}
    audit.record(session, actor, Act.REDACT, about, after=after, reason=reason)
    return message
