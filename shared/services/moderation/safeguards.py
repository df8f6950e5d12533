"""Raid protection and probation: what newcomers may do while moderators need time.

Raid protection is one act and ends by itself. While it is on, only approved characters, players of games older than a
day and accounts older than a day may speak, and nobody can register. Probation is a lasting setting for new accounts
and games: their lines may be slowed down, and links in them refused. Workers enforce both (`worker/moderation`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.db import utc_now
from shared.errors import Conflict, Invalid
from shared.models.channel import Channel
from shared.models.character import Character
from shared.models.game import Game
from shared.models.safeguards import ONLY_ROW, SafeguardSettings
from shared.models.user import User
from shared.services import history, raids
from shared.services.authority import audit, changes
from shared.services.authority.actors import Actor
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act, require
from shared.services.moderation.sanctions import reason_of

RAID_LONGEST_HOURS = 24 * 7
SETTLED_HOURS = 24
"""How old a game or an account must be to speak during a raid."""
PROBATION_LONGEST_HOURS = 24 * 30
SLOW_LONGEST_SECONDS = 3_600
_TARGET = audit.Target("network", "network", "the network")


@dataclass(frozen=True, slots=True)
class Safeguards:
    """The settings, with what workers need to know about newcomers.

    Attributes:
        young_games, young_users: When those were created that are younger than a day or the time of probation, by id.
        newest_game, newest_user: The greatest ids so far. Records with greater ids have been created since.
        approved: The approved characters of young games, as (game id, player key).
        known_users: Young users with an approved character.
    """

    raid_until: datetime | None = None
    probation_hours: int = 0
    slow_seconds: int = 0
    refuses_links: bool = False
    young_games: dict[int, datetime] = field(default_factory=dict)
    young_users: dict[int, datetime] = field(default_factory=dict)
    newest_game: int = 0
    newest_user: int = 0
    approved: frozenset[tuple[int, str]] = frozenset()
    known_users: frozenset[int] = frozenset()


def start_raid_protection(session: Session, actor: Actor, *, hours: int, reason: str) -> SafeguardSettings:
    """Switch raid protection on, and say so on every public channel. Switching it on again replaces the end.

    Raises Forbidden, Invalid (`hours`, `reason`).
    """
    require(actor, Act.RAID)
    reason = reason_of(reason)
    hours = raid_hours(hours)
    settings = _get_locked(session)
    before = _form_of(settings)
    settings.raid_until, settings.raid_reason = utc_now() + timedelta(hours=hours), reason
    _changed(session, actor, Act.RAID, before, settings, reason)
    _say_everywhere(
        session,
        f"Raid protection is on for {hours} hour{'' if hours == 1 else 's'}. Only approved characters,"
        f" and players of games and accounts older than a day, can speak. Reason: {reason}",
    )
    return settings


def end_raid_protection(session: Session, actor: Actor) -> SafeguardSettings:
    """Switch raid protection off before its end. Raises Forbidden, Conflict (it is not on)."""
    require(actor, Act.RAID_OVER)
    settings = _get_locked(session)
    if not settings.is_raid_at(utc_now()):
        raise Conflict("raid protection is not on")
    before = _form_of(settings)
    settings.raid_until, settings.raid_reason = None, ""
    _changed(session, actor, Act.RAID_OVER, before, settings, "")
    _say_everywhere(session, "Raid protection is over: everybody can speak again.")
    return settings


def set_probation(
    session: Session, actor: Actor, *, hours: int, slow_seconds: int, refuses_links: bool
) -> SafeguardSettings:
    """Set how new accounts and games are limited. 0 hours turns probation off.

    Raises Forbidden, Invalid (`hours`, `slow_seconds`).
    """
    require(actor, Act.SET_PROBATION)
    hours, slow_seconds = probation_hours(hours), probation_slow_seconds(slow_seconds)
    settings = _get_locked(session)
    before = _form_of(settings)
    settings.probation_hours = hours
    settings.probation_slow_seconds, settings.probation_refuses_links = slow_seconds, refuses_links
    _changed(session, actor, Act.SET_PROBATION, before, settings, "")
    return settings


def raid_hours(value: Any) -> int:
    """Return how long a raid's protection lasts. Raises Invalid."""
    return _within(value, 1, RAID_LONGEST_HOURS, field="hours", what="the hours")


