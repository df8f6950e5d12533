"""Links in mails: they verify addresses, change them, and reset passwords. No form reveals who has an account."""

from __future__ import annotations

import re
import socket

import pytest

from shared import db
from shared.services import users
from tests.app.conftest import Visitor
from tests.support.factory import PASSWORD
from tests.support.racing import Racer

EMAIL = "wren@example.com"
NEW_PASSWORD = "another battery, horse"


def register(visitor, username="Wren", email=EMAIL, password=PASSWORD):
    answer = visitor.send(
        "/register", username=username, email=email, password=password, password_confirmation=password
    )
    assert answer.status_code == 303, visitor.page
    return visitor


def stored_user(username="wren"):
    with db.reading() as session:
        return users.get_user_by_username(session, username)


def without_tokens(page):
    return re.sub(r'name="csrf_token" value="[^"]+"', "", page)


def test_registering_sends_a_link_that_verifies_the_address(any_database, visitor, mailbox):
    """Following it again does no harm."""
    register(visitor)
    assert "not verified yet" in visitor.open("/manage/games") and EMAIL in visitor.page
    link = mailbox.take_link(to=EMAIL)
    for _ in range(2):
        visitor.open(link)
        assert visitor.status == 200 and f"{EMAIL} is" in visitor.page
    assert "not verified yet" not in visitor.open("/manage/games")
    assert stored_user().is_verified


def test_a_signed_out_browser_must_confirm(visitor, new_visitor, mailbox):
    """Mail scanners open links too, so opening one changes nothing."""
    register(visitor)
    link = mailbox.take_link(to=EMAIL)
    other = new_visitor()
    assert "Is this your address?" in other.open(link)
    assert other.answer.headers["Cache-Control"] == "no-store"
    assert other.client.head(link).status_code == 200
    assert not stored_user().is_verified
    other.send(link, follow=True)
    assert "is now verified" in other.page and other.answer.request.path == "/sign-in"
    assert stored_user().is_verified


def test_the_mail_can_be_requested_again(visitor, mailbox):
    register(visitor)
    first = mailbox.take_link(to=EMAIL)
    visitor.send("/account/verify", form_on="/account", follow=True)
    assert f"A mail is on its way to {EMAIL}" in visitor.page
    visitor.open(mailbox.take_link(to=EMAIL))
    assert "is now verified" in visitor.page
    visitor.send("/account/verify", form_on="/account", follow=True)
    assert "already verified" in visitor.page and mailbox.take() == []
    visitor.open(first)
    assert visitor.status == 200


