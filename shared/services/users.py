"""Accounts: registering, signing in and roles."""

from __future__ import annotations

import secrets
import threading
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import validation
from shared.errors import Busy, Forbidden, Invalid, InvalidCredentials, NameTaken, NotFound
from shared.models.reserved_name import ReservedUsername
from shared.models.user import ROLES, User
from shared.pagination import Page, paginate
from shared.services import raids
from shared.services.authority import audit, changes
from shared.services.authority.actors import Actor
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act, require

PASSWORD_SHORTEST = 8
PASSWORD_LONGEST = 1_000
HASHES_AT_ONCE = 2
HASHES_WAITING = 2

# OWASP's second choice for argon2id: 19 MiB, so that a small machine survives several sign-ins at once.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def _nobodys_hash(hasher: PasswordHasher) -> str:
    """Return a hash of random bytes, which matches no password and takes as long to verify as this hasher's own.

    Hashing a real password instead would slow down the start of every process.
    """
    salt, digest = (
        b64encode(secrets.token_bytes(length)).rstrip(b"=").decode() for length in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"


_unknown_user_hash = _nobodys_hash(_hasher)
_places = threading.BoundedSemaphore(HASHES_AT_ONCE + HASHES_WAITING)
_hashing = threading.BoundedSemaphore(HASHES_AT_ONCE)


@contextmanager
def _hashing_place() -> Iterator[None]:
    """Take one of the process's places for hashing passwords, so that a flood of sign-ins leaves threads for pages.

    Raises Busy at once if others are waiting already.
    """
    if not _places.acquire(blocking=False):
        raise Busy(
            "too many people are signing in right now: nothing was changed, try again in a moment", retry_after_ms=3_000
        )
    try:
        with _hashing:
            yield
    finally:
        _places.release()


def register_user(
    session: Session,
    actor: Actor,
    *,
    username: str,
    email: str | None,
    password: str,
    role: str = "player",
    is_verified: bool = False,
) -> User:
    """Create an account that holds its address even without proof. For the operator.

    Args:
        email: None for an account without an address. Its owner can add one on the account page.

    Raises Forbidden, and Invalid or NameTaken with the field at fault (`username`, `email`, `password`, `role`).
    """
    require(actor, Act.CREATE_USER)
    if role not in ROLES:
        raise Invalid(f"a role is one of {', '.join(ROLES)}", field="role")
    user = _new_user(session, username=username, email=email, password=password)
    if user.email:
        if find_holder(session, user.email) is not None:
            raise NameTaken("there is already an account with this email", field="email")
        user.email_key, user.is_verified = user.address_key, is_verified
    user.role = role
    _add(session, user)
    if role != "player":
        _record_role(session, actor, user, before=None)
    return user


def sign_up(session: Session, *, username: str, email: str, password: str) -> User:
    """Create an account, as anybody may. It does not hold its address until the link in a mail proves it.

    Behaves the same whether or not another account has the address, so that nobody learns who has one
    (docs/decisions/0010-addresses.md). Raises Invalid and NameTaken with the field at fault, Conflict during a raid.
    """
    user = _new_user(session, username=username, email=email, password=password)
    raids.require_no_raid(session)
    return _add(session, user)


def authenticate_user(
    session: Session,
    *,
    login: str,
    password: str,
    is_open: Callable[[User], bool] = lambda user: True,
    count_failure: Callable[[User], None] = lambda user: None,
) -> User:
    """Return the user with this username or email, and this password.

    An email may mean two accounts: the one that holds the address, and the newest of those that only gave it. An
    unknown login takes as long as a wrong password, and an address of two accounts as long as an address of none.

    Args:
        is_open: Tells whether an account's password may be tried now. If not, the right one fails like a wrong one.
        count_failure: Called for each account that the login means, if the password is wrong.

    Raises InvalidCredentials, Busy.
    """
    login = login.strip() if validation.is_storable(login) else ""
    candidates: list[User | None]
    if "@" in login:
        candidates = [find_holder(session, login), next(iter(list_claimants(session, login, limit=1)), None)]
    else:
        candidates = [find_user_by_username(session, login)]
    tried = [user if user is not None and is_open(user) else None for user in candidates]
    matches = [user for user in tried if password_matches(user, password) and user is not None]
    if not matches:
        for user in candidates:
            if user is not None:
                count_failure(user)
        raise InvalidCredentials("the username or email and the password do not match", field="password")
    return matches[0]


def password_matches(user: User | None, password: str) -> bool:
    """Return True if this is the user's password. Takes as long for None as for a wrong password. Raises Busy."""
    try:
        with _hashing_place():
            return _hasher.verify(user.password_hash if user else _unknown_user_hash, password) and user is not None
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def hash_password(password: str) -> str:
    """Return the argon2id hash of a new password. Raises Invalid (field `password`), Busy."""
    if len(password) < PASSWORD_SHORTEST:
        raise Invalid(f"the password must have at least {PASSWORD_SHORTEST} characters", field="password")
    if len(password) > PASSWORD_LONGEST:
        raise Invalid(f"the password may have at most {PASSWORD_LONGEST:,} characters", field="password")
    try:
        with _hashing_place():
            return _hasher.hash(password)
    except UnicodeEncodeError:
        raise Invalid("the password contains half of a character (a lone surrogate)", field="password") from None


def find_user(session: Session, user_id: int) -> User | None:
    """Return the user with this id, or None."""
    return session.get(User, user_id)


def find_holder(session: Session, email: str) -> User | None:
    """Return the user who holds this address, or None."""
    return session.scalar(select(User).where(User.email_key == validation.address_key(email)))


def list_claimants(session: Session, email: str, *, limit: int) -> list[User]:
    """Return the users who gave this address and do not hold it, newest first."""
    claims = select(User).where(User.address_key == validation.address_key(email), User.email_key == User.uid)
    return list(session.scalars(claims.order_by(User.id.desc()).limit(limit)))


def find_user_by_username(session: Session, username: str) -> User | None:
    """Return the user with this name in any case, or None."""
    if not validation.is_storable(username):
        return None
    return session.scalar(select(User).where(func.lower(User.username) == username.lower()))


def get_user_by_username(session: Session, username: str) -> User:
    """Return the user with this name in any case. Raises NotFound."""
    user = find_user_by_username(session, username)
    if user is None:
        raise NotFound(f"there is no user {username}", field="username")
    return user


def list_users(session: Session, *, search: str = "", page: int = 1, per_page: int = 50) -> Page[User]:
    """Return users by name, all or those with `search` in their username or email."""
    statement = select(User).order_by(func.lower(User.username))
    if text := search.strip():
        statement = statement.where(
            or_(
                User.username.icontains(text, autoescape=True),
                User.address_key.contains(text.lower(), autoescape=True),
            )
        )
    return paginate(session, statement, page=page, per_page=per_page)


def set_role(session: Session, actor: Actor, *, username: str, role: str) -> User:
    """Give a user another role; the last admin keeps theirs. For admins. Raises Forbidden, NotFound, Invalid."""
    require(actor, Act.GIVE_ROLE)
    if role not in ROLES:
        raise Invalid(f"a role is one of {', '.join(ROLES)}", field="role")
    user = get_user_by_username(session, username)
    if user.role == "admin" and role != "admin":
        # Lock all admins, or two of them could demote each other at the same moment.
        admins = session.scalars(select(User.id).where(User.role == "admin").with_for_update()).all()
        if len(admins) <= 1:
            raise Forbidden("the last admin cannot lose the role: make somebody else an admin first", field="role")
    before, user.role = user.role, role
    if before != role:
        _record_role(session, actor, user, before=before)
        changes.mark(session, Part.PEOPLE)  # the role decides who may end the user's sanctions
    return user


def username_taken() -> NameTaken:
    """Return the error for a username that somebody has or had."""
    return NameTaken("this username is taken, choose another", field="username")


def _record_role(session: Session, actor: Actor, user: User, *, before: str | None) -> None:
    audit.record(
        session,
        actor,
        Act.GIVE_ROLE,
        audit.Target("user", f"user:{user.id}", user.username),
        before=None if before is None else {"role": before},
        after={"role": user.role},
    )


def is_deleted(session: Session, username: str) -> bool:
    """Return whether there was an account with this username, in any case."""
    return session.get(ReservedUsername, username.lower()) is not None


def _new_user(session: Session, *, username: str, email: str | None, password: str) -> User:
    """Return a new account, not added to the session yet. Raises Invalid, and NameTaken for the username."""
    username = validation.username(username)
    email = "" if email is None else validation.email(email)
    password_hash = hash_password(password)  # slow on purpose: before the first statement, which locks the database
    if find_user_by_username(session, username) or is_deleted(session, username):
        raise username_taken()
    uid = str(uuid.uuid4())
    return User(
        uid=uid,
        username=username,
        email=email,
        email_key=uid,
        address_key=validation.address_key(email),
        password_hash=password_hash,
    )


def _add(session: Session, user: User) -> User:
    session.add(user)
    try:
        session.flush()
    except IntegrityError:
        raise NameTaken("this username or email is taken, choose another", field="username") from None
    return user
