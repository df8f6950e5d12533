"""Owners' mutes: players and games whose lines and tells a game does not want, as patterns of `name@game`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.errors import Conflict, NotFound
from shared.models.moderation import GameMute
from shared.services import games
from shared.services.authority import changes
from shared.services.authority.actors import Actor
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act, require
from shared.services.moderation import targets

MUTES_PER_GAME = 100


def add_mute(session: Session, actor: Actor, *, short_name: str, pattern: str) -> GameMute:
    """Keep the lines and tells of matching players from a game.

    Args:
        pattern: `Bob@Game`, `*@Game`, `spam*@*` …

    Raises:
        Forbidden: The actor is neither an owner nor an admin.
        NotFound: The game does not exist or is somebody else's, or the pattern names no game.
        Invalid, Conflict: With the field `pattern`.
    """
    require(actor, Act.MUTE_FOR_GAME)
    game = games.get_own_game(session, actor, short_name=short_name)
    pattern = targets.pattern(session, pattern)
    count = session.scalar(select(func.count()).select_from(GameMute).where(GameMute.game_id == game.id)) or 0
    if count >= MUTES_PER_GAME:
        raise Conflict(f"a game may have at most {MUTES_PER_GAME} mutes", field="pattern")
    mute = GameMute(game_id=game.id, pattern=pattern, created_by_id=actor.id if actor.kind == "user" else None)
    try:
        with session.begin_nested():
            session.add(mute)
    except IntegrityError:
        raise Conflict(f"{pattern} is already muted", field="pattern") from None
    changes.mark(session, Part.MUTES)
    return mute


def delete_mute(session: Session, actor: Actor, *, mute_id: int) -> GameMute:
    """Delete a mute. Raises Forbidden, NotFound (also for somebody else's game)."""
    require(actor, Act.MUTE_FOR_GAME)
    mute = session.get(GameMute, mute_id)
    if mute is None:
        raise NotFound("there is no such mute")
    games.get_own_game(session, actor, short_name=mute.game.short_name)
    session.delete(mute)
    session.flush()
    changes.mark(session, Part.MUTES)
    return mute


def list_mutes(session: Session, game_id: int) -> Sequence[GameMute]:
    """Return the mutes of a game, by pattern."""
    return session.scalars(select(GameMute).where(GameMute.game_id == game_id).order_by(GameMute.pattern)).all()
