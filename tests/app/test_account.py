"""The account pages: password, privacy, sessions, deletion."""

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
def user_browser(visitor, user):
    return visitor.sign_in("wren")


@pytest.mark.parametrize("path", PAGES)
def test_strangers_are_asked_to_sign_in(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.location) == (303, f"/sign-in?next={path}")


@pytest.mark.parametrize("path", FORMS)
def test_strangers_cannot_change_anything(visitor, path):
    assert visitor.send(path, form_on="/sign-in").location == "/sign-in"


@pytest.mark.parametrize("path", PAGES)
def test_the_pages_are_complete(user_browser, path):
    page = user_browser.open(path)
    assert user_browser.status == 200 and page.count("<h1") == 1 and len(page) < 20_000
    assert "style=" not in page and "not verified yet" not in page


def test_a_new_password_ends_every_other_session(user_browser, new_visitor, mailbox):
    """This session stays signed in, and the owner gets a mail."""
    elsewhere = new_visitor().sign_in("wren")
    user_browser.send(
        "/account/password", current_password=PASSWORD, password=NEW, password_confirmation=NEW, follow=True
    )
    assert "Your password has been changed" in user_browser.page and user_browser.status == 200
    assert elsewhere.client.get("/account").status_code == 303
    assert elsewhere.client.get("/manage/characters/live").status_code == 401
    assert user_browser.client.get("/account").status_code == 200
    assert '"wren" at Gossip has a new password' in mailbox.take_one(to="wren@example.com")
    new_visitor().sign_in("wren", NEW)


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"current_password": ""}, "current_password", "Enter your password"),
        ({"current_password": "wrong"}, "current_password", "not your password"),
        ({"password": "short", "password_confirmation": "short"}, "password", "8 characters"),
        ({"password": "x" * 1001, "password_confirmation": "x" * 1001}, "password", "1,000 characters"),
        ({"password_confirmation": "else"}, "password_confirmation", "do not match"),
    ],
)
def test_errors_of_a_new_password_are_shown(user_browser, changed, field, words):
    sent = {"current_password": PASSWORD, "password": NEW, "password_confirmation": NEW, **changed}
    assert user_browser.send("/account/password", **sent).status_code == 422
    assert words in (user_browser.problem_of(field) or "")
    assert NEW not in user_browser.page and PASSWORD not in user_browser.page


def test_signing_out_everywhere_else(user_browser, new_visitor):
    elsewhere = new_visitor().sign_in("wren")
    user_browser.send("/account/sessions", form_on="/account", follow=True)
    assert "signed out everywhere else" in user_browser.page
    assert elsewhere.client.get("/account").status_code == 303


def test_deleting_explains_what_it_means_first(any_database, user_browser, stored, user, new_visitor):
    """Games must be deleted first, the password is required, and the name stays reserved."""
    stored.game("Harbour", owner=user)
    page = user_browser.open("/account/delete")
    assert 'href="/manage/games/Harbour"' in page and "Delete my account permanently" not in page
    assert user_browser.send("/account/delete", current_password=PASSWORD).status_code == 422
    assert "delete them first" in user_browser.page

    user_browser.send("/manage/games/Harbour/delete", form_on="/manage/games/Harbour")
    assert "stays reserved" in user_browser.open("/account/delete")
    for password in ("", "wrong"):
        assert user_browser.send("/account/delete", current_password=password).status_code == 422
        assert user_browser.problem_of("current_password")
    user_browser.send("/account/delete", current_password=PASSWORD, follow=True)
    assert "Your account has been deleted" in user_browser.page and "Sign in" in user_browser.page
    with db.reading() as session, pytest.raises(NotFound):
        users.get_user_by_username(session, "wren")
    again = {"username": "Wren", "email": "w@example.com", "password": PASSWORD, "password_confirmation": PASSWORD}
    other = new_visitor()
    assert other.send("/register", **again).status_code == 422 and "taken" in (other.problem_of("username") or "")


def test_the_last_admin_cannot_delete_the_account(visitor, stored):
    visitor.sign_in(stored.admin("keeper").username)
    assert visitor.send("/account/delete", current_password=PASSWORD).status_code == 422
    assert "last admin" in visitor.page


def test_an_account_without_an_address(visitor, stored, mailbox):
    """Such as the first admin's: no mail is sent, and an address can be set."""
    visitor.sign_in(stored.user("keeper-2", email=None, role="admin").username)
    page = visitor.open("/account")
    assert "None yet" in page and "Send the mail again" not in page and "Set one" in page
    visitor.send("/account/verify", form_on="/account", follow=True)
    assert mailbox.take() == [] and "no email address" in visitor.page
    visitor.send("/account/password", current_password=PASSWORD, password=NEW, password_confirmation=NEW)
    assert mailbox.take() == []
    visitor.send("/account/email", email="me@example.com", current_password=NEW)
    visitor.open(mailbox.take_link(to="me@example.com"))
    assert "me@example.com is now verified" in visitor.page
