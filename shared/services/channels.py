"""Channels: made by admins, proposed by owners, created hidden when a game subscribes to an unknown name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.errors import Conflict, Forbidden, NameTaken, NotFound
from shared.models.channel import Channel
from shared.models.game import Game
from shared.models.message import Message
from shared.models.user import User
from shared.services import rules, users
from shared.services.authority import actors, audit
from shared.services.authority.permissions import Act

PROPOSALS_AN_OWNER = 10


def create_channel(
    session: Session, *, name: str, description: str | None = "", is_hidden: bool = False, actor_id: int | None = None
) -> Channel:
    """Make a channel, as an admin. Raises Forbidden, Invalid, NameTaken."""
    users.require_admin(session, actor_id)
    channel = _create(session, name=name, description=description, is_hidden=is_hidden)
    _record(session, actor_id, Act.CREATE_CHANNEL, channel, before=None, after=channel.sync_payload())
    return channel


def propose_channel(session: Session, *, actor_id: int, name: str, description: str | None = "") -> Channel:
    """Make a hidden channel on behalf of an owner of a game; an admin makes it public.

    Raises Forbidden (the actor owns no game), Conflict (too many proposals wait), Invalid, NameTaken.
    """
    if not may_propose(session, actor_id):
        raise Forbidden("only owners of a game may propose a channel: register your game first")
    waiting = session.scalar(
        select(func.count()).select_from(Channel).where(Channel.proposed_by_id == actor_id, Channel.is_hidden)
    )
    if (waiting or 0) >= PROPOSALS_AN_OWNER:
        raise Conflict(f"{PROPOSALS_AN_OWNER} of your channels wait to be made public already", field="name")
    channel = _create(session, name=name, description=description, is_hidden=True)
    channel.proposed_by_id = actor_id
    return channel


def may_propose(session: Session, user_id: int) -> bool:
    """True for owners of a game, and for admins."""
    owns_one = session.scalar(select(Game.id).where(Game.owner_id == user_id).limit(1)) is not None
    return owns_one or users.is_admin(session, user_id)


def describe_channel(session: Session, *, actor_id: int, name: str, description: str | None) -> Channel:
    """Change the description, as who proposed the channel or an admin. Raises NotFound, Forbidden, Invalid."""
    channel = get_public_channel(session, name=name, viewer_id=actor_id)
    if not may_describe(session, channel, actor_id):
        raise Forbidden("only who proposed the channel may describe it")
    channel.description = _description(description)
    return channel


def may_describe(session: Session, channel: Channel, user_id: int | None) -> bool:
    """True for who proposed the channel, and for admins."""
    return user_id is not None and (channel.proposed_by_id == user_id or users.is_admin(session, user_id))


def update_channel(
    session: Session,
    *,
    name: str,
    new_name: str | None = None,
    description: str | None = None,
    is_hidden: bool | None = None,
    actor_id: int | None = None,
) -> Channel:
    """Change what is given, as an admin; None leaves a field as it is.

    Raises Forbidden, NotFound, Invalid, NameTaken.
    """
    users.require_admin(session, actor_id)
    before = get_channel(session, name).sync_payload()
    channel = change_channel(session, name=name, new_name=new_name, description=description, is_hidden=is_hidden)
    if (after := channel.sync_payload()) != before:
        _record(session, actor_id, Act.UPDATE_CHANNEL, channel, before=before, after=after)
    return channel


def change_channel(
    session: Session,
    *,
    name: str,
    new_name: str | None = None,
    description: str | None = None,
    is_hidden: bool | None = None,
) -> Channel:
    """`update_channel` for who has asked already who acts, and writes down what is done."""
    channel = get_channel(session, name)
    if new_name is not None:
        new_name = rules.channel_name(new_name)
        if new_name.lower() != channel.name.lower() and find_channel(session, new_name):
            raise _taken()
        channel.name = new_name
    if description is not None:
        channel.description = _description(description)
    if is_hidden is not None:
        channel.is_hidden = is_hidden
    _flush(session)
    return channel


def delete_channel(session: Session, *, name: str, actor_id: int | None = None) -> None:
    """Delete a channel, as an admin; everyone is unsubscribed silently. Raises Forbidden, NotFound."""
    users.require_admin(session, actor_id)
    channel = get_channel(session, name)
    _record(session, actor_id, Act.DELETE_CHANNEL, channel, before=channel.sync_payload(), after=None)
    session.delete(channel)
    session.flush()


def ensure_channel(session: Session, *, name: str, made_by: str | None = None) -> Channel:
    """The channel of this name in any case; a valid unknown one is created, hidden. For sockets that subscribe.

    made_by: the short name of who subscribes. Raises Invalid.
    """
    name = rules.channel_name(name)
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
    """The channel of this name in any case, or None."""
    if not rules.may_be_kept(name):
        return None
    return session.scalar(select(Channel).where(func.lower(Channel.name) == name.lower()))


def get_channel(session: Session, name: str) -> Channel:
    """The channel of this name in any case, hidden or not. Raises NotFound."""
    channel = find_channel(session, name)
    if channel is None:
        raise NotFound(f"there is no channel {name}", field="name")
    return channel


def get_public_channel(session: Session, *, name: str, viewer_id: int | None = None) -> Channel:
    """A channel as a visitor may see it: a hidden one only for who proposed it, moderators, admins. Raises NotFound."""
    channel = get_channel(session, name)
    if channel.is_hidden and (viewer_id is None or channel.proposed_by_id != viewer_id):
        viewer = session.get(User, viewer_id) if viewer_id is not None else None
        if viewer is None or viewer.role == "player":
            raise NotFound(f"there is no channel {name}", field="name")
    return channel


def list_channels(session: Session) -> list[Channel]:
    """Every channel by name, hidden ones too."""
    return list(session.scalars(select(Channel).order_by(func.lower(Channel.name))))


def list_public_channels(session: Session) -> list[Channel]:
    """Public channels by name."""
    return list(session.scalars(select(Channel).where(~Channel.is_hidden).order_by(func.lower(Channel.name))))


def list_channels_proposed_by(session: Session, user_id: int) -> list[Channel]:
    """Channels that a user proposed, public by now or not, by name."""
    return list(
        session.scalars(select(Channel).where(Channel.proposed_by_id == user_id).order_by(func.lower(Channel.name)))
    )


def find_unused(session: Session) -> set[int]:
    """The ids of the hidden channels on which nothing was ever said: a name that was typed wrong makes one."""
    spoken = select(Message.id).where(Message.channel_id == Channel.id).exists()
    return set(session.scalars(select(Channel.id).where(Channel.is_hidden, ~spoken)))


def names_of(session: Session, ids: Iterable[int]) -> dict[int, str]:
    """The names of channels, by id; those that are gone are left out."""
    rows = session.execute(select(Channel.id, Channel.name).where(Channel.id.in_(list(ids))))
    return {row.id: row.name for row in rows}


def _create(session: Session, *, name: str, description: str | None, is_hidden: bool) -> Channel:
    name = rules.channel_name(name)
    if find_channel(session, name):
        raise _taken()
    channel = Channel(name=name, description=_description(description), is_hidden=is_hidden)
    session.add(channel)
    _flush(session)
    return channel


def _record(
    session: Session,
    actor_id: int | None,
    act: Act,
    channel: Channel,
    *,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    about = audit.Target("channel", f"channel:{channel.id}", channel.name)
    audit.record(session, actors.of_admin(session, actor_id), act, about, before=before, after=after)


def _flush(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError:
        raise _taken() from None


def _taken() -> NameTaken:
    return NameTaken("a channel of this name exists already, choose another", field="name")


def _description(value: str | None) -> str | None:
    return rules.text(value or "", field="description", longest=500, what="the description") or None
