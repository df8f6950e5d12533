"""Accounts: the rules for names, emails and passwords, signing in, roles."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from shared import db, validation
from shared.errors import Forbidden, Invalid, InvalidCredentials, NameTaken, NotFound
from shared.services import users
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from tests.support.racing import Racer, wait_until_blocked

GOOD = {"email": "wren@example.com", "password": "a good password"}


def register(session, username="wren", **fields):
    return users.register_user(session, OPERATOR, username=username, **{**GOOD, **fields})


@pytest.mark.parametrize("username", ["abc", "a" * 50, "Wren-22", "---", "  spaced  "])
def test_good_usernames_are_kept_stripped(session, username):
    user = register(session, username)
    assert user.username == username.strip()
    assert (user.role, user.is_verified) == ("player", False)


@pytest.mark.parametrize(
    "username",
    [
        "",
        "  ",
        "ab",
        "a" * 51,
        "two words",
        "o'neil",
        "zoë",
        "under_score",
        "dot.dot",
        "nul\0",
        "a\nb",
        "\ud800abc",
        None,
        7,
    ],
)
def test_bad_usernames_are_refused(session, username):
    with pytest.raises(Invalid) as refused:
        register(session, username)
    assert refused.value.field == "username"


@pytest.mark.parametrize("username", [*sorted(validation.USERNAMES_BLOCKED - {"sign-in"}), "SIGN-IN", "Admin"])
def test_blocked_usernames_are_refused_in_any_case(session, username):
    with pytest.raises(Invalid) as refused:
        register(session, username)
    assert refused.value.field == "username"


@pytest.mark.parametrize(
    "email", ["", "wren", "wren@", "@example.com", "wren@example", "a b@example.com", "wren@exa\0mple.com"]
)
def test_bad_emails_are_refused(session, email):
    with pytest.raises(Invalid) as refused:
        register(session, email=email)
    assert refused.value.field == "email"


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1001, "half \ud800 a character"])
def test_bad_passwords_are_refused(session, password):
    with pytest.raises(Invalid) as refused:
        register(session, password=password)
    assert refused.value.field == "password"


@pytest.mark.parametrize("password", ["12345678", "x" * 1000, "gül ☃ пароль"])
def test_good_passwords_sign_in_and_are_not_stored(session, password):
    user = register(session, password=password)
    assert password not in user.password_hash and user.password_hash.startswith("$argon2id$")
    assert users.authenticate_user(session, login="wren", password=password) is user


def test_a_role_must_be_known(session):
    with pytest.raises(Invalid) as refused:
        register(session, role="emperor")
    assert refused.value.field == "role"


@pytest.mark.usefixtures("any_database")
def test_usernames_and_emails_are_unique_without_case(session):
    register(session, "Wren")
    with pytest.raises(NameTaken) as taken:
        register(session, "wREN", email="other@example.com")
    assert taken.value.field == "username"
    with pytest.raises(NameTaken) as taken:
        register(session, "another", email="WREN@Example.COM")
    assert taken.value.field == "email"


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize("second", [{"username": "WREN", "email": "b@example.com"}, {"username": "robin"}])
def test_a_lost_race_for_a_name_is_a_name_taken(engine, monkeypatch, second):
    """Both check before either commits. The constraint decides, and the loser gets the same error."""
    if engine.dialect.name == "sqlite":
        # One writer at a time: the look is switched off, so that the constraint is what speaks.
        monkeypatch.setattr(users, "find_user_by_username", lambda session, username: None)

    def lose():
        with db.transaction() as other:
            register(other, **second)

    with db.transaction() as session:
        register(session, "wren")
        racer = Racer(lose)
        wait_until_blocked(engine, racer)
    with pytest.raises(NameTaken):
        racer.join()
    with db.reading() as session:
        assert users.list_users(session).total == 1


def test_sign_in_by_name_or_email_in_any_case(session):
    user = register(session, "Wren", email="Wren@Example.com")
    for login in ("wren", "WREN", " Wren ", "wren@example.com", "WREN@EXAMPLE.COM"):
        assert users.authenticate_user(session, login=login, password=GOOD["password"]) is user


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("wren", "wrong password"),
        ("wren", ""),
        ("nobody", "a good password"),
        ("", ""),
        ("wren", "\ud800"),
        ("wr_n", "a good password"),
    ],
)
def test_a_failed_sign_in_reveals_nothing(session, login, password):
    """Not even whether the account exists."""
    register(session)
    with pytest.raises(InvalidCredentials) as refused:
        users.authenticate_user(session, login=login, password=password)
    assert refused.value.message == "the username or email and the password do not match"


def test_an_unknown_login_is_hashed_too(session, monkeypatch):
    """It must take as long as a wrong password."""
    register(session)
    verified = []

    class Hasher:
        def verify(self, digest, password):
            verified.append(digest)
            raise users.VerificationError

    monkeypatch.setattr(users, "_hasher", Hasher())
    for login in ("wren", "nobody"):
        with pytest.raises(InvalidCredentials):
            users.authenticate_user(session, login=login, password="whatever")
    assert len(verified) == 2


def test_the_hash_for_unknown_users_costs_as_much_and_matches_nothing():
    """Otherwise the response time would reveal whether the account exists."""
    hasher = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)
    nobodys = users._nobodys_hash(hasher)
    assert extract_parameters(nobodys) == extract_parameters(hasher.hash("any"))
    with pytest.raises(VerifyMismatchError):
        hasher.verify(nobodys, "any")
    assert nobodys != users._nobodys_hash(hasher)


def test_only_admins_give_roles(make, session):
    admin, player = make.admin("keeper"), make.user("wren")
    with pytest.raises(Forbidden):
        users.set_role(session, actors.of_user(session, player.id), username="wren", role="admin")
    assert (
        users.set_role(session, actors.of_user(session, admin.id), username="WREN", role="moderator").role
        == "moderator"
    )
    assert users.set_role(session, OPERATOR, username="wren", role="admin").role == "admin"
    with pytest.raises(NotFound):
        users.set_role(session, actors.of_user(session, admin.id), username="nobody", role="admin")
    with pytest.raises(Invalid):
        users.set_role(session, actors.of_user(session, admin.id), username="wren", role="emperor")


def test_the_last_admin_stays_one(make, session):
    admin, second = make.admin("keeper"), make.admin("second")
    users.set_role(session, actors.of_user(session, admin.id), username="second", role="player")
    session.flush()
    with pytest.raises(Forbidden):
        users.set_role(session, actors.of_user(session, admin.id), username="keeper", role="player")
    assert (admin.role, second.role) == ("admin", "player")


@pytest.mark.usefixtures("any_database")
def test_two_admins_cannot_demote_each_other_at_once(engine, stored):
    first, second = stored.admin("first"), stored.admin("second")

    def demote_first():
        with db.transaction() as other:
            users.set_role(other, actors.of_user(other, second.id), username="first", role="player")

    with db.transaction() as session:
        users.set_role(session, actors.of_user(session, first.id), username="second", role="player")
        session.flush()
        racer = Racer(demote_first)
        wait_until_blocked(engine, racer)
    with pytest.raises(Forbidden):
        racer.join()


def test_users_are_listed_by_name_and_found_by_part(make, session):
    for name in ("Robin", "wren", "Alba-tross"):
        make.user(name)
    assert [user.username for user in users.list_users(session).items] == ["Alba-tross", "Robin", "wren"]
    assert [user.username for user in users.list_users(session, search="WREN").items] == ["wren"]
    assert users.list_users(session, search="%").total == 0
    page = users.list_users(session, page=9, per_page=2)
    assert (page.page, page.pages, len(page.items), page.has_next, page.has_prev) == (2, 2, 1, False, True)


@pytest.mark.usefixtures("any_database")
def test_ids_of_users_are_never_reused(make, session):
    gone = make.user()
    session.delete(gone)
    session.commit()
    assert make.user().id > gone.id
