"""What people do with their own account: prove their address, change email and password, privacy, delete it.

Links in mails carry a `mark`: a digest of what the account was when the link was made. It differs once the link was
used, or the password or the address changed, so that each link works once.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.bus import announce
from shared.errors import Conflict, Forbidden, InvalidCredentials, NotFound
from shared.models.channel import Channel
from shared.models.character import Character
from shared.models.game import Game
from shared.models.game_transfer import GameTransfer
from shared.models.reserved_name import ReservedUsername
from shared.models.user import User
from shared.services import rules, users
from shared.services.authority import audit, changes
from shared.services.authority.actors import OPERATOR
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act
from shared.services.moderation import sanctions
from shared.signals import AccountChanged

RESETS_A_MAIL = 5
ABANDONED_AT_ONCE = 500


class LinkUsed(NotFound):
    """The link of a mail works no more."""

    code = "link-used"


def get_account(session: Session, user_id: int) -> User:
    """The account of this id. Raises NotFound."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("there is no such account")
    return user


def find_verified_holder(session: Session, email: str, *, but: int | None = None) -> User | None:
    """The account, other than `but`, that holds this address for good: its person proved that they read its mail."""
    holder = users.find_holder(session, email)
    return holder if holder is not None and holder.is_verified and holder.id != but else None


def list_resettable(session: Session, email: str) -> list[User]:
    """The accounts whose password may be reset by a mail to this address: its holder, else the newest that gave it."""
    holder = users.find_holder(session, email)
    if holder is not None and holder.is_verified:
        return [holder]
    claimants = users.list_claimants(session, email, limit=RESETS_A_MAIL)
    return [*([holder] if holder else []), *claimants][:RESETS_A_MAIL]


def mark_of(user: User) -> str:
    """A digest of all that makes a link of this account old when it changes."""
    parts = (user.uid, user.address_key, str(user.is_verified), user.password_hash)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def get_linked(session: Session, *, user_id: int, mark: str, email: str | None = None) -> User:
    """The account of a link that still works; or that proved `email` with it already. Raises LinkUsed."""
    user = session.get(User, user_id)
    if user is None:
        raise LinkUsed("there is no such account any more")
    is_proved = email is not None and user.is_verified and user.email == email
    is_wanted = email is None or email in (user.email, user.pending_email)
    if not is_proved and (mark_of(user) != mark or not is_wanted):
        raise LinkUsed("this link works no more: it was used, or the account changed since")
    return user


def verify_email(session: Session, *, user_id: int, email: str, mark: str) -> User:
    """Somebody read the mail to `email`: from now on it is this account's address, which alone may sign in with it.

    An account that gave it without proof loses its hold. Clicking the link again does no harm.
    Raises LinkUsed, Conflict (another account proved the address first).
    """
    user = _get_locked(session, user_id)
    if user.is_verified and user.email == email:
        return user
    if mark_of(user) != mark or email not in (user.email, user.pending_email):
        raise LinkUsed("this link works no more: it was used, or the account changed since")
    _hold(session, user, email)
    return user


def change_password(session: Session, *, user_id: int, current: str, new: str) -> User:
    """Give the account another password. All of its sessions end. Raises InvalidCredentials, Invalid."""
    new_hash = users.hash_password(new)
    user = _get_locked(session, user_id)
    _confirm(user, current)
    user.password_hash = new_hash
    _end_sessions(session, user)
    return user


def set_password(session: Session, *, username: str, new: str) -> User:
    """Give an account another password, as the operator. All of its sessions end. Raises NotFound, Invalid."""
    new_hash = users.hash_password(new)
    user = users.get_user_by_username(session, username)
    user.password_hash = new_hash
    _end_sessions(session, user)
    audit.record(session, OPERATOR, Act.SET_PASSWORD, audit.Target("user", f"user:{user.id}", user.username))
    return user


def reset_password(session: Session, *, user_id: int, email: str, mark: str, new: str) -> User:
    """Give the account whose mail was read another password. All of its sessions end; the address is proved by it.

    Raises LinkUsed, Invalid (field `password`).
    """
    new_hash = users.hash_password(new)
    user = _get_locked(session, user_id)
    if mark_of(user) != mark or user.address_key != rules.address_key(email):
        raise LinkUsed("this link works no more: it was used, or the account changed since")
    user.password_hash = new_hash
    _end_sessions(session, user)
    if not user.is_verified and find_verified_holder(session, user.email, but=user.id) is None:
        _hold(session, user, user.email)
    return user


def ask_for_email(session: Session, *, user_id: int, password: str, email: str) -> User:
    """Keep the address that the account asks to have as `pending_email`. It is had by following the link in the mail.

    Whether another account has it is not said. The one that was asked for before counts no more.
    Raises InvalidCredentials, Invalid, Conflict (it has it already).
    """
    email = rules.email(email)
    user = _get_locked(session, user_id)
    _confirm(user, password)
    if user.is_verified and user.email == email:
        raise Conflict("this is your address already", field="email")
    user.pending_email = email
    return user


