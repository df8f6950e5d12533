"""Links in mails: they prove addresses, change them, and let people back in; and no form tells who has an account."""

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


def test_registering_sends_a_link_that_verifies_at_once_where_one_is_signed_in(any_database, visitor, mailbox):
    """And clicking it again does no harm."""
    register(visitor)
    assert "not verified yet" in visitor.open("/manage/games") and EMAIL in visitor.page
    link = mailbox.take_link(to=EMAIL)
    for _ in range(2):
        visitor.open(link)
        assert visitor.status == 200 and f"{EMAIL} is verified" in visitor.page
    assert "not verified yet" not in visitor.open("/manage/games")
    assert stored_user().is_verified


def test_elsewhere_the_link_asks_first(visitor, new_visitor, mailbox):
    """What looks into mails for people opens links too: opening one changes nothing by itself."""
    register(visitor)
    link = mailbox.take_link(to=EMAIL)
    other = new_visitor()
    assert "Is this your address?" in other.open(link)
    assert other.answer.headers["Cache-Control"] == "no-store"
    assert other.client.head(link).status_code == 200
    assert not stored_user().is_verified
    other.send(link, follow=True)
    assert "is verified" in other.page and other.answer.request.path == "/sign-in"
    assert stored_user().is_verified


def test_the_mail_can_be_asked_for_again(visitor, mailbox):
    register(visitor)
    first = mailbox.take_link(to=EMAIL)
    visitor.send("/account/verify", form_on="/account", follow=True)
    assert f"A mail is on its way to {EMAIL}" in visitor.page
    visitor.open(mailbox.take_link(to=EMAIL))
    assert "is verified" in visitor.page
    visitor.send("/account/verify", form_on="/account", follow=True)
    assert "verified already" in visitor.page and mailbox.take() == []
    visitor.open(first)
    assert visitor.status == 200


def test_registering_with_a_known_address_looks_the_same(any_database, new_visitor, stored, mailbox):
    """To the byte, on the answer, the pages after it, and at every try to sign in; the owner is told by mail."""
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
        seen.append("\n".join(pages).replace(username, "NAME").replace(email, "EMAIL"))
    assert seen[0] == seen[1]

    told = [mail.get_content() for mail in mailbox.take() if mail["To"] == "known@example.com"]
    assert len(told) == 2 and told[0] == told[1]
    assert '"owner"' in told[0] and '"stranger1"' in told[0] and "/account/verify/" not in told[0]
    Visitor.sign_in(new_visitor(), "known@example.com")


def test_asking_for_a_new_password_looks_the_same(any_database, new_visitor, stored, mailbox):
    """Known or unknown, one mail goes out; only its reader learns more."""
    stored.user("owner", email="known@example.com", is_verified=True)
    seen = []
    for email in ("known@example.com", "fresh@example.com"):
        visitor = new_visitor()
        answer = visitor.send("/reset", email=email)
        seen.append((answer.status_code, without_tokens(answer.get_data(as_text=True)).replace(email, "EMAIL")))
        text = mailbox.take_one(to=email)
        assert ("/reset/" in text) is (email == "known@example.com")
    assert seen[0] == seen[1] and seen[0][0] == 200


def test_a_reset_lets_people_back_in_and_everybody_else_out(any_database, visitor, new_visitor, mailbox):
    """The link works once; what was wrong with the password can be mended first."""
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
    assert visitor.status == 404 and "works no more" in visitor.page
    visitor.sign_in(EMAIL, NEW_PASSWORD)
    assert stored_user().is_verified


def test_an_address_that_looks_alike_is_another_one(any_database, visitor, stored, mailbox):
    """Whoever has straße.example must not get into the account of somebody at strasse.example."""
    stored.user("owner", email="wren@strasse.example", is_verified=True)
    visitor.send("/reset", email="wren@straße.example")
    (mail,) = mailbox.take()
    assert mail["To"] == "wren@xn--strae-oqa.example" and "No account has this address" in mail.get_content()


