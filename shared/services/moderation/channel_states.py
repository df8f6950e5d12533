"""Moderating channels: approve, hide, describe, rename, close, pause, slow down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.db import utc_now
from shared.errors import Conflict, Invalid
from shared.models.channel import Channel
from shared.models.moderation import ChannelState
from shared.services import channels, history
from shared.services.authority import audit, changes
from shared.services.authority.actors import Actor
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act, require
from shared.services.moderation.sanctions import reason_of

PAUSE_LONGEST_MINUTES = 60 * 24 * 365
SLOW_LONGEST_SECONDS = 3_600


def pause(session: Session, actor: Actor, *, channel: str, minutes: int | None, reason: str) -> ChannelState:
    """Stop everybody from speaking on a channel, and say so there. Pausing it again replaces the end.

    Args:
        minutes: How long; None until it is resumed.

    Raises Forbidden, NotFound, Invalid (`minutes`, `reason`).
    """
    require(actor, Act.PAUSE)
    target = channels.get_channel(session, channel)
    reason = reason_of(reason)
    if minutes is not None and not 1 <= minutes <= PAUSE_LONGEST_MINUTES:
        raise Invalid("the minutes must be from 1 to a year, or empty until the channel is resumed", field="minutes")
    state = _get_state(session, target)
    before = form_of(state)
    state.is_paused, state.pause_reason = True, reason
    state.paused_until = None if minutes is None else utc_now() + timedelta(minutes=minutes)
    _changed(session, actor, Act.PAUSE, target, before, form_of(state), reason)
    length = "until further notice" if minutes is None else f"for {minutes} minute{'' if minutes == 1 else 's'}"
    history.say_as_system(session, [target.id], f"This channel is paused {length}: {reason}")
    return state


def resume(session: Session, actor: Actor, *, channel: str, reason: str = "") -> ChannelState:
    """End a pause. Raises Forbidden, NotFound, Conflict (the channel is not paused)."""
    require(actor, Act.RESUME)
    target = channels.get_channel(session, channel)
    state = _get_state(session, target)
    if not state.is_paused_at(utc_now()):
        raise Conflict(f"{target.name} is not paused")
    before = form_of(state)
    state.is_paused, state.paused_until, state.pause_reason = False, None, ""
    _changed(session, actor, Act.RESUME, target, before, form_of(state), reason and reason_of(reason))
    history.say_as_system(session, [target.id], "This channel is open again.")
    return state


def slow_down(session: Session, actor: Actor, *, channel: str, seconds: int, reason: str = "") -> ChannelState:
    """Let each player speak only once every `seconds`; 0 ends it. Raises Forbidden, NotFound, Invalid (`seconds`)."""
    require(actor, Act.SLOW)
    target = channels.get_channel(session, channel)
    if not 0 <= seconds <= SLOW_LONGEST_SECONDS:
        raise Invalid(f"the seconds must be from 0 to {SLOW_LONGEST_SECONDS:,}", field="seconds")
    state = _get_state(session, target)
    before = form_of(state)
    state.slow_seconds = seconds
    _changed(session, actor, Act.SLOW, target, before, form_of(state), reason and reason_of(reason))
    return state


def close(session: Session, actor: Actor, *, channel: str, reason: str) -> ChannelState:
    """Close a channel: nobody may speak or subscribe; its history stays. Raises Forbidden, NotFound, Invalid."""
    require(actor, Act.CLOSE_CHANNEL)
    return _set_closed(session, actor, Act.CLOSE_CHANNEL, channel, reason_of(reason), is_closed=True)


def reopen(session: Session, actor: Actor, *, channel: str, reason: str = "") -> ChannelState:
    """Open a closed channel. Raises Forbidden, NotFound."""
    require(actor, Act.OPEN_CHANNEL)
    return _set_closed(session, actor, Act.OPEN_CHANNEL, channel, reason and reason_of(reason), is_closed=False)


def approve(session: Session, actor: Actor, *, channel: str, reason: str = "") -> Channel:
    """Make a channel public. Raises Forbidden, NotFound."""
    require(actor, Act.APPROVE_CHANNEL)
    return _update(session, actor, Act.APPROVE_CHANNEL, channel, reason, is_hidden=False)


def hide(session: Session, actor: Actor, *, channel: str, reason: str = "") -> Channel:
    """Remove a channel from public lists; games that know its name may still use it. Raises Forbidden, NotFound."""
    require(actor, Act.HIDE_CHANNEL)
    return _update(session, actor, Act.HIDE_CHANNEL, channel, reason, is_hidden=True)


def rename(session: Session, actor: Actor, *, channel: str, new_name: str, reason: str = "") -> Channel:
    """Rename a channel. Raises Forbidden, NotFound, Invalid and NameTaken (field `name`)."""
    require(actor, Act.RENAME_CHANNEL)
    return _update(session, actor, Act.RENAME_CHANNEL, channel, reason, new_name=new_name)


def describe(session: Session, actor: Actor, *, channel: str, description: str, reason: str = "") -> Channel:
    """Set a channel's description. Raises Forbidden, NotFound, Invalid (field `description`)."""
    require(actor, Act.DESCRIBE_CHANNEL)
    return _update(session, actor, Act.DESCRIBE_CHANNEL, channel, reason, description=description)


