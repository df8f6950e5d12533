"""What people do with their own account: verify the address, change email and password, privacy, delete it.

Links in mails carry a `mark`: a digest of the account's state when the mail was written. Using the link, or changing
the password or the address, changes the mark, so each link works once.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import validation
from shared.bus import announce
from shared.errors import Conflict, Forbidden, InvalidCredentials, NotFound
from shared.models.application_request import ApplicationRequest
from shared.models.channel import Channel
from shared.models.character import Character
from shared.models.game import Game
from shared.models.game_transfer import GameTransfer
from shared.models.reserved_name import ReservedUsername
from shared.models.user import User
from shared.services import account_sanctions, users
from shared.services.authority import audit, changes
from shared.services.authority.actors import Actor
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act, require
from shared.services.oauth import revocation
from shared.signals import AccountChanged

RESETS_PER_MAIL = 5
ABANDONED_BATCH = 500


class LinkUsed(NotFound):
    """The link in a mail no longer works."""

    code = "link-used"


def get_account(session: Session, user_id: int) -> User:
    """Return the account with this id. Raises NotFound."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("there is no such account")
    return user


def find_verified_holder(session: Session, email: str, *, except_id: int | None = None) -> User | None:
    """Return the account that has proved to own this address, or None. Ignores the account `except_id`."""
    holder = users.find_holder(session, email)
    return holder if holder is not None and holder.is_verified and holder.id != except_id else None


def list_resettable(session: Session, email: str) -> list[User]:
    """Return the accounts whose passwords a mail to this address may reset.

    That is the verified holder alone, or else the holder and the newest accounts that gave the address, at most
    RESETS_PER_MAIL.
    """
    holder = users.find_holder(session, email)
    if holder is not None and holder.is_verified:
        return [holder]
    claimants = users.list_claimants(session, email, limit=RESETS_PER_MAIL)
    return [*([holder] if holder else []), *claimants][:RESETS_PER_MAIL]


def mark_of(user: User) -> str:
    """Return a digest that changes with everything that should make the account's mailed links invalid."""
    parts = (user.uid, user.address_key, str(user.is_verified), user.password_hash)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def get_linked(session: Session, *, user_id: int, mark: str, email: str | None = None) -> User:
    """Return the account of a link that still works, or that has verified `email` already. Raises LinkUsed."""
    user = session.get(User, user_id)
    if user is None:
        raise _deleted()
    is_verified = email is not None and user.is_verified and user.email == email
    is_current = email is None or email in (user.email, user.pending_email)
    if not is_verified and (mark_of(user) != mark or not is_current):
        raise _link_used()
    return user


def verify_email(session: Session, *, user_id: int, email: str, mark: str) -> User:
    """Make `email` the account's verified address, after its person followed the link in a mail.

    From then on nobody else may sign in with the address: an account that gave it without proof loses its hold.
    Following the link twice does no harm. The mark is the permission.

    Raises LinkUsed, Conflict (another account proved the address first).
    """
    user = _get_locked(session, user_id)
    if user.is_verified and user.email == email:
        return user
    if mark_of(user) != mark or email not in (user.email, user.pending_email):
        raise _link_used()
    _hold(session, user, email)
    return user


def reset_password(session: Session, *, user_id: int, email: str, mark: str, new: str) -> User:
    """Set a new password, after the account's person followed the link in a mail. The mark is the permission.

    Ends all sessions, and verifies the address unless another account has proved it.

    Raises LinkUsed, Invalid (field `password`).
    """
    new_hash = users.hash_password(new)
    user = _get_locked(session, user_id)
    if mark_of(user) != mark or user.address_key != validation.address_key(email):
        raise _link_used()
    user.password_hash = new_hash
    revocation.revoke_of_user(session, user.id)
    _end_sessions(session, user)
    if not user.is_verified and find_verified_holder(session, user.email, except_id=user.id) is None:
        _hold(session, user, user.email)
    return user


def set_password(session: Session, actor: Actor, *, username: str, new: str) -> User:
    """Set an account's password and end all its sessions. For the operator. Raises Forbidden, NotFound, Invalid."""
    require(actor, Act.SET_PASSWORD)
    new_hash = users.hash_password(new)
    user = users.get_user_by_username(session, username)
    user.password_hash = new_hash
    revocation.revoke_of_user(session, user.id)
    _end_sessions(session, user)
    audit.record(session, actor, Act.SET_PASSWORD, audit.Target("user", f"user:{user.id}", user.username))
    return user


def change_password(session: Session, actor: Actor, *, current: str, new: str) -> User:
    """Change the actor's password and end all sessions. Raises Forbidden, InvalidCredentials, Invalid."""
    new_hash = users.hash_password(new)
    user = _get_locked(session, actor.require_account())
    _confirm(user, current)
    user.password_hash = new_hash
    revocation.revoke_of_user(session, user.id)
    _end_sessions(session, user)
    return user


def ask_for_email(session: Session, actor: Actor, *, password: str, email: str) -> User:
    """Store the address that the actor wants as `pending_email`, until the link in a mail confirms it.

    Replaces an earlier pending address. Does not reveal whether another account has the address.

    Raises Forbidden, InvalidCredentials, Invalid, Conflict (it is the account's address already).
    """
    email = validation.email(email)
    user = _get_locked(session, actor.require_account())
    _confirm(user, password)
    if user.is_verified and user.email == email:
        raise Conflict("this is already your address", field="email")
    user.pending_email = email
    return user


