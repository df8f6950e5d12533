"""Owners' mutes: players and games that a game does not want to hear, by patterns of `name@game`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.errors import Conflict, NotFound
from shared.models.moderation import GameMute
from shared.services import games
from shared.services.authority import changes
from shared.services.authority.actors import Actor, Role
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act, require
from shared.services.moderation import targets

MUTES_A_GAME = 100


def add_mute(session: Session, actor: Actor, *, short_name: str, pattern: str) -> GameMute:
    """Let a game hear nothing of players that fit (`Bob@Game`, `*@Game`, `spam*@*`): neither lines nor tells.

    Raises Forbidden, NotFound (also another owner's game; a pattern of no game), Invalid and Conflict (`pattern`).
    """
    require(actor, Act.MUTE_FOR_GAME)
    game = games.get_own_game(session, actor_id=_as_owner(actor), short_name=short_name)
    pattern = targets.pattern(session, pattern)
    if (session.scalar(select(func.count()).select_from(GameMute).where(GameMute.game_id == game.id)) or 0) >= (
        MUTES_A_GAME
    ):
        raise Conflict(f"a game may have {MUTES_A_GAME} mutes at most", field="pattern")
    made = GameMute(game_id=game.id, pattern=pattern, created_by_id=actor.id if actor.kind == "user" else None)
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError:
        raise Conflict(f"{pattern} is muted already", field="pattern") from None
    changes.mark(session, Part.MUTES)
    return made


def delete_mute(session: Session, actor: Actor, *, mute_id: int) -> GameMute:
    """Hear them again. Raises Forbidden, NotFound (also of another owner's game)."""
    require(actor, Act.MUTE_FOR_GAME)
    found = session.get(GameMute, mute_id)
    if found is None:
        raise NotFound("there is no such mute")
    games.get_own_game(session, actor_id=_as_owner(actor), short_name=found.game.short_name)
    session.delete(found)
    session.flush()
    changes.mark(session, Part.MUTES)
    return found


def list_mutes(session: Session, game_id: int) -> Sequence[GameMute]:
    """The mutes of a game, by pattern."""
    return session.scalars(select(GameMute).where(GameMute.game_id == game_id).order_by(GameMute.pattern)).all()


def _as_owner(actor: Actor) -> int | None:
    """The actor as the services of games know one; None is the operator."""
    return None if Role.OPERATOR in actor.roles else actor.id