def test_another_spelling_of_an_address_is_the_same(any_database, visitor, stored, mailbox):
    """As its host is written in DNS, or with wide letters; the mail goes where the account says."""
    stored.user("owner", email="wren@münchen.example", is_verified=True)
    for spelling in ("Wren@xn--mnchen-3ya.example", "WREN@ＭÜNCHEN.example"):
        visitor.send("/reset", email=spelling)
        (mail,) = mailbox.take()
        assert mail["To"] == "wren@xn--mnchen-3ya.example" and '"owner"' in mail.get_content()
        visitor.sign_in(spelling)


def test_the_same_address_in_another_case_is_taken_over(visitor, mailbox):
    """The account shows it, and is mailed to, as its owner spells it now."""
    register(visitor)
    visitor.open(mailbox.take_link(to=EMAIL))
    visitor.send("/account/email", email="Wren@example.com", current_password=PASSWORD)
    visitor.open(mailbox.take_link(to="Wren@example.com"))
    assert "Wren@example.com is verified" in visitor.page and stored_user().email == "Wren@example.com"
    assert mailbox.take() == []


def test_another_address_is_had_by_its_mail(visitor, stored, mailbox):
    """Until then all stays; the old address is told."""
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
    taken, told, new, told_again = mailbox.take()
    assert {mail["To"] for mail in (told, told_again)} == {EMAIL}
    assert "asked to change it to new@example.com" in " ".join(told_again.get_content().split())
    assert "new@example.com" in visitor.page and "waits for you" in visitor.page
    assert '"owner"' in taken.get_content() and "/account/email/" not in taken.get_content()
    assert stored_user().email == EMAIL

    visitor.open(re.search(r"http://[^/]+(/account/email/\S+)", new.get_content())[1])
    assert "new@example.com is verified" in visitor.page and stored_user().email == "new@example.com"
    assert "has another one now" in mailbox.take_one(to=EMAIL)
    assert "waits for you" not in visitor.open("/account")


def test_a_change_of_address_can_be_cancelled(visitor, mailbox):
    """Its link does nothing then."""
    register(visitor)
    visitor.open(mailbox.take_link(to=EMAIL))
    visitor.send("/account/email", email="new@example.com", current_password=PASSWORD)
    new, _told = mailbox.take()
    assert visitor.open("/account/email") and visitor.value_of("email") == "new@example.com"
    visitor.send("/account/email/cancel", form_on="/account", follow=True)
    assert "stays as it is" in visitor.page and "new@example.com" not in visitor.page
    visitor.open(re.search(r"http://[^/]+(/account/email/\S+)", new.get_content())[1])
    assert visitor.status == 404 and stored_user().email == EMAIL


def test_a_link_that_was_followed_says_so(visitor, new_visitor, mailbox):
    """Signed in or not, nothing is left to press."""
    register(visitor)
    link = mailbox.take_link(to=EMAIL)
    assert "is verified: it belongs" in visitor.open(link)
    assert "verified already" in new_visitor().open(link) and "verified already" in visitor.open(link)


@pytest.mark.parametrize("path", ["/account/verify/", "/account/email/", "/reset/"])
@pytest.mark.parametrize("token", ["x", "WzEsImEiLCJiIl0.aaaa.bbbb", "é", "a" * 3000])
def test_made_up_links_say_that_they_do_nothing(client, path, token):
    answer = client.get(path + token)
    assert answer.status_code == 404
    assert "too old, or was cut short" in answer.get_data(as_text=True)


def test_a_link_is_good_for_one_purpose(visitor, mailbox):
    """A verification does not reset a password."""
    register(visitor)
    token = mailbox.take_link(to=EMAIL).rsplit("/", 1)[1]
    assert visitor.client.get(f"/reset/{token}").status_code == 404