def cancel_email(session: Session, actor: Actor) -> None:
    """Drop the actor's pending address, so that the link in the mail to it does nothing. Raises Forbidden."""
    _get_locked(session, actor.require_account()).pending_email = None


def end_sessions(session: Session, actor: Actor) -> User:
    """Sign the actor out everywhere. Raises Forbidden, NotFound."""
    user = get_account(session, actor.require_account())
    _end_sessions(session, user)
    return user


def set_privacy(session: Session, actor: Actor, *, is_profile_hidden: bool, is_online_hidden: bool) -> None:
    """Set what others may see of the actor. Raises Forbidden, NotFound."""
    user = get_account(session, actor.require_account())
    user.is_profile_hidden = is_profile_hidden
    user.is_online_hidden = is_online_hidden
    _announce_change(session, user.id)


def replace_registration_key(session: Session, actor: Actor) -> None:
    """Replace the actor's registration key; the old one registers nothing. Raises Forbidden."""
    _get_locked(session, actor.require_account()).registration_key = str(uuid.uuid4())


def delete_account(session: Session, actor: Actor, *, password: str) -> None:
    """Delete the actor's account and characters.

    The username stays reserved, proposed channels stay, and sanctions in force move to the characters' names.

    Raises InvalidCredentials, Conflict (it owns games), Forbidden (the last admin, or no account).
    """
    user = _get_locked(session, actor.require_account())
    _confirm(user, password)
    if session.scalar(select(Game.id).where(Game.owner_id == user.id).limit(1)):
        raise Conflict("you have games on the network: delete them first")
    if user.role == "admin":
        admins = session.scalars(select(User.id).where(User.role == "admin").with_for_update()).all()
        if len(admins) <= 1:
            raise Forbidden("you are the last admin: make somebody else an admin first")
    account_sanctions.move_to_characters(session, user.id)
    session.add(ReservedUsername(key=user.username.lower()))
    _announce_change(session, user.id)
    session.delete(user)
    changes.mark(session, Part.PEOPLE)
    try:
        session.flush()
    except IntegrityError:  # a game was registered at the same moment
        raise Conflict("you have games on the network: delete them first") from None


def note_return(session: Session, *, user_id: int, at: datetime) -> None:
    """Store when somebody first came back after registering. Later calls change nothing."""
    user = session.get(User, user_id)
    if user is not None and user.returned_at is None:
        user.returned_at = at


def remove_abandoned(session: Session, *, before: datetime) -> int:
    """Delete accounts that were registered before a moment and never used. Return how many.

    Never used: nobody came back, the address was not verified, and there is no game, character, channel or request. The
    usernames are free again. At most ABANDONED_BATCH at a time.
    """
    abandoned = session.scalars(
        select(User)
        .where(User.created_at < before, User.returned_at.is_(None), User.role == "player")
        .where(~User.is_verified, User.email_key == User.uid)
        .where(
            ~select(Game.id).where(Game.owner_id == User.id).exists(),
            ~select(Character.id).where(Character.user_id == User.id).exists(),
            ~select(Channel.id).where(Channel.proposed_by_id == User.id).exists(),
            ~select(ApplicationRequest.id).where(ApplicationRequest.user_id == User.id).exists(),
            ~select(GameTransfer.game_id).where(GameTransfer.to_user_id == User.id).exists(),
        )
        .order_by(User.id)
        .limit(ABANDONED_BATCH)
        .with_for_update(of=User)
    ).all()
    removed = 0
    for user in abandoned:
        try:
            with session.begin_nested():
                session.delete(user)
            removed += 1
        except IntegrityError:  # it got a game or the like at the same moment
            continue
    return removed


def _get_locked(session: Session, user_id: int) -> User:
    """Return the account, locked until the commit, as it is now. Raises LinkUsed if it was deleted."""
    user = session.scalar(
        select(User).where(User.id == user_id).with_for_update().execution_options(populate_existing=True)
    )
    if user is None:
        raise _deleted()
    return user


def _deleted() -> LinkUsed:
    return LinkUsed("this account no longer exists")


def _link_used() -> LinkUsed:
    return LinkUsed("this link no longer works: it was used, or the account has changed since")


def _confirm(user: User, password: str) -> None:
    """Check the password again, before a change that could lock the account's person out. Raises InvalidCredentials.

    Callers must hold the account's lock: otherwise a password that is being changed would still count.
    """
    if not users.password_matches(user, password):
        raise InvalidCredentials("this is not your password", field="current_password")


def _end_sessions(session: Session, user: User) -> None:
    user.session_token = str(uuid.uuid4())
    _announce_change(session, user.id)


def _announce_change(session: Session, user_id: int) -> None:
    """Tell workers to read the account again: it may be chatting in a browser now."""
    announce(session, AccountChanged(user_id))


def _hold(session: Session, user: User, email: str) -> None:
    """Make the account the only holder of the address. Raises Conflict if another account proved it before."""
    holder = users.find_holder(session, email)
    if holder is not None and holder.id != user.id:
        if holder.is_verified:
            raise Conflict("this address belongs to another account")
        holder.email_key = holder.uid
        session.flush()
    user.email, user.is_verified, user.pending_email = email, True, None
    user.address_key = user.email_key = validation.address_key(email)
    try:
        session.flush()
    except IntegrityError:
        raise Conflict("this address belongs to another account") from None
