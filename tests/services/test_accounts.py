"""People's own accounts: addresses, passwords, links that work once, deletion."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from shared import db
from shared.errors import Conflict, Forbidden, Invalid, InvalidCredentials, NameTaken, NotFound
from shared.models import Channel, User
from shared.services import accounts, channels, games, users
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from tests.support.factory import PASSWORD
from tests.support.racing import Racer, wait_until_blocked

EMAIL = "wren@example.com"


def sign_up(session, username="wren", email=EMAIL, password=PASSWORD):
    return users.sign_up(session, username=username, email=email, password=password)


def verify(session, user):
    return accounts.verify_email(session, user_id=user.id, email=user.email, mark=accounts.mark_of(user))


def sign_in(session, login, password=PASSWORD):
    try:
        return users.authenticate_user(session, login=login, password=password).username
    except InvalidCredentials:
        return None


@pytest.mark.usefixtures("any_database")
def test_many_accounts_may_give_an_address_but_only_one_holds_it(session):
    """Whoever proves it first holds it, and then nobody else can sign in with it."""
    first, second = sign_up(session, "first"), sign_up(session, "second", "WREN@Example.com")
    assert not first.holds_address and not second.holds_address
    verify(session, first)
    assert first.holds_address and first.is_verified
    with pytest.raises(Conflict, match="belongs to another account"):
        verify(session, second)
    assert verify(session, first) is first
    assert users.find_holder(session, EMAIL.upper()) is first


@pytest.mark.parametrize("is_known", [False, True])
def test_signing_up_and_in_does_not_reveal_whether_an_address_is_known(session, is_known):
    """A stranger learns nothing about other accounts by signing up."""
    if is_known:
        verify(session, sign_up(session, "owner", password="the owner's own"))
    sign_up(session, "stranger", password="the stranger's own")
    assert sign_in(session, "stranger", "the stranger's own") == "stranger"
    assert sign_in(session, EMAIL, "the stranger's own") == "stranger"
    assert sign_in(session, EMAIL, "something else") is None
    sign_up(session, "another", password="another's own one")
    assert sign_in(session, EMAIL, "the stranger's own") is None
    assert sign_in(session, EMAIL, "another's own one") == "another"
    assert sign_in(session, EMAIL, "the owner's own") == ("owner" if is_known else None)


def test_signing_in_by_address_takes_the_same_time_whoever_has_it(session, monkeypatch):
    """Two passwords are compared for any address, one for any username."""
    verify(session, sign_up(session, "owner"))
    sign_up(session, "stranger")
    compared = []

    class Hasher:
        def verify(self, digest, password):
            compared.append(digest)
            raise users.VerificationError

    monkeypatch.setattr(users, "_hasher", Hasher())
    for login in (EMAIL, "nobody@example.com", "owner", "nobody"):
        assert sign_in(session, login) is None
    assert len(compared) == 2 + 2 + 1 + 1


def test_accounts_made_by_the_operator_hold_their_address(session):
    """Even if others gave it before. A proof takes an address only from an account that is not verified."""
    sign_up(session, "squatter", password="the squatter's own")
    created = users.register_user(session, OPERATOR, username="made", email=EMAIL, password=PASSWORD)
    assert created.holds_address and sign_in(session, EMAIL) == "made"
    proved = sign_up(session, "proved", password="another password")
    verify(session, proved)
    session.flush()
    assert proved.holds_address and not created.holds_address
    with pytest.raises(NameTaken):
        users.register_user(session, OPERATOR, username="other", email=EMAIL, password=PASSWORD)


@pytest.mark.usefixtures("any_database")
def test_the_constraint_decides_who_holds_an_address(engine, stored):
    """Two links are followed at the same moment."""
    with db.transaction() as session:
        first, second = sign_up(session, "first"), sign_up(session, "second")

    def lose():
        with db.transaction() as other:
            verify(other, second)

    with db.transaction() as session:
        verify(session, first)
        session.flush()
        racer = Racer(lose)
        wait_until_blocked(engine, racer)
    with pytest.raises(Conflict):
        racer.join()
    with pytest.raises(IntegrityError), db.transaction() as session:
        session.get(User, second.id).email_key = EMAIL


def test_a_changed_password_ends_all_sessions(session):
    user = sign_up(session)
    token = user.session_token
    for current, new, fault in (
        ("wrong", "a new password", InvalidCredentials),
        (PASSWORD, "short", Invalid),
        (PASSWORD, "x" * 1001, Invalid),
    ):
        with pytest.raises(fault):
            accounts.change_password(session, actors.of_user(session, user.id), current=current, new=new)
    assert user.session_token == token
    accounts.change_password(session, actors.of_user(session, user.id), current=PASSWORD, new="a new password")
    assert user.session_token != token
    assert sign_in(session, "wren", "a new password") == "wren"
    assert sign_in(session, "wren") is None


@pytest.mark.usefixtures("any_database")
def test_a_reset_works_once_and_proves_the_address(engine):
    """Two resets at the same moment: only one succeeds."""
    with db.transaction() as session:
        user = sign_up(session)
    link = {"user_id": user.id, "email": user.email, "mark": accounts.mark_of(user)}

    def again():
        with db.transaction() as other:
            accounts.reset_password(other, **link, new="the second password")

    with db.transaction() as session:
        changed = accounts.reset_password(session, **link, new="the first password")
        assert changed.session_token != user.session_token and changed.holds_address
        session.flush()
        racer = Racer(again)
        wait_until_blocked(engine, racer)
    with pytest.raises(accounts.LinkUsed):
        racer.join()
    with db.reading() as session:
        assert sign_in(session, EMAIL, "the first password") == "wren"


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize("act", ["change", "delete"])
def test_an_old_password_does_not_work_while_a_new_one_is_being_set(engine, act):
    """A thief who knows it cannot overtake the owner who is changing it."""
    with db.transaction() as session:
        user = sign_up(session)

    def use_the_old_one():
        with db.transaction() as other:
            if act == "change":
                accounts.change_password(
                    other, actors.of_user(other, user.id), current=PASSWORD, new="the thief's password"
                )
            else:
                accounts.delete_account(other, actors.of_user(other, user.id), password=PASSWORD)

    with db.transaction() as session:
        accounts.reset_password(
            session, user_id=user.id, email=user.email, mark=accounts.mark_of(user), new="the owner's password"
        )
        session.flush()
        racer = Racer(use_the_old_one)
        wait_until_blocked(engine, racer)
    with pytest.raises(InvalidCredentials):
        racer.join()
    with db.reading() as session:
        assert sign_in(session, "wren", "the owner's password") == "wren"


def test_links_stop_working_when_the_account_changes(session):
    """After a change of password or address; and a link works only for its own account."""
    user, other = sign_up(session), sign_up(session, "other", "other@example.com")
    mark = accounts.mark_of(user)
    with pytest.raises(accounts.LinkUsed):
        accounts.reset_password(session, user_id=other.id, email=EMAIL, mark=mark, new="a new password")
    accounts.change_password(session, actors.of_user(session, user.id), current=PASSWORD, new="a new password")
    for use in (
        lambda: accounts.reset_password(session, user_id=user.id, email=EMAIL, mark=mark, new="another one"),
        lambda: accounts.verify_email(session, user_id=user.id, email=EMAIL, mark=mark),
        lambda: accounts.get_linked(session, user_id=user.id, mark=mark),
        lambda: accounts.get_linked(session, user_id=999, mark=mark),
    ):
        with pytest.raises(accounts.LinkUsed):
            use()


def test_changing_the_address(session):
    """Needs the password, and does not reveal that somebody has the address until the mail was read."""
    user, other = sign_up(session), sign_up(session, "other", "other@example.com")
    verify(session, other)
    ask = {"actor": actors.of_user(session, user.id), "password": PASSWORD}
    with pytest.raises(InvalidCredentials):
        accounts.ask_for_email(session, actors.of_user(session, user.id), password="wrong", email="new@example.com")
    with pytest.raises(Invalid):
        accounts.ask_for_email(session, **ask, email="nothing")
    assert user.pending_email is None
    assert accounts.ask_for_email(session, **ask, email="other@example.com").pending_email == "other@example.com"
    assert accounts.find_verified_holder(session, "OTHER@example.com", except_id=user.id) is other

    accounts.ask_for_email(session, **ask, email="new@example.com")
    accounts.verify_email(session, user_id=user.id, email="new@example.com", mark=accounts.mark_of(user))
    assert (user.email, user.is_verified, user.pending_email) == ("new@example.com", True, None)
    assert users.find_holder(session, EMAIL) is None
    with pytest.raises(Conflict, match="already"):
        accounts.ask_for_email(session, **ask, email="new@example.com")


def test_only_the_last_requested_address_can_be_confirmed(session):
    """An earlier or cancelled address cannot."""
    user = sign_up(session)
    ask = {"actor": actors.of_user(session, user.id), "password": PASSWORD}
    accounts.ask_for_email(session, **ask, email="first@example.com")
    accounts.ask_for_email(session, **ask, email="second@example.com")
    link = {"user_id": user.id, "mark": accounts.mark_of(user)}
    with pytest.raises(accounts.LinkUsed):
        accounts.verify_email(session, **link, email="first@example.com")
    assert accounts.get_linked(session, **link, email="second@example.com") is user
    accounts.cancel_email(session, actors.of_user(session, user.id))
    for use in (accounts.get_linked, accounts.verify_email):
        with pytest.raises(accounts.LinkUsed):
            use(session, **link, email="second@example.com")
    assert accounts.verify_email(session, **link, email=EMAIL).is_verified


def test_which_accounts_a_mail_may_reset(session):
    """The verified holder; otherwise the newest accounts that gave the address, up to a limit."""
    assert accounts.list_resettable(session, EMAIL) == []
    claimants = [sign_up(session, f"player{number}") for number in range(7)]
    assert accounts.list_resettable(session, EMAIL) == claimants[:1:-1]
    verify(session, claimants[0])
    assert accounts.list_resettable(session, EMAIL.upper()) == [claimants[0]]


@pytest.mark.usefixtures("any_database")
def test_deleting_an_account(make, session):
    """Needs the password and no games. The username stays reserved, and channels stay."""
    user = make.user("wren")
    game = make.game("Harbour", owner=user)
    channel = channels.propose_channel(session, actors.of_user(session, user.id), name="birds", description="")
    session.commit()
    with pytest.raises(InvalidCredentials):
        accounts.delete_account(session, actors.of_user(session, user.id), password="wrong")
    with pytest.raises(Conflict, match="games"):
        accounts.delete_account(session, actors.of_user(session, user.id), password=PASSWORD)
    games.delete_game(session, actors.of_user(session, user.id), short_name=game.short_name)
    accounts.delete_account(session, actors.of_user(session, user.id), password=PASSWORD)
    session.commit()
    session.expire_all()
    assert users.find_user_by_username(session, "wren") is None
    assert session.get(Channel, channel.id).proposed_by_id is None
    with pytest.raises(NameTaken):
        sign_up(session, "WREN")
    with pytest.raises(NotFound):
        accounts.get_account(session, user.id)


def test_the_last_admin_cannot_delete_the_account(make, session):
    first = make.admin("first")
    with pytest.raises(Forbidden):
        accounts.delete_account(session, actors.of_user(session, first.id), password=PASSWORD)
    make.admin("second")
    accounts.delete_account(session, actors.of_user(session, first.id), password=PASSWORD)