def find_state(session: Session, channel_id: int) -> ChannelState | None:
    """Return a channel's state; None if no moderator ever changed it."""
    return session.get(ChannelState, channel_id)


def list_states(session: Session) -> Sequence[ChannelState]:
    """Return the states of channels that are paused, slowed down or closed."""
    return session.scalars(
        select(ChannelState).where(ChannelState.is_paused | (ChannelState.slow_seconds > 0) | ChannelState.is_closed)
    ).all()


def form_of(state: ChannelState) -> dict[str, Any]:
    """Return a state as the audit trail stores it."""
    until = state.paused_until
    return {
        "paused": state.is_paused,
        "until": None if until is None else until.isoformat(timespec="seconds"),
        "slow_seconds": state.slow_seconds,
        "closed": state.is_closed,
    }


def _get_state(session: Session, channel: Channel) -> ChannelState:
    """Return the channel's state, locked until the commit. Create it if there is none."""
    # Lock the channel first, or two transactions could both insert its state.
    session.execute(select(Channel.id).where(Channel.id == channel.id).with_for_update())
    state = session.get(ChannelState, channel.id, populate_existing=True)
    if state is None:
        state = ChannelState(channel_id=channel.id)
        session.add(state)
        session.flush()
    return state


def _set_closed(session: Session, actor: Actor, act: Act, name: str, reason: str, *, is_closed: bool) -> ChannelState:
    target = channels.get_channel(session, name)
    state = _get_state(session, target)
    before = form_of(state)
    state.is_closed = is_closed
    _changed(session, actor, act, target, before, form_of(state), reason)
    return state


def _update(session: Session, actor: Actor, act: Act, name: str, reason: str, **change: Any) -> Channel:
    target = channels.get_channel(session, name)
    before = target.sync_payload()
    channels.change_channel(session, name=name, **change)
    audit.record(
        session,
        actor,
        act,
        _about(target),
        before=before,
        after=target.sync_payload(),
        reason=reason and reason_of(reason),
    )
    return target


def _changed(
    session: Session,
    actor: Actor,
    act: Act,
    target: Channel,
    before: dict[str, Any],
    after: dict[str, Any],
    reason: str,
) -> None:
    session.flush()
    changes.mark(session, Part.CHANNELS)
    audit.record(session, actor, act, _about(target), before=before, after=after, reason=reason)


def _about(channel: Channel) -> audit.Target:
    return audit.Target("channel", f"channel:{channel.id}", channel.name)
