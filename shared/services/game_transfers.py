"""Games given to another owner: the one offers, the other accepts, either may call it off before."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from shared.errors import Conflict, Invalid, NotFound
from shared.models.game import Game
from shared.models.game_transfer import GameTransfer
from shared.models.user import User
from shared.services import games, users

FIELD = "username"


def offer_game(session: Session, *, actor_id: int, short_name: str, username: str) -> GameTransfer:
    """Offer a game to the account of this name. It stays the owner's until the other one accepts.

    Raises NotFound (also if the actor may not change the game), Invalid and Conflict with the field at fault.
    """
    game = games.get_own_game(session, actor_id=actor_id, short_name=short_name)
    receiver = users.find_user_by_username(session, username)
    if receiver is None:
        raise Invalid("there is no account of this name", field=FIELD)
    if receiver.id == game.owner_id:
        raise Invalid("the game belongs to this account already", field=FIELD)
    transfer = GameTransfer(game_id=game.id, from_user_id=game.owner_id, to_user_id=receiver.id)
    try:
        with session.begin_nested():
            session.add(transfer)
    except IntegrityError:
        raise Conflict("the game is offered to somebody already: take that back first", field=FIELD) from None
    return transfer


def accept_game(session: Session, *, actor_id: int, short_name: str) -> GameTransfer:
    """The receiver takes the game over; returns the offer as it was. The credentials stay as they are.

    Raises NotFound if no such offer stands any more, Conflict if the receiver has as many games as one may have.
    """
    transfer = _get_locked(session, short_name)
    game = transfer.game
    if transfer.to_user_id != actor_id or game.owner_id != transfer.from_user_id:
        raise _gone()
    owned = session.scalar(select(func.count()).select_from(Game).where(Game.owner_id == actor_id)) or 0
    if owned >= games.GAMES_AN_OWNER and not users.is_admin(session, actor_id):
        raise Conflict(f"an owner may have {games.GAMES_AN_OWNER} games at most")
    game.owner_id = actor_id
    session.delete(transfer)
    session.flush()
    return transfer


def cancel_transfer(session: Session, *, actor_id: int, short_name: str) -> GameTransfer:
    """Take an offer back (who may change the game), or decline it (who it is for). Raises NotFound."""
    transfer = _get_locked(session, short_name)
    if actor_id not in (transfer.from_user_id, transfer.to_user_id) and not users.is_admin(session, actor_id):
        raise _gone()
    session.delete(transfer)
    session.flush()
    return transfer


def find_transfer(session: Session, game_id: int) -> GameTransfer | None:
    """The offer of a game that stands now, or None."""
    return session.get(GameTransfer, game_id, options=[joinedload(GameTransfer.to_user)])


def list_offers_to(session: Session, user_id: int) -> list[GameTransfer]:
    """What is offered to an account, the oldest first."""
    return list(
        session.scalars(
            select(GameTransfer)
            .where(GameTransfer.to_user_id == user_id)
            .options(joinedload(GameTransfer.game), joinedload(GameTransfer.from_user))
            .order_by(GameTransfer.created_at)
        )
    )


def _get_locked(session: Session, short_name: str) -> GameTransfer:
    """The offer of a game, locked until the commit: of those who answer it at one moment, the first decides."""
    game = games.find_game(session, short_name)
    transfer = None if game is None else session.get(GameTransfer, game.id, with_for_update=True)
    if transfer is None:
        raise _gone()
    # Read while the row is there: what a deleted object loads later would open a transaction that nobody ends.
    _: tuple[Game, User, User] = (transfer.game, transfer.from_user, transfer.to_user)
    return transfer


def _gone() -> NotFound:
    return NotFound("this offer does not stand any more: it was accepted, declined or taken back")
