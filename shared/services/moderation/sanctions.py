"""Sanctions: impose warnings, mutes and bans, lift them, undo them, and restore what was lifted.

Whether a sanction is in force depends on the time alone, so nothing has to run for it to end. No sanction is silent:
people always learn that they are muted or banned, why, and for how long.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session

from shared import peer_keys, validation
from shared.bus import announce
from shared.db import utc_now
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.models.moderation import SANCTION_KINDS, Sanction
from shared.models.user import User
from shared.pagination import Page, paginate
from shared.services import channels, characters
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
"""The durations that forms offer, in seconds."""
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
    """Warn, mute or ban a player (`Bob@Game`), a game, a site user, or an address or CIDR network.

    Warned players who are online receive the warning at once.

    Args:
        channel: A channel's name. None or empty: all channels, and everything else that a ban covers.
        seconds: How long; None is forever. Ignored for warnings, which have no length.

    Raises Forbidden, NotFound (field `target` or `channel`), Invalid (fields `kind`, `target`, `reason`, `seconds`).
    """
    require(actor, Act.SANCTION)
    if kind not in SANCTION_KINDS:
        raise Invalid("choose warn, mute or ban", field="kind")
    about = targets.parse(session, target_kind, target)
    if kind == "warn" and target_kind == "address":
        raise Invalid("an address cannot be warned, only muted or banned", field="kind")
    _require_rank(session, actor, about)
    reason = reason_of(reason)
    if seconds is not None and not 1 <= seconds <= LONGEST_SECONDS:
        raise Invalid("the time must be from one second to ten years, or empty for no end", field="seconds")
    on_channel = channels.find_channel(session, channel) if channel else None
    if channel and on_channel is None:
        raise NotFound(f"there is no channel {channel}", field="channel")
    now = utc_now()
    imposed = Sanction(
        kind=kind,
        target_kind=about.kind,
        target=about.name,
        peer=about.peer,
        player_key=about.player_key,
        user_id=about.user_id,
        address=about.address,
        channel_id=on_channel.id if on_channel else None,
        channel=on_channel.name if on_channel else None,
        reason=reason,
        until=now + timedelta(seconds=seconds) if seconds is not None and kind != "warn" else None,
        created_at=now,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name,
        actor_role=actor.role,
        report_id=report_id,
    )
    session.add(imposed)
    session.flush()
    audit.record(session, actor, Act.SANCTION, about.for_audit, after=audit_form(imposed), reason=reason)
    if kind == "warn":
        _warn(session, about, imposed)
    else:
        changes.mark(session, Part.SANCTIONS)
    return imposed


def lift(session: Session, actor: Actor, *, sanction_id: int, reason: str) -> Sanction:
    """End a sanction that is in force. Raises Forbidden, NotFound, Conflict (it is over), Invalid."""
    require(actor, Act.LIFT)
    sanction = _get_locked(session, sanction_id)
    require_other(session, actor, sanction)
    if sanction.state != "in force":
        raise Conflict(f"this sanction is already {sanction.state}")
    _end(session, actor, sanction, Act.LIFT, reason_of(reason), is_undone=False)
    return sanction


def undo(session: Session, actor: Actor, *, sanction_id: int, reason: str) -> Sanction:
    """Mark a sanction as a mistake, whether or not it is over. Raises what `lift` raises."""
    require(actor, Act.UNDO)
    sanction = _get_locked(session, sanction_id)
    require_other(session, actor, sanction)
    if sanction.is_undone:
        raise Conflict("this sanction has already been undone")
    _end(session, actor, sanction, Act.UNDO, reason_of(reason), is_undone=True)
    return sanction


def restore(session: Session, actor: Actor, *, sanction_id: int, reason: str) -> Sanction:
    """Put a lifted or undone sanction back in force until its original end. Raises what `lift` raises."""
    require(actor, Act.RESTORE)
    sanction = _get_locked(session, sanction_id)
    require_other(session, actor, sanction)
    _require_rank(session, actor, target_of(sanction))
    if sanction.lifted_at is None:
        raise Conflict("this sanction was not lifted")
    reason = reason_of(reason)
    before = audit_form(sanction)
    sanction.lifted_at, sanction.lifted_by, sanction.lift_reason, sanction.is_undone = None, None, None, False
    session.flush()
    changes.mark(session, Part.SANCTIONS)
    about = target_of(sanction).for_audit
    audit.record(session, actor, Act.RESTORE, about, before=before, after=audit_form(sanction), reason=reason)
    return sanction


def end_by_appeal(session: Session, actor: Actor, *, sanction_id: int, reason: str) -> Sanction:
    """Undo a sanction after its appeal was granted, unless it is undone already. Only for `appeals`."""
    sanction = _get_locked(session, sanction_id)
    if not sanction.is_undone:
        _end(session, actor, sanction, Act.UNDO, reason, is_undone=True)
    return sanction


def require_other(session: Session, actor: Actor, sanction: Sanction) -> None:
    """Raise Forbidden if the actor may not end this sanction.

    Nobody may end a sanction against themselves or a game of theirs, and only admins may end what only they may impose.
    """
    about = target_of(sanction)
    persons = _persons(session, about)
    is_own_game = about.kind == "game" and actor.kind == "user" and about.peer in targets.games_of(session, actor.id)
    if is_own_game or _is_oneself(actor, about, persons):
        raise Forbidden("you cannot decide on a sanction against yourself or a game of yours")
    if any(user.role != "player" for user in persons) and not actor.is_above_moderators:
        raise Forbidden("only admins may decide on a sanction of a moderator or an admin")
    if targets.is_wide_network(about) and not actor.is_above_moderators:
        raise Forbidden("only admins may decide on a sanction of a network this wide")


def find_refusal(session: Session, actor: Actor, sanction: Sanction) -> Forbidden | None:
    """Return why the actor may not end or restore a sanction; None if they may. See `require_other`."""
    try:
        require_other(session, actor, sanction)
    except Forbidden as refusal:
        return refusal
    return None


def for_admins_alone(session: Session, sanctions: Iterable[Sanction]) -> set[int]:
    """Return the ids of sanctions that only admins may end: those against moderators, admins and wide networks."""
    return {
        sanction.id
        for sanction in sanctions
        if targets.is_wide_network(about := target_of(sanction))
        or any(user.role != "player" for user in _persons(session, about))
    }


def get_sanction(session: Session, sanction_id: int) -> Sanction:
    """Return the sanction with this id. Raises NotFound."""
    sanction = session.get(Sanction, sanction_id)
    if sanction is None:
        raise NotFound("there is no such sanction")
    return sanction


def list_sanctions(
    session: Session, *, in_force: bool = True, search: str = "", page: int = 1, per_page: int = 50
) -> Page[Sanction]:
    """Return sanctions, newest first: those in force, or all. `search` looks at targets, reasons, actors."""
    statement = select(Sanction).order_by(Sanction.id.desc())
    if in_force:
        statement = statement.where(in_force_at(utc_now()))
    if text := search.strip():
        columns = (Sanction.target, Sanction.reason, Sanction.actor_name)
        statement = statement.where(or_(*(column.icontains(text, autoescape=True) for column in columns)))
    return paginate(session, statement, page=page, per_page=per_page)


def list_of_user(session: Session, user_id: int) -> list[Sanction]:
    """Return all sanctions against a person, newest first: the account, its name on Grapevine, its characters."""
    about = [Sanction.user_id == user_id]
    about += [
        and_(Sanction.peer == peer, Sanction.player_key == key) for peer, key in characters.players_of(session, user_id)
    ]
    return list(session.scalars(select(Sanction).where(or_(*about)).order_by(Sanction.id.desc()).limit(200)))


def list_of_game(session: Session, game_id: int) -> list[Sanction]:
    """Return all sanctions against a game and its players, newest first. Its owner may see these."""
    return list(
        session.scalars(
            select(Sanction).where(Sanction.peer == peer_keys.of_game(game_id)).order_by(Sanction.id.desc()).limit(200)
        )
    )


def list_against_game(session: Session, game_id: int) -> list[Sanction]:
    """Return the mutes and bans in force against a game itself: bans first, then by length, longest first."""
    statement = select(Sanction).where(
        in_force_at(utc_now()), Sanction.target_kind == "game", Sanction.peer == peer_keys.of_game(game_id)
    )
    return list(session.scalars(statement.order_by(Sanction.kind, *_LONGEST_FIRST, Sanction.id)))


def concerns(session: Session, sanction: Sanction, user_id: int) -> bool:
    """Return True if a user may see and appeal a sanction: it is against them, a character, a game of theirs or its
    players."""
    if sanction.user_id == user_id or (sanction.peer, sanction.player_key) in characters.players_of(session, user_id):
        return True
    return sanction.peer is not None and sanction.peer in targets.games_of(session, user_id)


def find_site_ban(session: Session, user_id: int) -> Sanction | None:
    """Return the longest ban from everything that is in force against a user, or None."""
    return _find_ban(session, Sanction.user_id == user_id)


def find_address_ban(session: Session, address: str) -> Sanction | None:
    """Return the longest ban from everything that is in force against an address, or None."""
    return _find_ban(session, Sanction.address.in_(targets.networks_of(address)))


def _find_ban(session: Session, whose: ColumnElement[bool]) -> Sanction | None:
    statement = select(Sanction).where(
        in_force_at(utc_now()), Sanction.kind == "ban", Sanction.channel_id.is_(None), whose
    )
    return session.scalar(statement.order_by(*_LONGEST_FIRST).limit(1))


def in_force_rows(now: datetime) -> Select[*tuple[Any, ...]]:
    """Return the SELECT of what workers need of each sanction in force. Loading thousands of records would be slow."""
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


def target_of(sanction: Sanction) -> Target:
    """Return whom a sanction is against."""
    return Target(
        sanction.target_kind,
        sanction.target,
        peer=sanction.peer,
        player_key=sanction.player_key,
        user_id=sanction.user_id,
        address=sanction.address,
    )


def reason_of(value: object) -> str:
    """Return a cleaned reason: one line of 1 to 500 characters. Raises Invalid (field `reason`)."""
    return validation.line(value, field="reason", longest=REASON_LONGEST, what="the reason")


def _end(session: Session, actor: Actor, sanction: Sanction, act: Act, reason: str, *, is_undone: bool) -> None:
    before = audit_form(sanction)
    sanction.lifted_at, sanction.lifted_by, sanction.lift_reason = utc_now(), actor.name, reason
    sanction.is_undone = is_undone
    session.flush()
    changes.mark(session, Part.SANCTIONS)
    about = target_of(sanction).for_audit
    audit.record(session, actor, act, about, before=before, after=audit_form(sanction), reason=reason)


def _get_locked(session: Session, sanction_id: int) -> Sanction:
    sanction = session.scalar(
        select(Sanction).where(Sanction.id == sanction_id).with_for_update().execution_options(populate_existing=True)
    )
    if sanction is None:
        raise NotFound("there is no such sanction")
    return sanction


def _persons(session: Session, about: Target) -> list[User]:
    """Return the user behind a target, if the site knows them, as a list."""
    if about.kind == "user" and about.user_id is not None:
        user: User | None = session.get(User, about.user_id)
    elif about.kind == "player":
        user = targets.person_of(session, about.peer, about.player_key)
    else:
        user = None
    return [] if user is None else [user]


def _is_oneself(actor: Actor, about: Target, persons: list[User]) -> bool:
    """Return True if the target is the actor's account or character, or the acting application or its players."""
    if actor.kind == "application":
        return about.peer == actor.key
    return actor.kind == "user" and any(actor.id == user.id for user in persons)


def _require_rank(session: Session, actor: Actor, about: Target) -> None:
    """Raise Forbidden if the actor is the target, or if only admins may sanction the target."""
    persons = _persons(session, about)
    if _is_oneself(actor, about, persons):
        raise Forbidden("you cannot sanction yourself", field="target")
    for user in persons:
        if user.role != "player" and not actor.is_above_moderators:
            raise Forbidden("only admins may sanction a moderator or an admin", field="target")
    if targets.is_wide_network(about) and not actor.is_above_moderators:
        raise Forbidden("only admins may sanction networks wider than /24, or /48 for IPv6", field="target")


def _warn(session: Session, about: Target, sanction: Sanction) -> None:
    """Have workers tell the warned player if they are online. Others see the warning on their page."""
    players = [(about.peer, about.player_key)] if about.peer and about.player_key else []
    if about.user_id is not None:
        players = [*characters.players_of(session, about.user_id)]
    text = f"A moderator warns you: {sanction.reason}"
    tells = [SystemTell(peer, key, text) for peer, key in players]
    if tells:
        announce(session, PlayersWarned(tells))
