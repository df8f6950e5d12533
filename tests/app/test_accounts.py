"""Registering, signing in and out."""

from datetime import timedelta

import pytest
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
        ({"email": "ö@example.com"}, "email", "no letters but a to z"),
        ({"password": "short", "password_confirmation": "short"}, "password", "8 characters"),
        ({"password_confirmation": "another one"}, "password_confirmation", "not the same"),
    ],
)
def test_what_is_wrong_stands_beside_the_field_and_the_rest_is_kept(visitor, stored, changed, field, words):
    """Bad input is answered with 422, a message at the field, and what was typed; passwords never come back."""
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


def test_an_empty_form_names_every_field_at_once(visitor):
    """Nobody has to send a form five times to learn five things."""
    visitor.send("/register", username="", email="", password="", password_confirmation="")
    assert all(visitor.problem_of(field) for field in ("username", "email", "password"))


def test_a_wrong_password_and_an_unknown_name_look_the_same(any_database, visitor, stored):
    """Nothing tells a stranger who has an account."""
    user = stored.user()
    visitor.send("/sign-in", login=user.username, password="not the password")
    known = visitor.problem_of("password")
    visitor.send("/sign-in", login="nobody", password="not the password")
    assert visitor.status == 422
    assert known
    assert known == visitor.problem_of("password")
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
def test_signing_in_goes_on_to_local_pages_only(visitor, stored, target, goes_to):
    """An address elsewhere in `next` is not followed."""
    user = stored.user()
    token = visitor.token("/sign-in")
    answer = visitor.client.post(
        "/sign-in",
        query_string={"next": target},
        data={"csrf_token": token, "login": user.username, "password": PASSWORD},
    )
    assert (answer.status_code, answer.location) == (303, goes_to)


def test_signing_in_leads_to_what_one_has(new_visitor, stored):
    """Whoever owns a game comes for it, moderators too; then the desk, the characters, the home page."""
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
    found = {
        name: new_visitor().sign_in(name).answer.location
        for name in ("wright", "both", "mod", "keeper", player.username, "newcomer")
    }
    assert found == {
        "wright": "/manage/games",
        "both": "/manage/games",
        "mod": "/moderation",
        "keeper": "/moderation",
        "wren": "/manage/characters",
        "newcomer": "/",
    }


def test_signing_in_starts_a_new_session(visitor, stored):
    """A token from before the sign-in is worth nothing after it."""
    user = stored.user()
    before = visitor.token("/sign-in")
    visitor.sign_in(user.username)
    assert visitor.client.post("/sign-out", data={"csrf_token": before}).status_code == 400


def test_signing_out_ends_the_session_wherever_its_cookie_is(new_visitor, stored):
    """A copy of it opens nothing, and is of no use to get another; the account's other sessions go on."""
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


def test_signing_out_works_here_while_nothing_can_be_written(visitor, stored, settings, monkeypatch):
    """The browser may be somebody else's; but the page says what it could not do."""
    visitor.sign_in(stored.user().username)
    visitor.open("/account")
    monkeypatch.setattr(db, "LOCK_SECONDS", 0.1)
    db.bind(db.make_engine(settings.database_url))
    with db.make_engine(settings.database_url).connect() as other:
        other.execute(text("SELECT 1"))
        visitor.send("/sign-out", form_on="/account", follow=True)
    assert "signed out in this browser" in visitor.page
    assert visitor.client.get("/account").status_code == 303


def test_sessions_that_ended_long_ago_are_forgotten(stored):
    user = stored.user()
    with db.transaction() as session:
        sessions.end(session, "a" * 32, user_id=user.id)
        sessions.end(session, "a" * 32, user_id=user.id)
    for days, ended in ((399, {"a" * 32}), (401, set())):
        with db.transaction() as session:
            sessions.prune(session, now=db.utc_now() + timedelta(days=days))
            assert sessions.list_ended(session, ["a" * 32, "b" * 32]) == ended


def test_a_changed_session_token_ends_the_session(visitor, stored):
    """This is how all of a person's sessions are ended at once."""
    user = stored.user()
    visitor.sign_in(user.username)
    assert visitor.client.get("/manage/games").status_code == 200
    with db.transaction() as session:
        session.get(User, user.id).session_token = "another"
    assert visitor.client.get("/manage/games").status_code == 303


@pytest.fixture
def limited(make_settings, engine):
    """A site with its limits on."""
    return create_app(make_settings(RATE_LIMITS="on"))


def fail_to_sign_in(visitor, login, addresses, *, each=10):
    """Wrong passwords, so many from each address; what the last was answered."""
    token = visitor.token("/sign-in")
    for number in range(addresses * each):
        answer = visitor.client.post(
            "/sign-in",
            data={"csrf_token": token, "login": login, "password": "wrong"},
            environ_base={"REMOTE_ADDR": f"192.0.2.{1 + number // each}"},
        )
    return answer.status_code


