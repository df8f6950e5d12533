"""Transfers of games: the owner offers a game, the receiver accepts it, and either may cancel before that."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from shared.errors import Conflict, Invalid, NotFound
from shared.models.game import Game
from shared.models.game_transfer import GameTransfer
from shared.models.user import User
from shared.services import games, users
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, may

FIELD = "username"


def offer_game(session: Session, actor: Actor, *, short_name: str, username: str) -> GameTransfer:
    """Offer a game to the account with this name. The game stays the owner's until the receiver accepts.

    Raises:
        NotFound: There is no such game, or the actor may not change it.
        Invalid: The receiver does not exist or owns the game already (field `username`).
        Conflict: The game is on offer already (field `username`).
    """
    game = games.get_own_game(session, actor, short_name=short_name)
    receiver = users.find_user_by_username(session, username)
    if receiver is None:
        raise Invalid("there is no account with this name", field=FIELD)
    if receiver.id == game.owner_id:
        raise Invalid("the game already belongs to this account", field=FIELD)
    transfer = GameTransfer(game_id=game.id, from_user_id=game.owner_id, to_user_id=receiver.id)
    try:
        with session.begin_nested():
            session.add(transfer)
    except IntegrityError:
        raise Conflict("the game has already been offered to somebody: cancel that offer first", field=FIELD) from None
    return transfer


def accept_game(session: Session, actor: Actor, *, short_name: str) -> GameTransfer:
    """Make the receiver the owner of a game. The credentials stay valid.

    Returns:
        The offer, which is deleted by now.

    Raises:
        NotFound: The actor has no such offer, or it was withdrawn.
        Conflict: The actor owns too many games.
    """
    transfer = _get_locked(session, short_name)
    game = transfer.game
    if not actor.is_user(transfer.to_user_id) or game.owner_id != transfer.from_user_id:
        raise _gone()
    if not may(actor, Act.MANAGE_GAMES):
        games.require_room_for_game(session, transfer.to_user_id)
    game.owner_id = transfer.to_user_id
    session.delete(transfer)
    session.flush()
    return transfer


def cancel_transfer(session: Session, actor: Actor, *, short_name: str) -> GameTransfer:
    """Cancel an offer. For both sides, and admins. Returns the offer, which is deleted by now. Raises NotFound."""
    transfer = _get_locked(session, short_name)
    is_party = actor.is_user(transfer.from_user_id) or actor.is_user(transfer.to_user_id)
    if not is_party and not may(actor, Act.MANAGE_GAMES):
        raise _gone()
    session.delete(transfer)
    session.flush()
    return transfer


def find_transfer(session: Session, game_id: int) -> GameTransfer | None:
    """Return the open offer of a game, or None."""
    return session.get(GameTransfer, game_id, options=[joinedload(GameTransfer.to_user)])


def list_offers_to(session: Session, user_id: int) -> list[GameTransfer]:
    """Return the open offers to an account, oldest first."""
    return list(
        session.scalars(
            select(GameTransfer)
            .where(GameTransfer.to_user_id == user_id)
            .options(joinedload(GameTransfer.game), joinedload(GameTransfer.from_user))
            .order_by(GameTransfer.created_at)
        )
    )


def _get_locked(session: Session, short_name: str) -> GameTransfer:
    """Return the offer of a game, locked until the commit, so that only the first of two answers counts."""
    game = games.find_game(session, short_name)
    transfer = None if game is None else session.get(GameTransfer, game.id, with_for_update=True)
    if transfer is None:
        raise _gone()
    # Load these while the row exists: a lazy load on the deleted object would open a transaction that nobody ends.
    _: tuple[Game, User, User] = (transfer.game, transfer.from_user, transfer.to_user)
    return transfer


def _gone() -> NotFound:
    return NotFound("this offer is no longer open: it was accepted, declined or cancelled")
