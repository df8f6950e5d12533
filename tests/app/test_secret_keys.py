"""Replacing SECRET_KEY: what an earlier key has signed stays valid as long as SECRET_KEY_FALLBACKS names it."""

from __future__ import annotations

import pytest

from app import create_app, known_browsers
from shared import chat_tokens
from shared.errors import InvalidCredentials
from tests.app.conftest import Visitor
from tests.support.factory import PASSWORD

OLD = "the old key, long enough"
NEW = "the-new-key-that-replaces-it"
EMAIL = "wren@example.com"


@pytest.fixture
def sites(make_settings, engine):
    """The site before and after its key was replaced: with the old key as a fallback, and without."""
    old = OLD.replace(" ", "-")
    return (
        create_app(make_settings(SECRET_KEY=old)),
        create_app(make_settings(SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=f"another-earlier-key {old}")),
        create_app(make_settings(SECRET_KEY=NEW)),
    )


def move(visitor: Visitor, site) -> Visitor:
    """Return a browser on another site, with the cookies of this one."""
    moved = Visitor(site)
    for name in ("gossip_session", known_browsers.COOKIE):
        cookie = visitor.client.get_cookie(name)
        if cookie is not None:
            moved.client.set_cookie(name, cookie.value)
    return moved


def test_sessions_and_open_forms_outlive_their_key(sites, stored):
    before, after, without = sites
    stored.user("wren")
    visitor = Visitor(before).sign_in("wren")
    token = visitor.token("/account")

    moved = move(visitor, after)
    assert "Sign out" in moved.open("/")
    answer = moved.client.post("/sign-out", data={"csrf_token": token})
    assert answer.status_code == 303

    assert "Sign out" not in move(visitor, without).open("/")


def test_links_in_mails_outlive_their_key(sites, stored, mailbox):
    before, after, without = sites
    stored.user("wren", email=EMAIL, is_verified=True)
    Visitor(before).send("/reset", email=EMAIL)
    link = mailbox.take_link(to=EMAIL)

    assert Visitor(without).client.get(link).status_code == 404
    assert Visitor(after).client.get(link, follow_redirects=True).status_code == 200


def test_known_browsers_outlive_their_key(sites, stored):
    """Signing in again signs the cookie with the new key, and lists no login twice."""
    before, after, without = sites
    stored.user("wren", email=EMAIL, is_verified=True)
    visitor = Visitor(before).sign_in("wren")

    def knows(visitor: Visitor, site) -> bool:
        cookie = visitor.client.get_cookie(known_browsers.COOKIE).value
        with site.test_request_context("/", headers={"Cookie": f"{known_browsers.COOKIE}={cookie}"}):
            return known_browsers.knows("WREN") and known_browsers.knows(EMAIL)

    assert knows(visitor, before) and knows(visitor, after) and not knows(visitor, without)
    moved = move(visitor, after)
    moved.client.delete_cookie("gossip_session")
    moved.sign_in("wren", PASSWORD)
    assert knows(moved, after) and knows(moved, without)
    with after.test_request_context("/", headers={"Cookie": known_browsers.COOKIE + "=" + _value(moved)}):
        assert len(known_browsers._known_marks()) == 2


def _value(visitor: Visitor) -> str:
    return visitor.client.get_cookie(known_browsers.COOKIE).value


def test_chat_tokens_outlive_their_key(make_settings):
    """During a rolling restart, a site and a worker may sign and read with different keys."""
    token = chat_tokens.make_token([OLD], user_id=1, session_token="x")
    assert chat_tokens.read_token([OLD, NEW], token).user_id == 1
    with pytest.raises(InvalidCredentials):
        chat_tokens.read_token([NEW], token)
    token = chat_tokens.make_token([OLD, NEW], user_id=2, session_token="x")
    assert chat_tokens.read_token([NEW], token).user_id == 2
