"""A person's characters, their profile, and what strangers see of both."""

from __future__ import annotations

import msgspec
import pytest
import redis

from shared import db
from shared.presence import SOCKET_KEY, SocketPresence
from shared.services import characters, users

EVIL = "<script>alert(1)</script><b>Bo</b>"


@pytest.fixture
def user(stored):
    return stored.user("wren", is_verified=True)


@pytest.fixture
def game(stored):
    return stored.game("Harbour", name="Harbour <i>of</i> night")


@pytest.fixture
def at_home(visitor, user):
    return visitor.sign_in("wren")


def tell(username, game, name):
    """What the built-in peer does with a tell."""
    with db.transaction() as session:
        key = users.get_user_by_username(session, username).registration_key
        answer = characters.answer_register_tell(session, game_id=game.id, name=name, text=f"register {key}")
        assert "waits for you" in answer
    with db.reading() as session:
        user = users.get_user_by_username(session, username)
        (found,) = [one.id for one in characters.list_characters_of(session, user.id) if one.name == name]
    return found


def act(visitor, character_id, what):
    return visitor.send(f"/manage/characters/{character_id}/{what}", form_on="/manage/characters")


def test_from_the_key_to_the_profile(any_database, at_home, new_visitor, user, game):
    """The page shows the key, then who waits; approved, they are on the profile and on the game's page."""
    at_home.open("/manage/characters")
    assert at_home.text_of("registration-key") == user.registration_key
    assert at_home.answer.headers["Cache-Control"] == "no-store"
    character_id = tell("wren", game, "Bold Wren")
    assert "Bold Wren" in at_home.open("/manage/characters") and "Is this you?" in at_home.page
    assert at_home.text_of("registration-key") != user.registration_key

    stranger = new_visitor()
    assert "Bold Wren" not in stranger.open("/players/wren") + stranger.open("/games/Harbour")
    answer = act(at_home, character_id, "approve")
    assert (answer.status_code, answer.location) == (303, "/manage/characters")
    assert "Bold Wren is yours" in at_home.open(answer.location)
    assert "Bold Wren" in stranger.open("/players/WREN") and "Here since" in stranger.page
    assert "Bold Wren" in stranger.open("/games/Harbour") and 'href="/players/wren"' in stranger.page

    act(at_home, character_id, "delete")
    assert "Bold Wren" not in stranger.open("/players/wren") + stranger.open("/games/Harbour")
    act(at_home, tell("wren", game, "Bold Wren"), "deny")
    assert "Nobody yet" in at_home.open("/manage/characters").split("flash")[-1]


def test_nobody_decides_on_others_characters(any_database, at_home, new_visitor, stored, game):
    """Those of others are as little there as those that never were."""
    character_id = tell("wren", game, "Wren")
    stored.user("robin")
    robin = new_visitor().sign_in("robin")
    for what in ("approve", "deny", "delete"):
        assert act(robin, character_id, what).status_code == 404
        assert act(robin, 999, what).status_code == 404
        assert act(robin, 10**30, what).status_code == 404
    assert robin.client.get(f"/manage/characters/{character_id}/approve").status_code == 405
    act(at_home, character_id, "approve")
    assert act(at_home, character_id, "deny").status_code == 409


def test_the_page_is_told_of_changes_and_costs_nothing_without(at_home, game):
    """304 for who knows the state, 200 with the list and the new state for all others, 401 after the session."""
    at_home.open("/manage/characters")
    mark = at_home.answer.get_data(as_text=True).split('data-mark="')[1].split('"')[0]

    def ask(tag):
        return at_home.client.get("/manage/characters/live", headers={"If-None-Match": tag})

    assert (ask(f'"{mark}"').status_code, ask(f'"{mark}"').get_data()) == (304, b"")
    tell("wren", game, "Wren")
    answer = ask(f'"{mark}"')
    assert answer.status_code == 200 and "Wren" in answer.get_data(as_text=True)
    assert "<html" not in answer.get_data(as_text=True) and "no-store" in answer.headers["Cache-Control"]
    assert ask(answer.headers["ETag"]).status_code == 304
    at_home.send("/sign-out", form_on="/account")
    assert ask("").status_code == 401