def test_registering_with_a_known_address_looks_the_same(any_database, new_visitor, stored, mailbox):
    """The response, the next pages and each attempt to sign in are the same, byte for byte. The owner gets a mail."""
    stored.user("owner", email="known@example.com", is_verified=True)
    seen = []
    for username, email in (("stranger1", "known@example.com"), ("stranger2", "fresh@example.com")):
        visitor = register(new_visitor(), username, email, NEW_PASSWORD)
        pages = [visitor.answer.get_data(as_text=True), visitor.answer.location]
        for path in ("/manage/games", "/account", "/manage/characters", f"/players/{username}"):
            pages.append(re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|data-mark=\S+", "", without_tokens(visitor.open(path))))
        visitor.send("/account/verify", form_on="/account", follow=True)
        pages.append(without_tokens(visitor.page))
        for login in (username, email):
            visitor.send("/sign-out", form_on="/account")
            visitor.sign_in(login, NEW_PASSWORD)
            pages.append(without_tokens(visitor.open("/account")))
        # A picture is drawn from the name, and the two register at different seconds.
        text = re.sub(r"avatar-\d+|\d\d:\d\d:\d\d", "", "\n".join(pages))
        seen.append(text.replace(username, "NAME").replace(email, "EMAIL"))
    assert seen[0] == seen[1]

    mails = [mail.get_content() for mail in mailbox.take() if mail["To"] == "known@example.com"]
    assert len(mails) == 2 and mails[0] == mails[1]
    assert '"owner"' in mails[0] and '"stranger1"' in mails[0] and "/account/verify/" not in mails[0]
    Visitor.sign_in(new_visitor(), "known@example.com")


def test_requesting_a_reset_looks_the_same(any_database, new_visitor, stored, mailbox):
    """One mail is sent whether or not the address is known. Only its reader learns which."""
    stored.user("owner", email="known@example.com", is_verified=True)
    seen = []
    for email in ("known@example.com", "fresh@example.com"):
        visitor = new_visitor()
        answer = visitor.send("/reset", email=email)
        seen.append((answer.status_code, without_tokens(answer.get_data(as_text=True)).replace(email, "EMAIL")))
        text = mailbox.take_one(to=email)
        assert ("/reset/" in text) is (email == "known@example.com")
    assert seen[0] == seen[1] and seen[0][0] == 200


def test_a_reset_ends_all_other_sessions(any_database, visitor, new_visitor, mailbox):
    """The link works once, but errors in the new password can be corrected first."""
    thief = register(new_visitor())
    assert thief.client.get("/account").status_code == 200
    mailbox.take()
    visitor.send("/reset", email="WREN@example.com")
    link = mailbox.take_link(to=EMAIL)
    assert "Wren" in visitor.open(link) and visitor.answer.headers["Cache-Control"] == "no-store"
    for password, again, field in (("short", "short", "password"), (NEW_PASSWORD, "else", "password_confirmation")):
        assert visitor.send(link, password=password, password_confirmation=again).status_code == 422
        assert visitor.problem_of(field)

    answer = visitor.send(link, password=NEW_PASSWORD, password_confirmation=NEW_PASSWORD)
    assert (answer.status_code, answer.location) == (303, "/sign-in")
    assert "has a new password" in mailbox.take_one(to=EMAIL)
    assert thief.client.get("/account").status_code == 303
    assert thief.client.get("/manage/characters/live").status_code == 401
    visitor.open(link)
    assert visitor.status == 404 and "no longer works" in visitor.page
    visitor.sign_in(EMAIL, NEW_PASSWORD)
    assert stored_user().is_verified


def test_a_similar_address_is_a_different_one(any_database, visitor, stored, mailbox):
    """The owner of straße.example must not get into an account of strasse.example."""
    stored.user("owner", email="wren@strasse.example", is_verified=True)
    visitor.send("/reset", email="wren@straße.example")
    (mail,) = mailbox.take()
    assert mail["To"] == "wren@xn--strae-oqa.example" and "No account has this address" in mail.get_content()


def test_other_spellings_of_an_address_match(any_database, visitor, stored, mailbox):
    """The host in its DNS form, or in wide letters. The mail goes to the account's spelling."""
    stored.user("owner", email="wren@münchen.example", is_verified=True)
    for spelling in ("Wren@xn--mnchen-3ya.example", "WREN@ＭÜNCHEN.example"):
        visitor.send("/reset", email=spelling)
        (mail,) = mailbox.take()
        assert mail["To"] == "wren@xn--mnchen-3ya.example" and '"owner"' in mail.get_content()
        visitor.sign_in(spelling)


def test_an_address_can_be_changed_to_another_case(visitor, mailbox):
    """The account shows the new spelling and mails go to it."""
    register(visitor)
    visitor.open(mailbox.take_link(to=EMAIL))
    visitor.send("/account/email", email="Wren@example.com", current_password=PASSWORD)
    visitor.open(mailbox.take_link(to="Wren@example.com"))
    assert "Wren@example.com is now verified" in visitor.page and stored_user().email == "Wren@example.com"
    assert mailbox.take() == []


def test_a_new_address_must_be_confirmed_by_mail(visitor, stored, mailbox):
    """Nothing changes until then, and the old address is notified."""
    stored.user("owner", email="known@example.com", is_verified=True)
    register(visitor)
    visitor.open(mailbox.take_link(to=EMAIL))
    assert visitor.send("/account/email", email="new@example.com", current_password="wrong").status_code == 422
    assert "not your password" in (visitor.problem_of("current_password") or "")
    assert visitor.send("/account/email", email="nothing", current_password=PASSWORD).status_code == 422
    assert visitor.problem_of("email") and mailbox.take() == []

    pages = []
    for email in ("known@example.com", "new@example.com"):
        visitor.send("/account/email", follow=True, email=email, current_password=PASSWORD)
        pages.append(without_tokens(visitor.page).replace(email, "EMAIL"))
    assert pages[0] == pages[1] and "on its way to EMAIL" in pages[0]
    taken, first_notice, new, second_notice = mailbox.take()
    assert {mail["To"] for mail in (first_notice, second_notice)} == {EMAIL}
    assert "asked to change it to new@example.com" in " ".join(second_notice.get_content().split())
    assert "new@example.com" in visitor.page and "not confirmed" in visitor.page
    assert '"owner"' in taken.get_content() and "/account/email/" not in taken.get_content()
    assert stored_user().email == EMAIL

    visitor.open(re.search(r"http://[^/]+(/account/email/\S+)", new.get_content())[1])
    assert "new@example.com is now verified" in visitor.page and stored_user().email == "new@example.com"
    assert "was changed to another one" in mailbox.take_one(to=EMAIL)
    assert "not confirmed" not in visitor.open("/account")


def test_a_change_of_address_can_be_cancelled(visitor, mailbox):
    """Its link no longer works."""
    register(visitor)
    visitor.open(mailbox.take_link(to=EMAIL))
    visitor.send("/account/email", email="new@example.com", current_password=PASSWORD)
    new, _notice = mailbox.take()
    assert visitor.open("/account/email") and visitor.value_of("email") == "new@example.com"
    visitor.send("/account/email/cancel", form_on="/account", follow=True)
    assert "stays as it is" in visitor.page and "new@example.com" not in visitor.page
    visitor.open(re.search(r"http://[^/]+(/account/email/\S+)", new.get_content())[1])
    assert visitor.status == 404 and stored_user().email == EMAIL


def test_a_used_link_says_so(visitor, new_visitor, mailbox):
    """Signed in or not, there is nothing left to confirm."""
    register(visitor)
    link = mailbox.take_link(to=EMAIL)
    assert "is now verified for" in visitor.open(link)
    assert "already verified" in new_visitor().open(link) and "already verified" in visitor.open(link)


@pytest.mark.parametrize("path", ["/account/verify/", "/account/email/", "/reset/"])
@pytest.mark.parametrize("token", ["x", "WzEsImEiLCJiIl0.aaaa.bbbb", "é", "a" * 3000])
def test_forged_links_do_not_work(client, path, token):
    answer = client.get(path + token)
    assert answer.status_code == 404
    assert "expired or is incomplete" in answer.get_data(as_text=True)


def test_a_link_works_for_one_purpose(visitor, mailbox):
    """A link to verify an address cannot reset a password."""
    register(visitor)
    token = mailbox.take_link(to=EMAIL).rsplit("/", 1)[1]
    assert visitor.client.get(f"/reset/{token}").status_code == 404


def test_links_expire(visitor, mailbox, monkeypatch):
    from itsdangerous import TimestampSigner

    register(visitor)
    visitor.send("/reset", email=EMAIL)
    mailbox._read.clear()
    now = TimestampSigner.get_timestamp(TimestampSigner("x"))
    verification, reset = (re.search(r"http://[^/]+(/\S+)", mail.get_content())[1] for mail in mailbox.take())
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda signer: now + 3 * 3600)
    assert visitor.client.get(reset).status_code == 404
    assert visitor.client.get(verification).status_code == 303


