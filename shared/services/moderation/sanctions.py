"""Sanctions: warnings, mutes and bans; lifting them, and taking either back.

A sanction ends by itself: whether it is in force is a question of the time alone. There is no silent one: whoever is
muted or banned is told so, why, and for how long.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session

from shared import peer_keys
from shared.bus import announce
from shared.db import utc_now
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.models.moderation import SANCTION_KINDS, Sanction
from shared.models.user import User
from shared.pagination import Page, paginate
from shared.services import channels, validation
from shared.services.account_sanctions import audit_form, in_force_at
from shared.services.authority import audit, changes
from shared.services.authority.actors import Actor
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act, require
from shared.services.moderation import targets
from shared.services.moderation.targets import Target
from shared.signals import PlayersWarned, SystemTell

LONGEST_SECONDS = 10 * 365 * 86_400
REASON_LONGEST = 500
DURATIONS = (600, 3_600, 86_400, 7 * 86_400, 30 * 86_400)
"""Seconds that forms offer."""
_LONGEST_FIRST = (Sanction.until.is_(None).desc(), Sanction.until.desc())


def sanction(
    session: Session,
    actor: Actor,
    *,
    kind: str,
    target_kind: str,
    target: str,
    reason: str,
    channel: str | None = None,
    seconds: int | None = None,
    report_id: int | None = None,
) -> Sanction:
    """Warn, mute or ban a player (`Bob@Game`), a game, a site user or an address (or CIDR network).

    channel: a channel's name; None or empty is every channel, and everything else that a ban shuts out of. seconds:
    how long; None is for good (a warning has no length). A warned player who is online is told at once.
    Raises Forbidden, NotFound (field `target`, `channel`), Invalid (fields `kind`, `target`, `reason`, `seconds`).
    """
    require(actor, Act.SANCTION)
    if kind not in SANCTION_KINDS:
        raise Invalid("choose warn, mute or ban", field="kind")
    found = targets.parse(session, target_kind, target)
    if kind == "warn" and target_kind == "address":
        raise Invalid("an address cannot be warned, only muted or banned", field="kind")
    _require_rank(session, actor, found)
    reason = reason_of(reason)
    if seconds is not None and not 1 <= seconds <= LONGEST_SECONDS:
        raise Invalid("the time must be from one second to ten years, or none for good", field="seconds")
    where = channels.find_channel(session, channel) if channel else None
    if channel and where is None:
        raise NotFound(f"there is no channel {channel}", field="channel")
    now = utc_now()
    made = Sanction(
        kind=kind,
        target_kind=found.kind,
        target=found.name,
        peer=found.peer,
        player_key=found.player_key,
        user_id=found.user_id,
        address=found.address,
        channel_id=where.id if where else None,
        channel=where.name if where else None,
        reason=reason,
        until=now + timedelta(seconds=seconds) if seconds is not None and kind != "warn" else None,
        created_at=now,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name,
        actor_role=actor.role,
        report_id=report_id,
    )
    session.add(made)
    session.flush()
    audit.record(session, actor, Act.SANCTION, found.for_audit, after=audit_form(made), reason=reason)
    if kind == "warn":
        _warn(session, found, made)
    else:
        changes.mark(session, Part.SANCTIONS)
    return made


def lift(session: Session, actor: Actor, *, sanction_id: int, reason: str) -> Sanction:
    """End a sanction that is in force. Raises Forbidden, NotFound, Conflict (it is over already), Invalid."""
    require(actor, Act.LIFT)
    found = _get_locked(session, sanction_id)
    require_other(session, actor, found)
    if found.state != "in force":
        raise Conflict(f"this sanction is {found.state} already")
    _end(session, actor, found, Act.LIFT, reason_of(reason), is_undone=False)
    return found


def undo(session: Session, actor: Actor, *, sanction_id: int, reason: str) -> Sanction:
    """Say that a sanction should never have been, whether or not it is over. Raises as `lift` does."""
    require(actor, Act.UNDO)
    found = _get_locked(session, sanction_id)
    require_other(session, actor, found)
    if found.is_undone:
        raise Conflict("this sanction is undone already")
    _end(session, actor, found, Act.UNDO, reason_of(reason), is_undone=True)
    return found


def restore(session: Session, actor: Actor, *, sanction_id: int, reason: str) -> Sanction:
    """Take a lift, or an undoing, back: the sanction stands again, until its old end. Raises as `lift` does."""
    require(actor, Act.RESTORE)
    found = _get_locked(session, sanction_id)
    require_other(session, actor, found)
    _require_rank(session, actor, target_of(found))
    if found.lifted_at is None:
        raise Conflict("this sanction was not lifted")
    reason = reason_of(reason)
    before = audit_form(found)
    found.lifted_at, found.lifted_by, found.lift_reason, found.is_undone = None, None, None, False
    session.flush()
    changes.mark(session, Part.SANCTIONS)
    about = target_of(found).for_audit
    audit.record(session, actor, Act.RESTORE, about, before=before, after=audit_form(found), reason=reason)
    return found


def end_by_appeal(session: Session, actor: Actor, *, sanction_id: int, reason: str) -> Sanction:
    """An appeal was granted: undo the sanction, unless it is undone already. For `appeals` alone."""
    found = _get_locked(session, sanction_id)
    if not found.is_undone:
        _end(session, actor, found, Act.UNDO, reason, is_undone=True)
    return found


def require_other(session: Session, actor: Actor, found: Sanction) -> None:
    """Nobody ends a sanction of their own, or of a game that they own; and what only admins could impose only they end.

    Raises Forbidden.
    """
    about = target_of(found)
    persons = _persons(session, about)
    is_own_game = about.kind == "game" and actor.kind == "user" and about.peer in targets.games_of(session, actor.id)
    if is_own_game or _is_oneself(actor, about, persons):
        raise Forbidden("nobody decides on a sanction of their own, or of a game of theirs")
    if any(user.role != "player" for user in persons) and not actor.is_above_moderators:
        raise Forbidden("only admins may decide on a sanction of a moderator or an admin")


def find_refusal(session: Session, actor: Actor, found: Sanction) -> Forbidden | None:
    """Why somebody may not end a sanction, or take that back; None if they may (`require_other`)."""
    try:
        require_other(session, actor, found)
    except Forbidden as refusal:
        return refusal
    return None


def for_admins_alone(session: Session, found: Iterable[Sanction]) -> set[int]:
    """The ids of those that no moderator may end: they are about a moderator or an admin."""
    return {one.id for one in found if any(user.role != "player" for user in _persons(session, target_of(one)))}


def get_sanction(session: Session, sanction_id: int) -> Sanction:
    """The sanction of this id. Raises NotFound."""
    found = session.get(Sanction, sanction_id)
    if found is None:
        raise NotFound("there is no such sanction")
    return found


def list_sanctions(
    session: Session, *, in_force: bool = True, search: str = "", page: int = 1, per_page: int = 50
) -> Page[Sanction]:
    """Sanctions, the newest first: those in force, or all there ever were. search: in targets and reasons."""
    statement = select(Sanction).order_by(Sanction.id.desc())
    if in_force:
        statement = statement.where(in_force_at(utc_now()))
    if wanted := search.strip():
        columns = (Sanction.target, Sanction.reason, Sanction.actor_name)
        statement = statement.where(or_(*(column.icontains(wanted, autoescape=True) for column in columns)))
    return paginate(session, statement, page=page, per_page=per_page)


def list_of_user(session: Session, user_id: int) -> list[Sanction]:
    """All sanctions of a person: of the account, of their name on Grapevine, of their characters. Newest first."""
    about = [Sanction.user_id == user_id]
    about += [
        and_(Sanction.peer == peer, Sanction.player_key == key) for peer, key in targets.players_of(session, user_id)
    ]
    return list(session.scalars(select(Sanction).where(or_(*about)).order_by(Sanction.id.desc()).limit(200)))


def list_of_game(session: Session, game_id: int) -> list[Sanction]:
    """All sanctions of a game and of its players, the newest first: what its owner may see."""
    return list(
        session.scalars(
            select(Sanction).where(Sanction.peer == peer_keys.of_game(game_id)).order_by(Sanction.id.desc()).limit(200)
        )
    )


def list_against_game(session: Session, game_id: int) -> list[Sanction]:
    """The mutes and bans in force of a game itself, not of its players: bans first, then those that last longest."""
    statement = select(Sanction).where(
        in_force_at(utc_now()), Sanction.target_kind == "game", Sanction.peer == peer_keys.of_game(game_id)
    )
    return list(session.scalars(statement.order_by(Sanction.kind, *_LONGEST_FIRST, Sanction.id)))


def concerns(session: Session, found: Sanction, user_id: int) -> bool:
    """True if a user may see the sanction and appeal it: it is about them, a character of theirs, or a game they own
    or one of its players."""
    if found.user_id == user_id or (found.peer, found.player_key) in targets.players_of(session, user_id):
        return True
    return found.peer is not None and found.peer in targets.games_of(session, user_id)


def find_site_ban(session: Session, user_id: int) -> Sanction | None:
    """The ban, of everything, that keeps a user from speaking on the site; None if there is none."""
    return _find_ban(session, Sanction.user_id == user_id)


def find_address_ban(session: Session, address: str) -> Sanction | None:
    """The ban, of everything, that an address is under; None if there is none."""
    return _find_ban(session, Sanction.address.in_(targets.networks_of(address)))


def _find_ban(session: Session, whose: ColumnElement[bool]) -> Sanction | None:
    """The one that lasts longest."""
    statement = select(Sanction).where(
        in_force_at(utc_now()), Sanction.kind == "ban", Sanction.channel_id.is_(None), whose
    )
    return session.scalar(statement.order_by(*_LONGEST_FIRST).limit(1))


def in_force_rows(now: datetime) -> Select[*tuple[Any, ...]]:
    """What workers hold of each sanction in force, as rows: whole records would be slow to read by the thousand."""
    return select(
        Sanction.id,
        Sanction.kind,
        Sanction.target_kind,
        Sanction.peer,
        Sanction.player_key,
        Sanction.user_id,
        Sanction.address,
        Sanction.channel_id,
        Sanction.reason,
        Sanction.until,
    ).where(in_force_at(now))


def target_of(found: Sanction) -> Target:
    """Whom a sanction is about."""
    return Target(
        found.target_kind,
        found.target,
        peer=found.peer,
        player_key=found.player_key,
        user_id=found.user_id,
        address=found.address,
    )


def reason_of(value: object) -> str:
    """A reason: one line, 500 characters at most, never empty. Raises Invalid (field `reason`)."""
    return validation.line(value, field="reason", longest=REASON_LONGEST, what="the reason")


def _end(session: Session, actor: Actor, found: Sanction, act: Act, reason: str, *, is_undone: bool) -> None:
    before = audit_form(found)
    found.lifted_at, found.lifted_by, found.lift_reason = utc_now(), actor.name, reason
    found.is_undone = is_undone
    session.flush()
    changes.mark(session, Part.SANCTIONS)
    about = target_of(found).for_audit
    audit.record(session, actor, act, about, before=before, after=audit_form(found), reason=reason)


def _get_locked(session: Session, sanction_id: int) -> Sanction:
    found = session.scalar(
        select(Sanction).where(Sanction.id == sanction_id).with_for_update().execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound("there is no such sanction")
    return found


def _persons(session: Session, about: Target) -> list[User]:
    """The users behind a target, as far as the site knows them."""
    if about.kind == "user" and about.user_id is not None:
        user: User | None = session.get(User, about.user_id)
    elif about.kind == "player":
        user = targets.person_of(session, about.peer, about.player_key)
    else:
        user = None
    return [] if user is None else [user]


def _is_oneself(actor: Actor, about: Target, persons: list[User]) -> bool:
    """True for the actor's account and characters, and for an application and its players."""
    if actor.kind == "application":
        return about.peer == actor.key
    return actor.kind == "user" and any(actor.id == user.id for user in persons)


def _require_rank(session: Session, actor: Actor, about: Target) -> None:
    """Moderators and applications may not sanction moderators and admins; nobody themselves."""
    persons = _persons(session, about)
    if _is_oneself(actor, about, persons):
        raise Forbidden("nobody sanctions themselves", field="target")
    for user in persons:
        if user.role != "player" and not actor.is_above_moderators:
            raise Forbidden("only admins may sanction a moderator or an admin", field="target")


def _warn(session: Session, about: Target, made: Sanction) -> None:
    """Let workers tell a warned player who is online; others find it on their page."""
    players = [(about.peer, about.player_key)] if about.peer and about.player_key else []
    if about.user_id is not None:
        players = [*targets.players_of(session, about.user_id)]
    text = f"A moderator warns you: {made.reason}"
    tells = [SystemTell(peer, key, text) for peer, key in players]
    if tells:
        announce(session, PlayersWarned(tells))