def test_a_key_can_be_replaced(at_home, user):
    at_home.send("/manage/characters/key", form_on="/manage/characters", follow=True)
    assert "The old one registers nothing" in at_home.page
    assert at_home.text_of("registration-key") != user.registration_key


def test_what_strangers_type_is_text_everywhere(at_home, new_visitor, stored, game):
    """A game says its players' names: they may be anything."""
    character_id = tell("wren", game, EVIL)
    pages = [at_home.open("/manage/characters") and at_home.answer, at_home.client.get("/manage/characters/live")]
    act(at_home, character_id, "approve")
    for path in ("/manage/characters", "/players/wren", "/games/Harbour", "/account/delete"):
        pages.append(at_home.client.get(path))
    for answer in pages:
        text = answer.get_data(as_text=True)
        assert "<script>alert" not in text and "<b>Bo" not in text and "<i>of" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in pages[3].get_data(as_text=True)


def test_a_hidden_profile_is_not_there_for_strangers(any_database, at_home, new_visitor, stored, game):
    """To the byte as for a name that nobody has; its person and the staff still see it."""
    act(at_home, tell("wren", game, "Bold"), "approve")
    at_home.send("/account/privacy", form_on="/account", hide_profile="y", follow=True)
    assert "saved" in at_home.page
    stranger, staff = new_visitor(), new_visitor().sign_in(stored.admin("keeper").username)
    hidden, unknown = stranger.client.get("/players/wren"), stranger.client.get("/players/none")
    assert (hidden.status_code, unknown.status_code) == (404, 404)
    assert hidden.get_data(as_text=True).replace("wren", "none") == unknown.get_data(as_text=True)
    assert "Bold" not in stranger.open("/games/Harbour")
    assert "You hide this profile" in at_home.open("/players/wren")
    assert "This profile is hidden" in staff.open("/players/wren")
    at_home.send("/account/privacy", form_on="/account", follow=True)
    assert "Bold" in stranger.open("/players/wren")


def test_a_game_that_is_not_displayed_is_no_dead_link(at_home, new_visitor, stored):
    """Its page is not there for players; the person is told why others do not see the character."""
    act(at_home, tell("wren", stored.game("Secret", name="Secret", is_displayed=False), "Spy"), "approve")
    for path in ("/manage/characters", "/players/wren"):
        assert "Spy" in at_home.open(path) and "others do not see the character" in at_home.page
        assert 'href="/games/Secret"' not in at_home.page
    assert "Spy" not in new_visitor().open("/players/wren")


def test_who_is_online_and_who_hides_it(app, at_home, new_visitor, game, valkey):
    """As presence says; nobody is while Redis is away."""
    act(at_home, tell("wren", game, "Bold"), "approve")
    stranger = new_visitor()
    assert "online now" not in stranger.open("/players/wren")
    socket = SocketPresence(id="s", worker="w", peer=f"game:{game.id}", game="Harbour", players=["BOLD"])
    with redis.Redis.from_url(valkey.url) as client:
        client.set(SOCKET_KEY + "s", msgspec.json.encode(socket))
        client.set(SOCKET_KEY + "other", b'{"id": "other", "channels": ["as another version writes them"]}')
    app.extensions.pop("online")
    assert "online now" in stranger.open("/players/wren")
    at_home.send("/account/privacy", form_on="/account", hide_online="y")
    assert "online now" not in stranger.open("/players/wren")
    assert "online now" in at_home.open("/players/wren")


def test_profiles_without_redis(stored, visitor, own_valkey):
    stored.user("wren")
    own_valkey.stop()
    assert "No characters yet" in visitor.open("/players/wren")