def test_links_point_to_the_public_address_whatever_the_host(app, mailbox):
    """A forged Host header must not send somebody's link elsewhere."""
    client = app.test_client()
    page = client.get("/reset", headers={"Host": "evil.example"}).get_data(as_text=True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
    client.post("/reset", data={"csrf_token": token, "email": EMAIL}, headers={"Host": "evil.example"})
    assert "evil.example" not in mailbox.take_one(to=EMAIL)


def test_a_mail_server_that_is_down_loses_no_account(make_settings, engine, stored):
    """The pages say so, in the same way for known and unknown addresses, and the mail can be requested later."""
    from app import create_app

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    app = create_app(make_settings(MAIL_URL=f"smtp://127.0.0.1:{port}"))
    stored.user("owner", email="known@example.com", is_verified=True)
    for username, email in (("Wren", EMAIL), ("Robin", "known@example.com")):
        visitor = register(Visitor(app), username, email)
        page = visitor.open("/manage/games")
        assert "could not be sent" in page and "Your account is ready" in page and "Send the mail again" in page
        visitor.send("/account/verify", form_on="/account", follow=True)
        assert "try again later" in visitor.page
        assert visitor.send("/reset", email=email).status_code == 503
        assert "could not be sent" in visitor.page
        assert visitor.send("/account/email", email="x@example.com", current_password=PASSWORD).status_code == 503
        assert "not confirmed" not in visitor.open("/account")
        visitor.send(
            "/account/password",
            current_password=PASSWORD,
            password=NEW_PASSWORD,
            password_confirmation=NEW_PASSWORD,
            follow=True,
        )
        assert "Your password has been changed" in visitor.page


@pytest.mark.parametrize(
    ("path", "fields", "tries"),
    [
        ("/register", {"username": "x", "email": EMAIL, "password": "x", "password_confirmation": "x"}, 10),
        ("/reset", {"email": EMAIL}, 5),
    ],
)
def test_mails_to_one_address_are_limited(make_settings, engine, path, fields, tries):
    """The page says so. Other addresses are not affected."""
    from app import create_app

    visitor = Visitor(create_app(make_settings(RATE_LIMITS="on")))
    for _ in range(tries):
        assert visitor.send(path, **fields).status_code in (200, 422)
    answer = visitor.send(path, **{**fields, "email": EMAIL.upper()})
    assert answer.status_code == 429 and "Too many" in visitor.page and "Try again in" in visitor.page
    assert visitor.send(path, **{**fields, "email": "other@example.com"}).status_code in (200, 422)


def test_many_accounts_cannot_send_more_mails_to_one_address(make_settings, engine, mailbox):
    """Anybody can enter somebody's address in many accounts."""
    from app import create_app

    app = create_app(make_settings(RATE_LIMITS="on"))
    first, second = (register(Visitor(app), username) for username in ("first", "second"))
    statuses = [first.send("/account/verify", form_on="/account").status_code for _ in range(5)]
    assert statuses == [303] * 5 and len(mailbox.take()) == 7
    assert second.send("/account/verify", form_on="/account").status_code == 429
    assert mailbox.take() == []
    other = register(Visitor(app), "other", "other@example.com")
    assert other.send("/account/verify", form_on="/account").status_code == 303


def test_concurrent_requests_are_counted(make_settings, engine):
    """Each is counted before its mail is sent, so a slow mail server does not allow more of them."""
    from app import create_app

    app = create_app(make_settings(RATE_LIMITS="on"))
    sent = []

    class SlowMailer:
        """While it sends a mail, the next one is requested."""

        def send(self, mail):
            sent.append(mail)
            if len(sent) < 20:
                Racer(lambda: Visitor(app).send("/reset", email=EMAIL)).join()

    app.extensions["mailer"] = SlowMailer()
    Visitor(app).send("/reset", email=EMAIL)
    assert len(sent) == 5


def test_requests_from_one_client_address_are_limited(make_settings, engine):
    from app import create_app

    visitor = Visitor(create_app(make_settings(RATE_LIMITS="on")))
    statuses = [visitor.send("/reset", email=f"a{number}@example.com").status_code for number in range(31)]
    assert statuses == [200] * 30 + [429]


def test_requests_of_a_signed_in_user_are_limited(make_settings, engine, stored):
    """Per account. Another account at the same client address is not affected."""
    from app import create_app

    app = create_app(make_settings(RATE_LIMITS="on"))
    visitor = Visitor(app).sign_in(stored.user().username)
    statuses = [visitor.send("/account/verify", form_on="/account").status_code for _ in range(6)]
    assert statuses == [303] * 5 + [429]
    wrong = {"current_password": "wrong", "password": NEW_PASSWORD, "password_confirmation": NEW_PASSWORD}
    statuses = [visitor.send("/account/password", **wrong).status_code for _ in range(11)]
    assert statuses == [422] * 10 + [429]
    other = Visitor(app).sign_in(stored.user().username)
    assert other.send("/account/verify", form_on="/account").status_code == 303
