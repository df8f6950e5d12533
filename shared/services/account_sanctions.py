"""What accounts and characters must know about sanctions. Imposing and ending them is `moderation/sanctions.py`.

This module is outside `moderation/` because deleting an account or a character must respect the sanctions in force.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from shared import peer_keys
from shared.db import utc_now
from shared.models.character import Character
from shared.models.moderation import Sanction
from shared.services.authority import audit, changes
from shared.services.authority.actors import OPERATOR
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act


def in_force_at(now: datetime) -> Any:
    """Return the SQL condition for sanctions in force: not lifted, not over, and not warnings."""
    return and_(
        Sanction.lifted_at.is_(None), Sanction.kind != "warn", or_(Sanction.until.is_(None), Sanction.until > now)
    )


def is_sanctioned(session: Session, user_id: int) -> bool:
    """Return whether a mute or ban of this account, and so of all its characters, is in force."""
    query = select(Sanction.id).where(in_force_at(utc_now()), Sanction.user_id == user_id).limit(1)
    return session.scalar(query) is not None


def move_to_characters(session: Session, user_id: int) -> None:
    """Copy an account's sanctions in force to the names of its characters. Called before the account is deleted.

    Otherwise deleting the account would end the sanctions. Moderators lift the copies like any other sanction.
    """
    sanctions = session.scalars(select(Sanction).where(in_force_at(utc_now()), Sanction.user_id == user_id)).all()
    if not sanctions:
        return
    approved = select(Character).where(Character.user_id == user_id, Character.state == "approved")
    for character in session.scalars(approved):
        for sanction in sanctions:
            copy = Sanction(
                kind=sanction.kind,
                target_kind="player",
                target=f"{character.name}@{character.game.short_name}",
                peer=peer_keys.of_game(character.game_id),
                player_key=character.name_key,
                channel_id=sanction.channel_id,
                channel=sanction.channel,
                reason=sanction.reason,
                until=sanction.until,
                actor_kind=sanction.actor_kind,
                actor_id=sanction.actor_id,
                actor_name=sanction.actor_name,
                actor_role=sanction.actor_role,
                report_id=sanction.report_id,
            )
            session.add(copy)
            session.flush()
            target = audit.Target("player", f"{copy.peer}/{copy.player_key}", copy.target)
            audit.record(session, OPERATOR, Act.SANCTION, target, after=audit_form(copy), reason=copy.reason)
    changes.mark(session, Part.SANCTIONS)


def audit_form(sanction: Sanction) -> dict[str, Any]:
    """Return a sanction as the audit trail stores it."""
    return {
        "id": sanction.id,
        "kind": sanction.kind,
        "channel": sanction.channel,
        "until": None if sanction.until is None else sanction.until.isoformat(timespec="seconds"),
        "state": sanction.state,
    }