def probation_hours(value: Any) -> int:
    """Return how long accounts and games count as new. Raises Invalid."""
    return _within(value, 0, PROBATION_LONGEST_HOURS, field="hours", what="the hours")


def probation_slow_seconds(value: Any) -> int:
    """Return the time between two lines of a new player. Raises Invalid."""
    return _within(value, 0, SLOW_LONGEST_SECONDS, field="slow_seconds", what="the seconds")


def _within(value: Any, low: int, high: int, *, field: str, what: str) -> int:
    if not isinstance(value, int) or not low <= value <= high:
        raise Invalid(f"{what} must be from {low} to {high:,}", field=field)
    return value


def read(session: Session, now: datetime) -> Safeguards:
    """Return what workers enforce. Reads nothing about newcomers while both safeguards are off."""
    settings = raids.get_settings(session)
    is_raid = settings.is_raid_at(now)
    if not is_raid and not settings.probation_hours:
        return Safeguards()
    cutoff = now - timedelta(hours=max(SETTLED_HOURS if is_raid else 0, settings.probation_hours))
    games = session.execute(select(Game.id, Game.created_at).where(Game.created_at > cutoff)).all()
    users = session.execute(select(User.id, User.created_at).where(User.created_at > cutoff)).all()
    approved = select(Character.game_id, Character.name_key, Character.user_id).where(Character.state == "approved")
    in_young_games = approved.join(Game, Game.id == Character.game_id).where(Game.created_at > cutoff)
    of_young_users = approved.join(User, User.id == Character.user_id).where(User.created_at > cutoff)
    return Safeguards(
        raid_until=settings.raid_until if is_raid else None,
        probation_hours=settings.probation_hours,
        slow_seconds=settings.probation_slow_seconds,
        refuses_links=settings.probation_refuses_links,
        young_games={game.id: game.created_at for game in games},
        young_users={user.id: user.created_at for user in users},
        newest_game=session.scalar(select(func.max(Game.id))) or 0,
        newest_user=session.scalar(select(func.max(User.id))) or 0,
        approved=frozenset((row.game_id, row.name_key) for row in session.execute(in_young_games)),
        known_users=frozenset(row.user_id for row in session.execute(of_young_users)),
    )


def _get_locked(session: Session) -> SafeguardSettings:
    """Return the settings, locked until the commit. The migration has created the row."""
    return session.scalars(
        select(SafeguardSettings)
        .where(SafeguardSettings.id == ONLY_ROW)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def _form_of(settings: SafeguardSettings) -> dict[str, Any]:
    """Return the settings as the audit trail stores them."""
    until = settings.raid_until
    return {
        "until": None if until is None else until.isoformat(timespec="seconds"),
        "hours": settings.probation_hours,
        "slow_seconds": settings.probation_slow_seconds,
        "refuses_links": settings.probation_refuses_links,
    }


def _changed(
    session: Session, actor: Actor, act: Act, before: dict[str, Any], settings: SafeguardSettings, reason: str
) -> None:
    session.flush()
    changes.mark(session, Part.SAFEGUARDS)
    audit.record(session, actor, act, _TARGET, before=before, after=_form_of(settings), reason=reason)


def _say_everywhere(session: Session, text: str) -> None:
    """Say something as `system` on every public channel."""
    channel_ids = session.scalars(select(Channel.id).where(~Channel.is_hidden).order_by(Channel.id)).all()
    history.say_as_system(session, channel_ids, text)