def cancel_email(session: Session, *, user_id: int) -> None:
    """The account wants no other address any more; the link in the mail to it is worth nothing."""
    _get_locked(session, user_id).pending_email = None


def end_sessions(session: Session, *, user_id: int) -> User:
    """Sign the account out everywhere."""
    user = get_account(session, user_id)
    _end_sessions(session, user)
    return user


def set_privacy(session: Session, *, user_id: int, is_profile_hidden: bool, is_online_hidden: bool) -> None:
    """Say what others may see of the account."""
    user = get_account(session, user_id)
    user.is_profile_hidden = is_profile_hidden
    user.is_online_hidden = is_online_hidden
    _tell_workers(session, user.id)


def replace_registration_key(session: Session, *, user_id: int) -> None:
    """Make a new key; whoever has the old one can register nothing with it."""
    _get_locked(session, user_id).registration_key = str(uuid.uuid4())


def note_return(session: Session, *, user_id: int, at: datetime) -> None:
    """The person of the account came back after registering. Only the first time is kept."""
    user = session.get(User, user_id)
    if user is not None and user.returned_at is None:
        user.returned_at = at


def remove_abandoned(session: Session, *, before: datetime) -> int:
    """Delete the accounts registered before a moment that nobody came back to, whose address nobody proved, and that
    have nothing: no game, character or channel. Their usernames are free again. Returns how many.
    """
    abandoned = session.scalars(
        select(User)
        .where(User.created_at < before, User.returned_at.is_(None), User.role == "player")
        .where(~User.is_verified, User.email_key == User.uid)
        .where(
            ~select(Game.id).where(Game.owner_id == User.id).exists(),
            ~select(Character.id).where(Character.user_id == User.id).exists(),
            ~select(Channel.id).where(Channel.proposed_by_id == User.id).exists(),
            ~select(GameTransfer.game_id).where(GameTransfer.to_user_id == User.id).exists(),
        )
        .order_by(User.id)
        .limit(ABANDONED_AT_ONCE)
        .with_for_update(of=User)
    ).all()
    removed = 0
    for user in abandoned:
        try:
            with session.begin_nested():
                session.delete(user)
            removed += 1
        except IntegrityError:  # it got something at the same moment
            continue
    return removed


def delete_account(session: Session, *, user_id: int, password: str) -> None:
    """Delete the account with its characters. Its username stays reserved, its channels stay, and what is in force
    against it holds for its characters' names.

    Raises InvalidCredentials, Conflict (it owns games), Forbidden (the last admin).
    """
    user = _get_locked(session, user_id)
    _confirm(user, password)
    if session.scalar(select(Game.id).where(Game.owner_id == user.id).limit(1)):
        raise Conflict("you have games on the network: delete them first")
    if user.role == "admin":
        admins = session.scalars(select(User.id).where(User.role == "admin").with_for_update()).all()
        if len(admins) <= 1:
            raise Forbidden("the last admin cannot go: make another one first")
    sanctions.keep_on_characters(session, user.id)
    session.add(ReservedUsername(key=user.username.lower()))
    _tell_workers(session, user.id)
    session.delete(user)
    changes.mark(session, Part.PEOPLE)
    try:
        session.flush()
    except IntegrityError:  # a game was registered at the same moment
        raise Conflict("you have games on the network: delete them first") from None


def _get_locked(session: Session, user_id: int) -> User:
    """The account, locked until the commit, so that what is read of it stays so. Raises NotFound."""
    user = session.scalar(
        select(User).where(User.id == user_id).with_for_update().execution_options(populate_existing=True)
    )
    if user is None:
        raise LinkUsed("there is no such account any more")
    return user


def _confirm(user: User, password: str) -> None:
    """Ask for the password again, before what could lock the account's person out. Raises InvalidCredentials.

    Who goes on to change the account has to hold its lock: else a password that is changed meanwhile still counts.
    """
    if not users.password_matches(user, password):
        raise InvalidCredentials("this is not your password", field="current_password")


def _end_sessions(session: Session, user: User) -> None:
    user.session_token = str(uuid.uuid4())
    _tell_workers(session, user.id)


def _tell_workers(session: Session, user_id: int) -> None:
    """Let the workers look at the account again: it may chat in a browser now."""
    announce(session, AccountChanged(user_id))


def _hold(session: Session, user: User, email: str) -> None:
    """Make the address the account's, and no other's. Raises Conflict if another one proved it before."""
    holder = users.find_holder(session, email)
    if holder is not None and holder.id != user.id:
        if holder.is_verified:
            raise Conflict("this address belongs to another account")
        holder.email_key = holder.uid
        session.flush()
    user.email, user.is_verified, user.pending_email = email, True, None
    user.address_key = user.email_key = rules.address_key(email)
    try:
        session.flush()
    except IntegrityError:
        raise Conflict("this address belongs to another account") from None