def test_failed_sign_ins_are_limited_by_account_and_successful_ones_are_not(limited, stored):
    """After ten failures who tried must wait, with the form and the other way in; others may still sign in."""
    visitor, user, other = Visitor(limited), stored.user(), stored.user()
    for _ in range(10):
        assert visitor.send("/sign-in", login=user.username, password="wrong").status_code == 422
    answer = visitor.send("/sign-in", login=user.username.upper(), password=PASSWORD)

    assert answer.status_code == 429
    assert "too many attempts to sign in" in visitor.page
    assert "Try again in 15 minutes" in visitor.page
    assert visitor.value_of("login") == user.username.upper() and PASSWORD not in visitor.page
    assert 'href="/reset"' in visitor.page
    assert 0 < int(answer.headers["Retry-After"]) <= 900
    visitor.sign_in(other.username)
    for _ in range(3):
        visitor.sign_in(other.username)


def test_who_guesses_elsewhere_does_not_lock_the_person_out(limited, stored):
    """Ten failures at one address stop that address; a hundred in all stop browsers that are new to it."""
    stored.user("wren")
    known, new = Visitor(limited), Visitor(limited)
    known.sign_in("wren").send("/sign-out", form_on="/account")
    assert fail_to_sign_in(Visitor(limited), "wren", 1, each=11) == 429
    new.sign_in("wren").send("/sign-out", form_on="/account")

    assert fail_to_sign_in(Visitor(limited), "wren", 10) == 422
    assert Visitor(limited).send("/sign-in", login="wren", password=PASSWORD).status_code == 429
    known.sign_in("wren")
    Visitor(limited).sign_in(stored.user("robin").username)


def test_a_known_browser_guesses_no_longer_than_another(limited, stored):
    """Its ten go with it, from whichever address it comes; and it is known to its own account only."""
    for username in ("wren", "robin"):
        stored.user(username)
    visitor = Visitor(limited)
    visitor.sign_in("wren").send("/sign-out", form_on="/account")
    assert fail_to_sign_in(visitor, "wren", 11, each=1) == 429
    fail_to_sign_in(Visitor(limited), "robin", 10)
    assert visitor.send("/sign-in", login="robin", password=PASSWORD).status_code == 429


def test_what_a_browser_is_known_for_cannot_be_made_up(app, visitor, stored):
    """The cookie is signed, and names an address only when it was proved."""
    stored.user("wren", is_verified=True)
    stored.user("robin")
    for login in ("wren", "robin"):
        visitor.sign_in(login).send("/sign-out", form_on="/account")
    cookie = visitor.client.get_cookie(known_browsers.COOKIE).value
    forged = cookie[:-9] + ("A" if cookie[-9] != "A" else "B") + cookie[-8:]  # within its signature
    for value, known in ((cookie, True), (forged, False), ("", False)):
        with app.test_request_context(headers={"Cookie": f"{known_browsers.COOKIE}={value}"}):
            assert known_browsers.knows("WREN") is known
            assert known_browsers.knows("wren@example.com") is known
            assert not known_browsers.knows("robin@example.com")


def test_another_spelling_is_no_other_account_to_the_limits(make_settings, engine, stored):
    """What the form takes out of a name starts no count of its own."""
    visitor, user = Visitor(create_app(make_settings(RATE_LIMITS="on"))), stored.user("wren")
    spellings = ["w\0ren", "\0 WREN ", *(f"wren{NUL * count}" for count in range(8))]
    statuses = [visitor.send("/sign-in", login=login, password="wrong").status_code for login in spellings]
    assert statuses == [422] * 10
    assert visitor.send("/sign-in", login=user.username, password=PASSWORD).status_code == 429


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
def test_an_ipv6_network_is_one_address_to_the_limits(app, first, second, is_one):
    """Whoever has one of its addresses has them all."""
    seen = set()
    for address in (first, second):
        with app.test_request_context(environ_base={"REMOTE_ADDR": address}):
            seen.add(visitor_address())
    assert (len(seen) == 1) is is_one


def test_sign_ins_are_limited_while_redis_is_away(make_settings, engine, stored, own_valkey):
    """The counts are then kept in the process."""
    own_valkey.stop()
    app = create_app(make_settings(RATE_LIMITS="on"))
    visitor, user = Visitor(app), stored.user()
    statuses = {visitor.send("/sign-in", login=user.username, password="wrong").status_code for _ in range(11)}
    assert statuses == {422, 429}


@pytest.mark.parametrize("path", ["/account", "/manage/characters/live", "/docs/asyncapi.yaml", "/static/site.css"])
def test_answers_that_change_no_session_set_no_cookie(visitor, stored, path):
    """One that was slow would sign somebody in again who just signed out; one that a cache keeps, somebody else."""
    visitor.sign_in(stored.user().username).open("/account")
    answer = visitor.client.get(path)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


def test_a_session_in_use_lives_on(visitor, stored, monkeypatch):
    """Each day that it is used, it has its whole time again."""
    visitor.sign_in(stored.user().username)
    tomorrow = db.utc_now() + timedelta(days=1)
    monkeypatch.setattr(identity, "utc_now", lambda: tomorrow)
    cookie = visitor.client.get("/account").headers["Set-Cookie"]
    assert "Expires=" in cookie and "HttpOnly" in cookie
    assert "Set-Cookie" not in visitor.client.get("/account").headers
