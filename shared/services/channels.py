"""Channels: created by admins, proposed by owners, or created hidden when a game subscribes to an unknown name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import validation
from shared.errors import Conflict, Forbidden, NameTaken, NotFound
from shared.models.channel import Channel
from shared.models.message import Message
from shared.services.authority import audit
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, may, require

PROPOSALS_PER_OWNER = 10


def create_channel(
    session: Session, actor: Actor, *, name: str, description: str | None = "", is_hidden: bool = False
) -> Channel:
    """Create a channel. For admins. Raises Forbidden, Invalid, NameTaken."""
    require(actor, Act.CREATE_CHANNEL)
    channel = _create(session, name=name, description=description, is_hidden=is_hidden)
    _record(session, actor, Act.CREATE_CHANNEL, channel, before=None, after=channel.sync_payload())
    return channel


def propose_channel(session: Session, actor: Actor, *, name: str, description: str | None = "") -> Channel:
    """Create a hidden channel for an owner of a game; a moderator makes it public.

    Raises Forbidden (the actor owns no game), Conflict (too many open proposals), Invalid, NameTaken.
    """
    user_id = actor.require_account()
    if not may(actor, Act.PROPOSE_CHANNEL):
        raise Forbidden("only owners of a game may propose a channel: register your game first")
    pending = session.scalar(
        select(func.count()).select_from(Channel).where(Channel.proposed_by_id == user_id, Channel.is_hidden)
    )
    if (pending or 0) >= PROPOSALS_PER_OWNER:
        raise Conflict(f"{PROPOSALS_PER_OWNER} of your channels are still waiting to be made public", field="name")
    channel = _create(session, name=name, description=description, is_hidden=True)
    channel.proposed_by_id = user_id
    return channel


def describe_channel(session: Session, actor: Actor, *, name: str, description: str | None) -> Channel:
    """Change the description. For whoever proposed the channel, and admins. Raises NotFound, Forbidden, Invalid."""
    channel = get_public_channel(session, actor, name=name)
    if not may_describe(actor, channel):
        raise Forbidden("only the person who proposed this channel may change its description")
    channel.description = _clean_description(description)
    return channel


def may_describe(actor: Actor, channel: Channel) -> bool:
    """Return True for the user who proposed the channel, and for admins."""
    return actor.is_user(channel.proposed_by_id) or may(actor, Act.UPDATE_CHANNEL)


def update_channel(
    session: Session,
    actor: Actor,
    *,
    name: str,
    new_name: str | None = None,
    description: str | None = None,
    is_hidden: bool | None = None,
) -> Channel:
    """Change a channel; None leaves a field as it is. For admins. Raises Forbidden, NotFound, Invalid, NameTaken."""
    require(actor, Act.UPDATE_CHANNEL)
    before = get_channel(session, name).sync_payload()
    channel = change_channel(session, name=name, new_name=new_name, description=description, is_hidden=is_hidden)
    if (after := channel.sync_payload()) != before:
        _record(session, actor, Act.UPDATE_CHANNEL, channel, before=before, after=after)
    return channel


def change_channel(
    session: Session,
    *,
    name: str,
    new_name: str | None = None,
    description: str | None = None,
    is_hidden: bool | None = None,
) -> Channel:
    """Change a channel without asking for permission: services that call this have asked, and record the act."""
    channel = get_channel(session, name)
    if new_name is not None:
        new_name = validation.channel_name(new_name)
        if new_name.lower() != channel.name.lower() and find_channel(session, new_name):
            raise _name_taken()
        channel.name = new_name
    if description is not None:
        channel.description = _clean_description(description)
    if is_hidden is not None:
        channel.is_hidden = is_hidden
    _flush(session)
    return channel


def delete_channel(session: Session, actor: Actor, *, name: str) -> None:
    """Delete a channel; subscribers are unsubscribed silently. For admins. Raises Forbidden, NotFound."""
    require(actor, Act.DELETE_CHANNEL)
    channel = get_channel(session, name)
    _record(session, actor, Act.DELETE_CHANNEL, channel, before=channel.sync_payload(), after=None)
    session.delete(channel)
    session.flush()


def ensure_channel(session: Session, *, name: str, made_by: str | None = None) -> Channel:
    """Return the channel with this name in any case; create it, hidden, if there is none.

    For sockets that subscribe, which any game or application may do.

    Args:
        made_by: The short name of the peer that subscribes.

    Raises:
        Invalid: No channel can have this name.
    """
    name = validation.channel_name(name)
    channel = find_channel(session, name)
    if channel is None:
        try:
            with session.begin_nested():
                channel = Channel(name=name, is_hidden=True, made_by=made_by)
                session.add(channel)
        except IntegrityError:  # another socket subscribed to the same name at the same moment
            channel = get_channel(session, name)
    return channel


def find_channel(session: Session, name: str) -> Channel | None:
    """Return the channel with this name in any case, or None."""
    if not validation.is_storable(name):
        return None
    return session.scalar(select(Channel).where(func.lower(Channel.name) == name.lower()))


def find_by_name(channels: Iterable[Channel], name: str) -> Channel | None:
    """Return the one of these channels that has this name in any case, or None."""
    return next((channel for channel in channels if channel.name.lower() == name.lower()), None)


def get_channel(session: Session, name: str) -> Channel:
    """Return the channel with this name in any case, hidden or not. Raises NotFound."""
    channel = find_channel(session, name)
    if channel is None:
        raise _unknown(name)
    return channel


def get_public_channel(session: Session, actor: Actor, *, name: str) -> Channel:
    """Return a channel that the actor may see on the site.

    Hidden channels are only for the user who proposed them, moderators and admins. Raises NotFound.
    """
    channel = get_channel(session, name)
    if channel.is_hidden and not actor.is_user(channel.proposed_by_id) and not may(actor, Act.SEE):
        raise _unknown(name)
    return channel


def list_channels(session: Session) -> list[Channel]:
    """Return all channels by name, hidden ones too."""
    return list(session.scalars(select(Channel).order_by(func.lower(Channel.name))))


def list_public_channels(session: Session) -> list[Channel]:
    """Return the public channels by name."""
    return list(session.scalars(select(Channel).where(~Channel.is_hidden).order_by(func.lower(Channel.name))))


def list_channels_proposed_by(session: Session, user_id: int) -> list[Channel]:
    """Return the channels that a user proposed, by name, whether or not they are public by now."""
    return list(
        session.scalars(select(Channel).where(Channel.proposed_by_id == user_id).order_by(func.lower(Channel.name)))
    )


def find_unused(session: Session) -> set[int]:
    """Return the ids of hidden channels without any lines. A mistyped name creates a channel like that."""
    has_lines = select(Message.id).where(Message.channel_id == Channel.id).exists()
    return set(session.scalars(select(Channel.id).where(Channel.is_hidden, ~has_lines)))


def names_of(session: Session, ids: Iterable[int]) -> dict[int, str]:
    """Return the names of channels by id, without deleted ones."""
    rows = session.execute(select(Channel.id, Channel.name).where(Channel.id.in_(list(ids))))
    return {row.id: row.name for row in rows}


def _create(session: Session, *, name: str, description: str | None, is_hidden: bool) -> Channel:
    name = validation.channel_name(name)
    if find_channel(session, name):
        raise _name_taken()
    channel = Channel(name=name, description=_clean_description(description), is_hidden=is_hidden)
    session.add(channel)
    _flush(session)
    return channel


def _record(
    session: Session,
    actor: Actor,
    act: Act,
    channel: Channel,
    *,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    target = audit.Target("channel", f"channel:{channel.id}", channel.name)
    audit.record(session, actor, act, target, before=before, after=after)


def _flush(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError:
        raise _name_taken() from None


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no channel {name}", field="name")


def _name_taken() -> NameTaken:
    return NameTaken("there is already a channel with this name, choose another", field="name")


def _clean_description(value: str | None) -> str | None:
    return validation.text(value or "", field="description", longest=500, what="the description") or None
