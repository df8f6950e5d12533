"""Registering, signing in and out."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from itertools import islice

import pytest
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import text

from app import create_app, known_browsers
from app.accounts import identity
from app.limits import visitor_address
from shared import db
from shared.models import User
from shared.services import characters, games, sessions, users
from tests.app.conftest import Visitor
from tests.support.factory import PASSWORD

NUL = "\0"
REGISTER = {
    "username": "Wren",
    "email": "wren@example.com",
    "password": PASSWORD,
    "password_confirmation": PASSWORD,
}


def test_a_new_account_is_signed_in_and_can_sign_out_and_in_again(visitor):
    """Register, sign out, sign in by email in another case."""
    answer = visitor.send("/register", **REGISTER)
    assert (answer.status_code, answer.location) == (303, "/account/welcome")
    assert "Welcome, Wren" in visitor.open("/manage/games")

    visitor.send("/sign-out", form_on="/manage/games", follow=True)
    assert "You are signed out" in visitor.page
    assert visitor.client.get("/manage/games").location == "/sign-in?next=/manage/games"

    visitor.sign_in("WREN@example.com")
    assert "Sign out" in visitor.open("/")


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"username": ""}, "username", "Choose a username"),
        ({"username": "ab"}, "username", "3 to 50"),
        ({"username": "has space"}, "username", "3 to 50"),
        ({"username": "x" * 51}, "username", "too long"),
        ({"username": "Admin"}, "username", "not allowed"),
        ({"username": "TAKEN"}, "username", "taken"),
        ({"email": "nothing"}, "email", "not an email address"),
        ({"email": "ö@example.com"}, "email", "only have the letters a to z"),
        ({"password": "short", "password_confirmation": "short"}, "password", "8 characters"),
        ({"password_confirmation": "another one"}, "password_confirmation", "do not match"),
    ],
)
def test_errors_are_shown_beside_the_field_and_input_is_kept(visitor, stored, changed, field, words):
    """Bad input returns 422 with a message at the field and keeps the input, except passwords."""
    stored.user("taken")
    sent = {**REGISTER, **changed}
    answer = visitor.send("/register", **sent)

    assert answer.status_code == 422
    assert words in (visitor.problem_of(field) or "")
    assert "<title>Error: " in visitor.page
    assert visitor.value_of("username") == sent["username"]
    assert visitor.value_of("email") == sent["email"]
    assert PASSWORD not in visitor.page
    with db.reading() as session:
        assert users.find_user_by_username(session, "Wren") is None


def test_an_empty_form_shows_all_errors_at_once(visitor):
    """Users should not have to send a form five times to see five errors."""
    visitor.send("/register", username="", email="", password="", password_confirmation="")
    assert all(visitor.problem_of(field) for field in ("username", "email", "password"))


def test_a_wrong_password_and_an_unknown_name_look_the_same(any_database, visitor, stored):
    """Strangers cannot find out who has an account."""
    user = stored.user()
    visitor.send("/sign-in", login=user.username, password="not the password")
    message = visitor.problem_of("password")
    visitor.send("/sign-in", login="nobody", password="not the password")
    assert visitor.status == 422
    assert message
    assert message == visitor.problem_of("password")
    visitor.send("/sign-in", login="no\0body", password="not the password")
    assert visitor.status == 422


@pytest.mark.parametrize(
    ("target", "goes_to"),
    [
        ("/games?q=x", "/games?q=x"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\tevil", "/"),
        ("", "/"),
    ],
)
def test_signing_in_redirects_only_to_local_pages(visitor, stored, target, goes_to):
    """A foreign address in `next` is ignored."""
    user = stored.user()
    token = visitor.token("/sign-in")
    answer = visitor.client.post(
        "/sign-in",
        query_string={"next": target},
        data={"csrf_token": token, "login": user.username, "password": PASSWORD},
    )
    assert (answer.status_code, answer.location) == (303, goes_to)


def test_signing_in_leads_to_the_most_likely_page(new_visitor, stored):
    """Games first, then moderation, characters, and the home page."""
    stored.game("Mine", owner=stored.user("wright"))
    stored.game("Theirs", owner=stored.user("both", role="moderator"))
    stored.user("mod", role="moderator")
    stored.admin("keeper")
    player = stored.user("wren")
    with db.transaction() as session:
        key = users.get_user_by_username(session, "wren").registration_key
        game = games.get_game(session, "Mine")
        characters.register_character(session, game_id=game.id, name="Wren", key=key)
    stored.user("newcomer")
    start_pages = {
        name: new_visitor().sign_in(name).answer.location
        for name in ("wright", "both", "mod", "keeper", player.username, "newcomer")
    }
    assert start_pages == {
        "wright": "/manage/games",
        "both": "/manage/games",
        "mod": "/moderation",
        "keeper": "/moderation",
        "wren": "/manage/characters",
        "newcomer": "/",
    }


def test_signing_in_starts_a_new_session(visitor, stored):
    """A token from before signing in is not accepted afterwards."""
    user = stored.user()
    before = visitor.token("/sign-in")
    visitor.sign_in(user.username)
    assert visitor.client.post("/sign-out", data={"csrf_token": before}).status_code == 400


def test_signing_out_ends_copies_of_the_session_too(new_visitor, stored):
    """A copy of the cookie opens nothing. Other sessions of the account continue."""
    user = stored.user()
    here, elsewhere, copy = new_visitor(), new_visitor(), new_visitor()
    for visitor in (here, elsewhere):
        visitor.sign_in(user.username)
    cookie = here.client.get_cookie("gossip_session")
    copy.client.set_cookie("gossip_session", cookie.value)
    assert copy.client.get("/account").status_code == 200
    here.send("/sign-out", form_on="/account", follow=True)
    assert "You are signed out" in here.page
    assert copy.client.get("/account").status_code == 303
    with copy.client.session_transaction() as session:
        assert "_user_id" not in session
    copy.client.set_cookie("gossip_session", cookie.value)
    assert copy.client.get("/chat/token.json").status_code == 401
    assert elsewhere.client.get("/account").status_code == 200


def test_signing_out_works_in_this_browser_if_nothing_can_be_stored(visitor, stored, settings, monkeypatch):
    """Other copies of the session may continue, and the page says so."""
    visitor.sign_in(stored.user().username)
    visitor.open("/account")
    monkeypatch.setattr(db, "LOCK_SECONDS", 0.1)
    db.bind(db.make_engine(settings.database_url))
    with db.make_engine(settings.database_url).connect() as other:
        other.execute(text("SELECT 1"))
        visitor.send("/sign-out", form_on="/account", follow=True)
    assert "signed out in this browser" in visitor.page
    assert visitor.client.get("/account").status_code == 303


def test_old_ended_sessions_are_deleted(stored):
    user = stored.user()
    with db.transaction() as session:
        sessions.end(session, "a" * 32, user_id=user.id)
        sessions.end(session, "a" * 32, user_id=user.id)
    for days, ended in ((399, {"a" * 32}), (401, set())):
        with db.transaction() as session:
            sessions.prune(session, now=db.utc_now() + timedelta(days=days))
            assert sessions.list_ended(session, ["a" * 32, "b" * 32]) == ended


def test_a_changed_session_token_ends_the_session(visitor, stored):
    """This is how all sessions of an account are ended at once."""
    user = stored.user()
    visitor.sign_in(user.username)
    assert visitor.client.get("/manage/games").status_code == 200
    with db.transaction() as session:
        session.get(User, user.id).session_token = "another"
    assert visitor.client.get("/manage/games").status_code == 303


@pytest.fixture
def limited(make_settings, engine):
    """A site with rate limits."""
    return create_app(make_settings(RATE_LIMITS="on"))


def fail_to_sign_in(visitor, login, addresses, *, each=10):
    """Send wrong passwords, several from each address, and return the last response."""
    token = visitor.token("/sign-in")
    for number in range(addresses * each):
        answer = visitor.client.post(
            "/sign-in",
            data={"csrf_token": token, "login": login, "password": "wrong"},
            environ_base={"REMOTE_ADDR": f"192.0.2.{1 + number // each}"},
        )
    return answer.status_code


def test_failed_sign_ins_are_limited_per_account(limited, stored):
    """After ten failures the visitor must wait and can reset the password. Others can still sign in."""
    visitor, user, other = Visitor(limited), stored.user(), stored.user()
    for _ in range(10):
        assert visitor.send("/sign-in", login=user.username, password="wrong").status_code == 422
    answer = visitor.send("/sign-in", login=user.username.upper(), password=PASSWORD)

    assert answer.status_code == 429
    assert "Too many failed attempts to sign in" in visitor.page
    assert "Try again in 15 minutes" in visitor.page
    assert visitor.value_of("login") == user.username.upper() and PASSWORD not in visitor.page
    assert 'href="/reset"' in visitor.page
    assert 0 < int(answer.headers["Retry-After"]) <= 900
    visitor.sign_in(other.username)
    for _ in range(3):
        visitor.sign_in(other.username)


def test_guessing_from_elsewhere_does_not_lock_the_owner_out(limited, stored):
    """Ten failures block an address; a hundred in total block browsers that are new to the account."""
    stored.user("wren")
    known_browser, new_browser = Visitor(limited), Visitor(limited)
    known_browser.sign_in("wren").send("/sign-out", form_on="/account")
    assert fail_to_sign_in(Visitor(limited), "wren", 1, each=11) == 429
    new_browser.sign_in("wren").send("/sign-out", form_on="/account")

    assert fail_to_sign_in(Visitor(limited), "wren", 10) == 422
    assert Visitor(limited).send("/sign-in", login="wren", password=PASSWORD).status_code == 429
    known_browser.sign_in("wren")
    Visitor(limited).sign_in(stored.user("robin").username)


def test_a_known_browser_gets_no_extra_attempts(limited, stored):
    """Its ten attempts are counted across addresses, and it is known only to its own account."""
    for username in ("wren", "robin"):
        stored.user(username)
    visitor = Visitor(limited)
    visitor.sign_in("wren").send("/sign-out", form_on="/account")
    assert fail_to_sign_in(visitor, "wren", 11, each=1) == 429
    fail_to_sign_in(Visitor(limited), "robin", 10)
    assert visitor.send("/sign-in", login="robin", password=PASSWORD).status_code == 429


def test_the_cookie_of_known_browsers_cannot_be_forged(app, visitor, stored):
    """The cookie is signed and contains an address only if it was verified."""
    stored.user("wren", is_verified=True)
    stored.user("robin")
    for login in ("wren", "robin"):
        visitor.sign_in(login).send("/sign-out", form_on="/account")
    cookie = visitor.client.get_cookie(known_browsers.COOKIE).value
    forged = cookie[:-9] + ("A" if cookie[-9] != "A" else "B") + cookie[-8:]  # changes the signature
    for value, is_known in ((cookie, True), (forged, False), ("", False)):
        with app.test_request_context(headers={"Cookie": f"{known_browsers.COOKIE}={value}"}):
            assert known_browsers.knows("WREN") is is_known
            assert known_browsers.knows("wren@example.com") is is_known
            assert not known_browsers.knows("robin@example.com")


def test_other_spellings_count_as_the_same_account(make_settings, engine, stored):
    """Characters that the form removes do not start a new count."""
    visitor, user = Visitor(create_app(make_settings(RATE_LIMITS="on"))), stored.user("wren")
    spellings = ["w\0ren", "\0 WREN ", *(f"wren{NUL * count}" for count in range(8))]
    statuses = [visitor.send("/sign-in", login=login, password="wrong").status_code for login in spellings]
    assert statuses == [422] * 10
    assert visitor.send("/sign-in", login=user.username, password=PASSWORD).status_code == 429


def test_guesses_count_for_the_account_that_is_meant(limited, stored):
    """A hundred in all, as username or as email. The response does not tell that both mean one account."""
    stored.user("wren", is_verified=True)
    robin = stored.user("robin")
    for login, start in (("wren", 0), ("wren@example.com", 5)):
        token = (guesser := Visitor(limited)).token("/sign-in")
        for number in range(50):
            fields = {"csrf_token": token, "login": login, "password": "wrong"}
            address = f"192.0.2.{1 + start + number // 10}"
            answer = guesser.client.post("/sign-in", data=fields, environ_base={"REMOTE_ADDR": address})
            assert answer.status_code == 422
    for login in ("wren", "wren@example.com"):
        visitor = Visitor(limited)
        assert visitor.send("/sign-in", login=login, password=PASSWORD).status_code == 422
        assert "do not match" in visitor.page
    Visitor(limited).sign_in(robin.username)


@pytest.mark.parametrize("is_known", [False, True])
def test_ten_guesses_per_place_count_for_the_account_that_is_meant(limited, stored, is_known):
    stored.user("wren", is_verified=True)
    visitor = Visitor(limited)
    if is_known:
        visitor.sign_in("wren").send("/sign-out", form_on="/account")
    for number in range(10):
        login = "wren" if number % 2 else "wren@example.com"
        assert visitor.send("/sign-in", login=login, password="wrong").status_code == 422
    answer = visitor.send("/sign-in", login="wren", password=PASSWORD)
    assert answer.status_code == 422 and "do not match" in visitor.page


def test_the_cookie_of_known_browsers_names_nobody(visitor, stored):
    """Whoever finds a copy of it learns no email address."""
    stored.user("wren", is_verified=True)
    visitor.sign_in("wren@example.com")
    cookie = visitor.client.get_cookie(known_browsers.COOKIE).value
    _is_valid, marks = URLSafeTimedSerializer("another key").loads_unsafe(cookie)
    assert len(marks) == 2 and all(re.fullmatch("[0-9a-f]{32}", mark) for mark in marks)


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_an_ipv6_network_counts_as_one_address(app, first, second, is_one):
    """A client usually controls all addresses of its network."""
    seen = set()
    for address in (first, second):
        with app.test_request_context(environ_base={"REMOTE_ADDR": address}):
            seen.add(visitor_address())
    assert (len(seen) == 1) is is_one


def test_sign_ins_are_limited_while_redis_is_down(make_settings, engine, stored, own_valkey):
    """The process keeps the counts then."""
    own_valkey.stop()
    app = create_app(make_settings(RATE_LIMITS="on"))
    visitor, user = Visitor(app), stored.user()
    statuses = {visitor.send("/sign-in", login=user.username, password="wrong").status_code for _ in range(11)}
    assert statuses == {422, 429}


@pytest.mark.parametrize("path", ["/account", "/manage/characters/live", "/docs/asyncapi.yaml", "/static/site.css"])
def test_responses_set_no_cookie_unless_the_session_changed(visitor, stored, path):
    """A slow or cached response could otherwise restore an old session."""
    visitor.sign_in(stored.user().username).open("/account")
    answer = visitor.client.get(path)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


def test_a_session_in_use_is_extended(visitor, stored, monkeypatch):
    """Each day of use extends it."""
    visitor.sign_in(stored.user().username)
    tomorrow = db.utc_now() + timedelta(days=1)
    monkeypatch.setattr(identity, "utc_now", lambda: tomorrow)
    cookie = visitor.client.get("/account").headers["Set-Cookie"]
    assert "Expires=" in cookie and "HttpOnly" in cookie
    assert "Set-Cookie" not in visitor.client.get("/account").headers


def test_right_passwords_count_per_address_too(limited, stored):
    """Checking them takes as long, so a flood of them would stop the site."""
    user = stored.user()
    visitor = Visitor(limited)
    for _ in range(100):
        visitor.sign_in(user.username)
    answer = visitor.send("/sign-in", login=user.username, password=PASSWORD)
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0
    assert "Too many attempts to sign in from this address" in visitor.page


class HeldHasher:
    """Hashes nothing until it is released. Counts how many threads wait for it."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.waiting: list[int] = []

    def verify(self, *_: object) -> bool:
        self.waiting.append(1)
        assert self.released.wait(20)
        return False


def test_a_flood_of_sign_ins_leaves_threads_for_pages(app, stored, monkeypatch):
    """Two passwords are hashed at once, two wait, and everybody else is refused at once and keeps what they typed."""
    user, hasher = stored.user("wren"), HeldHasher()
    monkeypatch.setattr(users, "_hasher", hasher)

    def attempt(_number: int) -> Visitor:
        visitor = Visitor(app)
        visitor.send("/sign-in", login=user.username, password="a password")
        return visitor

    with ThreadPoolExecutor(8) as threads:
        attempts = [threads.submit(attempt, number) for number in range(8)]
        refused = [future.result() for future in islice(as_completed(attempts, timeout=20), 4)]
        assert len(hasher.waiting) == users.HASHES_AT_ONCE
        hasher.released.set()
        statuses = sorted(future.result().status for future in attempts)
    assert statuses == [422] * 4 + [503] * 4
    for visitor in refused:
        assert visitor.answer.headers["Retry-After"] == "3"
        assert "Too many people are signing in right now" in visitor.page
        assert visitor.value_of("login") == "wren" and "a password" not in visitor.page