def test_links_grow_old(visitor, mailbox, monkeypatch):
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
    """Else a made-up Host would send somebody's link elsewhere."""
    client = app.test_client()
    page = client.get("/reset", headers={"Host": "evil.example"}).get_data(as_text=True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
    client.post("/reset", data={"csrf_token": token, "email": EMAIL}, headers={"Host": "evil.example"})
    assert "evil.example" not in mailbox.take_one(to=EMAIL)


def test_a_mail_server_that_is_away_loses_no_account(make_settings, engine, stored):
    """The pages say so, alike for known and unknown addresses, and the mail can be asked for later."""
    from app import create_app

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    app = create_app(make_settings(MAIL_URL=f"smtp://127.0.0.1:{port}"))
    stored.user("owner", email="known@example.com", is_verified=True)
    for username, email in (("Wren", EMAIL), ("Robin", "known@example.com")):
        visitor = register(Visitor(app), username, email)
        page = visitor.open("/manage/games")
        assert "could not be sent" in page and "Your account is kept" in page and "Send the mail again" in page
        visitor.send("/account/verify", form_on="/account", follow=True)
        assert "Try again later" in visitor.page
        assert visitor.send("/reset", email=email).status_code == 503
        assert "could not be sent" in visitor.page
        assert visitor.send("/account/email", email="x@example.com", current_password=PASSWORD).status_code == 503
        assert "waits for you" not in visitor.open("/account")
        visitor.send(
            "/account/password",
            current_password=PASSWORD,
            password=NEW_PASSWORD,
            password_confirmation=NEW_PASSWORD,
            follow=True,
        )
        assert "Your password is changed" in visitor.page


@pytest.mark.parametrize(
    ("path", "fields", "tries"),
    [
        ("/register", {"username": "x", "email": EMAIL, "password": "x", "password_confirmation": "x"}, 10),
        ("/reset", {"email": EMAIL}, 5),
    ],
)
def test_mails_to_one_address_are_limited(make_settings, engine, path, fields, tries):
    """With words that say so; other addresses are not in it."""
    from app import create_app

    visitor = Visitor(create_app(make_settings(RATE_LIMITS="on")))
    for _ in range(tries):
        assert visitor.send(path, **fields).status_code in (200, 422)
    answer = visitor.send(path, **{**fields, "email": EMAIL.upper()})
    assert answer.status_code == 429 and "Too many" in visitor.page and "Try again in" in visitor.page
    assert visitor.send(path, **{**fields, "email": "other@example.com"}).status_code in (200, 422)


def test_many_accounts_send_no_more_mails_to_one_address(make_settings, engine, mailbox):
    """Anybody may give somebody's address, in as many accounts as they like."""
    from app import create_app

    app = create_app(make_settings(RATE_LIMITS="on"))
    first, second = (register(Visitor(app), username) for username in ("first", "second"))
    statuses = [first.send("/account/verify", form_on="/account").status_code for _ in range(5)]
    assert statuses == [303] * 5 and len(mailbox.take()) == 7
    assert second.send("/account/verify", form_on="/account").status_code == 429
    assert mailbox.take() == []
    other = register(Visitor(app), "other", "other@example.com")
    assert other.send("/account/verify", form_on="/account").status_code == 303


def test_requests_at_the_same_moment_are_counted_too(make_settings, engine):
    """Each is, before its mail is sent: a slow mail server must not be a way to more of them."""
    from app import create_app

    app = create_app(make_settings(RATE_LIMITS="on"))
    sent = []

    class SlowMailer:
        """While it sends a mail, the next one is asked for."""

        def send(self, mail):
            sent.append(mail)
            if len(sent) < 20:
                Racer(lambda: Visitor(app).send("/reset", email=EMAIL)).join()

    app.extensions["mailer"] = SlowMailer()
    Visitor(app).send("/reset", email=EMAIL)
    assert len(sent) == 5


def test_one_address_on_the_internet_may_ask_so_often(make_settings, engine):
    from app import create_app

    visitor = Visitor(create_app(make_settings(RATE_LIMITS="on")))
    statuses = [visitor.send("/reset", email=f"a{number}@example.com").status_code for number in range(31)]
    assert statuses == [200] * 30 + [429]


def test_what_a_signed_in_person_asks_for_is_limited(make_settings, engine, stored):
    """By account: another one at the same address goes on."""
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
