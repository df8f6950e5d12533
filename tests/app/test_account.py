"""The account's own pages: password, privacy, sessions, the end."""

from __future__ import annotations

import pytest

from shared import db
from shared.errors import NotFound
from shared.services import users
from tests.support.factory import PASSWORD

NEW = "another battery, horse"
PAGES = ["/account", "/account/email", "/account/password", "/account/delete", "/manage/characters"]
FORMS = ["/account/verify", "/account/email/cancel", "/account/privacy", "/account/sessions", "/manage/characters/key"]
FORMS += [f"/manage/characters/1/{what}" for what in ("approve", "deny", "delete")]


@pytest.fixture
def user(stored):
    return stored.user("wren", is_verified=True)


@pytest.fixture
def at_home(visitor, user):
    return visitor.sign_in("wren")


@pytest.mark.parametrize("path", PAGES)
def test_strangers_are_asked_to_sign_in(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.location) == (303, f"/sign-in?next={path}")


@pytest.mark.parametrize("path", FORMS)
def test_strangers_change_nothing(visitor, path):
    assert visitor.send(path, form_on="/sign-in").location == "/sign-in"


@pytest.mark.parametrize("path", PAGES)
def test_the_pages_are_whole(at_home, path):
    page = at_home.open(path)
    assert at_home.status == 200 and page.count("<h1") == 1 and len(page) < 20_000
    assert "style=" not in page and "not verified yet" not in page


def test_a_new_password_ends_every_other_session(at_home, new_visitor, mailbox):
    """Here one stays signed in; the owner is told."""
    elsewhere = new_visitor().sign_in("wren")
    at_home.send("/account/password", current_password=PASSWORD, password=NEW, password_confirmation=NEW, follow=True)
    assert "Your password is changed" in at_home.page and at_home.status == 200
    assert elsewhere.client.get("/account").status_code == 303
    assert elsewhere.client.get("/manage/characters/live").status_code == 401
    assert at_home.client.get("/account").status_code == 200
    assert '"wren" at Gossip has a new password' in mailbox.take_one(to="wren@example.com")
    new_visitor().sign_in("wren", NEW)


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"current_password": ""}, "current_password", "Type your password"),
        ({"current_password": "wrong"}, "current_password", "not your password"),
        ({"password": "short", "password_confirmation": "short"}, "password", "8 characters"),
        ({"password": "x" * 1001, "password_confirmation": "x" * 1001}, "password", "1,000 characters"),
        ({"password_confirmation": "else"}, "password_confirmation", "not the same"),
    ],
)
def test_what_is_wrong_with_a_new_password(at_home, changed, field, words):
    sent = {"current_password": PASSWORD, "password": NEW, "password_confirmation": NEW, **changed}
    assert at_home.send("/account/password", **sent).status_code == 422
    assert words in (at_home.problem_of(field) or "")
    assert NEW not in at_home.page and PASSWORD not in at_home.page


def test_signing_out_everywhere_else(at_home, new_visitor):
    elsewhere = new_visitor().sign_in("wren")
    at_home.send("/account/sessions", form_on="/account", follow=True)
    assert "signed out everywhere but here" in at_home.page
    assert elsewhere.client.get("/account").status_code == 303


def test_deleting_says_first_what_it_means(any_database, at_home, stored, user, new_visitor):
    """Games must go first; the password is asked for; the name stays reserved."""
    stored.game("Harbour", owner=user)
    page = at_home.open("/account/delete")
    assert 'href="/manage/games/Harbour"' in page and "Delete my account for good" not in page
    assert at_home.send("/account/delete", current_password=PASSWORD).status_code == 422
    assert "delete them first" in at_home.page

    at_home.send("/manage/games/Harbour/delete", form_on="/manage/games/Harbour")
    assert "stays reserved" in at_home.open("/account/delete")
    for password in ("", "wrong"):
        assert at_home.send("/account/delete", current_password=password).status_code == 422
        assert at_home.problem_of("current_password")
    at_home.send("/account/delete", current_password=PASSWORD, follow=True)
    assert "Your account is deleted" in at_home.page and "Sign in" in at_home.page
    with db.reading() as session, pytest.raises(NotFound):
        users.get_user_by_username(session, "wren")
    again = {"username": "Wren", "email": "w@example.com", "password": PASSWORD, "password_confirmation": PASSWORD}
    other = new_visitor()
    assert other.send("/register", **again).status_code == 422 and "taken" in (other.problem_of("username") or "")


def test_the_last_admin_is_told(visitor, stored):
    visitor.sign_in(stored.admin("keeper").username)
    assert visitor.send("/account/delete", current_password=PASSWORD).status_code == 422
    assert "last admin" in visitor.page


def test_an_account_without_an_address(visitor, stored, mailbox):
    """As the first admin's: nothing is mailed to nowhere, and one can be set."""
    visitor.sign_in(stored.user("keeper-2", email=None, role="admin").username)
    page = visitor.open("/account")
    assert "None yet" in page and "Send the mail again" not in page and "Set one" in page
    visitor.send("/account/verify", form_on="/account", follow=True)
    assert mailbox.take() == [] and "no address" in visitor.page
    visitor.send("/account/password", current_password=PASSWORD, password=NEW, password_confirmation=NEW)
    assert mailbox.take() == []
    visitor.send("/account/email", email="me@example.com", current_password=NEW)
    visitor.open(mailbox.take_link(to="me@example.com"))
    assert "me@example.com is verified" in visitor.page
