"""Accounts: registering, signing in, roles."""

from __future__ import annotations

import secrets
import uuid
from base64 import b64encode

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.errors import Forbidden, Invalid, InvalidCredentials, NameTaken, NotFound
from shared.models.reserved_name import ReservedUsername
from shared.models.user import ROLES, User
from shared.pagination import Page, paginate
from shared.services import rules
from shared.services.authority import actors, audit, changes
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act

PASSWORD_SHORTEST = 8
PASSWORD_LONGEST = 1_000

# OWASP's second choice for argon2id: 19 MiB, so that a small machine survives a few sign-ins at once.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def _nobodys_hash(hasher: PasswordHasher) -> str:
    """What costs as much to verify as a hash of this hasher, and fits no password: it is made of random bytes.

    To hash a password instead would be part of every start of every process.
    """
    salt, digest = (
        b64encode(secrets.token_bytes(length)).rstrip(b"=").decode() for length in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"


_unknown_user_hash = _nobodys_hash(_hasher)


def register_user(
    session: Session,
    *,
    username: str,
    email: str | None,
    password: str,
    role: str = "player",
    is_verified: bool = False,
) -> User:
    """Make an account that holds its address, as the operator does, whoever gave the same one without a proof.

    email: None for an account that has none yet, and sets one on its page.
    Raises Invalid and NameTaken with the field at fault (`username`, `email`, `password`).
    """
    if role not in ROLES:
        raise Invalid(f"a role is one of {', '.join(ROLES)}", field="role")
    user = _new_user(session, username=username, email=email, password=password)
    if user.email:
        if find_holder(session, user.email) is not None:
            raise NameTaken("an account with this email exists already", field="email")
        user.email_key, user.is_verified = user.address_key, is_verified
    user.role = role
    _add(session, user)
    if role != "player":
        _record_role(session, None, user, before=None)
    return user


def sign_up(session: Session, *, username: str, email: str, password: str) -> User:
    """Make an account as anybody may. It gives an address and does not hold it: that takes the link in a mail.

    The same happens whether or not an account has the address, so that nobody learns who has one
    (docs/decisions/0010-addresses.md). Raises Invalid and NameTaken with the field at fault.
    """
    return _add(session, _new_user(session, username=username, email=email, password=password))


def authenticate_user(session: Session, *, login: str, password: str) -> User:
    """The user of this username or email and password.

    With an email, two accounts may be meant: the one that holds the address, and the newest of those that only gave it.
    As slow for an unknown login as for a wrong password, and for an address of two accounts as for one of none.

    Raises InvalidCredentials.
    """
    login = login.strip() if rules.may_be_kept(login) else ""
    candidates: list[User | None]
    if "@" in login:
        candidates = [find_holder(session, login), next(iter(list_claimants(session, login, limit=1)), None)]
    else:
        candidates = [find_user_by_username(session, login)]
    found = [user for user in candidates if password_matches(user, password) and user is not None]
    if not found:
        raise InvalidCredentials("the username or email and the password do not match", field="password")
    return found[0]


def password_matches(user: User | None, password: str) -> bool:
    """True if it is the user's password. No user takes as long as a wrong password."""
    try:
        return _hasher.verify(user.password_hash if user else _unknown_user_hash, password) and user is not None
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def hash_password(password: str) -> str:
    """The argon2id hash of a new password. Raises Invalid if it is too short, too long or cannot be encoded."""
    if len(password) < PASSWORD_SHORTEST:
        raise Invalid(f"the password must have {PASSWORD_SHORTEST} characters at least", field="password")
    if len(password) > PASSWORD_LONGEST:
        raise Invalid(f"the password may have {PASSWORD_LONGEST:,} characters at most", field="password")
    try:
        return _hasher.hash(password)
    except UnicodeEncodeError:
        raise Invalid("the password holds half of a character (a lone surrogate)", field="password") from None


def find_user(session: Session, user_id: int) -> User | None:
    """The user of this id, or None."""
    return session.get(User, user_id)


def find_holder(session: Session, email: str) -> User | None:
    """The user who holds this address, or None."""
    return session.scalar(select(User).where(User.email_key == rules.address_key(email)))


def list_claimants(session: Session, email: str, *, limit: int) -> list[User]:
    """The users who gave this address and do not hold it, the newest first."""
    claims = select(User).where(User.address_key == rules.address_key(email), User.email_key == User.uid)
    return list(session.scalars(claims.order_by(User.id.desc()).limit(limit)))


def find_user_by_username(session: Session, username: str) -> User | None:
    """The user of this name in any case, or None."""
    if not rules.may_be_kept(username):
        return None
    return session.scalar(select(User).where(func.lower(User.username) == username.lower()))


def get_user_by_username(session: Session, username: str) -> User:
    """The user of this name in any case. Raises NotFound."""
    user = find_user_by_username(session, username)
    if user is None:
        raise NotFound(f"there is no user {username}", field="username")
    return user


def list_users(session: Session, *, search: str = "", page: int = 1, per_page: int = 50) -> Page[User]:
    """Users by name; `search` is looked for in usernames and emails."""
    statement = select(User).order_by(func.lower(User.username))
    if search.strip():
        wanted = search.strip()
        statement = statement.where(
            or_(
                User.username.icontains(wanted, autoescape=True),
                User.address_key.contains(wanted.lower(), autoescape=True),
            )
        )
    return paginate(session, statement, page=page, per_page=per_page)


def set_role(session: Session, *, actor_id: int | None, username: str, role: str) -> User:
    """Give a user another role. The last admin keeps theirs. Raises Forbidden, NotFound, Invalid."""
    require_admin(session, actor_id)
    if role not in ROLES:
        raise Invalid(f"a role is one of {', '.join(ROLES)}", field="role")
    user = get_user_by_username(session, username)
    if user.role == "admin" and role != "admin":
        # Admins are locked, lest two of them demote each other at the same moment.
        admins = session.scalars(select(User.id).where(User.role == "admin").with_for_update()).all()
        if len(admins) <= 1:
            raise Forbidden("the last admin cannot lose the role: make another one first", field="role")
    before, user.role = user.role, role
    if before != role:
        _record_role(session, actor_id, user, before=before)
        changes.mark(session, Part.PEOPLE)  # others may end their sanctions now
    return user


def is_admin(session: Session, actor_id: int | None) -> bool:
    """True for an admin, and for the operator on the command line (None)."""
    if actor_id is None:
        return True
    user = session.get(User, actor_id)
    return user is not None and user.role == "admin"


def require_admin(session: Session, actor_id: int | None) -> None:
    """Raise Forbidden unless the actor is an admin or the operator."""
    if not is_admin(session, actor_id):
        raise Forbidden("only admins may do this")


def _record_role(session: Session, actor_id: int | None, user: User, *, before: str | None) -> None:
    audit.record(
        session,
        actors.of_admin(session, actor_id),
        Act.GIVE_ROLE,
        audit.Target("user", f"user:{user.id}", user.username),
        before=None if before is None else {"role": before},
        after={"role": user.role},
    )


def _new_user(session: Session, *, username: str, email: str | None, password: str) -> User:
    """An account that is not added yet. Raises Invalid, and NameTaken for the username."""
    username = rules.username(username)
    email = "" if email is None else rules.email(email)
    password_hash = hash_password(password)  # slow on purpose: before the first statement, that locks the database
    if find_user_by_username(session, username) or session.get(ReservedUsername, username.lower()):
        raise username_taken()
    uid = str(uuid.uuid4())
    return User(
        uid=uid,
        username=username,
        email=email,
        email_key=uid,
        address_key=rules.address_key(email),
        password_hash=password_hash,
    )


def _add(session: Session, user: User) -> User:
    session.add(user)
    try:
        session.flush()
    except IntegrityError:
        raise NameTaken("this username or email is taken, choose another", field="username") from None
    return user


def username_taken() -> NameTaken:
    """The error for a username that somebody has, or had."""
    return NameTaken("this username is taken, choose another", field="username")
