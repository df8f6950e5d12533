"""A user's characters and profile, and what strangers see of both."""

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
def owner_browser(visitor, user):
    return visitor.sign_in("wren")


def tell(username, game, name):
    """Send a tell to the built-in peer."""
    with db.transaction() as session:
        key = users.get_user_by_username(session, username).registration_key
        answer = characters.answer_register_tell(session, game_id=game.id, name=name, text=f"register {key}")
        assert "waits for you" in answer
    with db.reading() as session:
        user = users.get_user_by_username(session, username)
        (character_id,) = [
            character.id for character in characters.list_characters_of(session, user.id) if character.name == name
        ]
    return character_id


def act(visitor, character_id, what):
    return visitor.send(f"/manage/characters/{character_id}/{what}", form_on="/manage/characters")


def test_from_the_key_to_the_profile(any_database, owner_browser, new_visitor, user, game):
    """The page shows the key and the pending character. Once approved, profile and game list it."""
    owner_browser.open("/manage/characters")
    assert owner_browser.text_of("registration-key") == user.registration_key
    assert owner_browser.answer.headers["Cache-Control"] == "no-store"
    character_id = tell("wren", game, "Bold Wren")
    assert "Bold Wren" in owner_browser.open("/manage/characters") and "Is this you?" in owner_browser.page
    assert owner_browser.text_of("registration-key") != user.registration_key

    stranger = new_visitor()
    assert "Bold Wren" not in stranger.open("/players/wren") + stranger.open("/games/Harbour")
    answer = act(owner_browser, character_id, "approve")
    assert (answer.status_code, answer.location) == (303, "/manage/characters")
    assert "Bold Wren is yours" in owner_browser.open(answer.location)
    assert "Bold Wren" in stranger.open("/players/WREN") and "Joined" in stranger.page
    assert "Bold Wren" in stranger.open("/games/Harbour") and 'href="/players/wren"' in stranger.page

    act(owner_browser, character_id, "delete")
    assert "Bold Wren" not in stranger.open("/players/wren") + stranger.open("/games/Harbour")
    act(owner_browser, tell("wren", game, "Bold Wren"), "deny")
    assert "No characters yet" in owner_browser.open("/manage/characters").split("flash")[-1]


def test_nobody_approves_or_removes_others_characters(any_database, owner_browser, new_visitor, stored, game):
    """Characters of others look as if they did not exist."""
    character_id = tell("wren", game, "Wren")
    stored.user("robin")
    robin = new_visitor().sign_in("robin")
    for what in ("approve", "deny", "delete"):
        assert act(robin, character_id, what).status_code == 404
        assert act(robin, 999, what).status_code == 404
        assert act(robin, 10**30, what).status_code == 404
    assert robin.client.get(f"/manage/characters/{character_id}/approve").status_code == 405
    act(owner_browser, character_id, "approve")
    assert act(owner_browser, character_id, "deny").status_code == 409


def test_the_page_polls_for_changes(owner_browser, game):
    """304 for the current state, 200 with the list for an old one, 401 after the session."""
    owner_browser.open("/manage/characters")
    mark = owner_browser.answer.get_data(as_text=True).split('data-mark="')[1].split('"')[0]

    def ask(tag):
        return owner_browser.client.get("/manage/characters/live", headers={"If-None-Match": tag})

    assert (ask(f'"{mark}"').status_code, ask(f'"{mark}"').get_data()) == (304, b"")
    tell("wren", game, "Wren")
    answer = ask(f'"{mark}"')
    assert answer.status_code == 200 and "Wren" in answer.get_data(as_text=True)
    assert "<html" not in answer.get_data(as_text=True) and "no-store" in answer.headers["Cache-Control"]
    assert ask(answer.headers["ETag"]).status_code == 304
    owner_browser.send("/sign-out", form_on="/account")
    assert ask("").status_code == 401


def test_a_key_can_be_replaced(owner_browser, user):
    owner_browser.send("/manage/characters/key", form_on="/manage/characters", follow=True)
    assert "The old one no longer works" in owner_browser.page
    assert owner_browser.text_of("registration-key") != user.registration_key


def test_character_names_are_escaped(owner_browser, new_visitor, stored, game):
    """Games choose their players' names, so they may contain anything."""
    character_id = tell("wren", game, EVIL)
    pages = [
        owner_browser.open("/manage/characters") and owner_browser.answer,
        owner_browser.client.get("/manage/characters/live"),
    ]
    act(owner_browser, character_id, "approve")
    for path in ("/manage/characters", "/players/wren", "/games/Harbour", "/account/delete"):
        pages.append(owner_browser.client.get(path))
    for answer in pages:
        text = answer.get_data(as_text=True)
        assert "<script>alert" not in text and "<b>Bo" not in text and "<i>of" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in pages[3].get_data(as_text=True)


def test_a_hidden_profile_looks_as_if_it_did_not_exist(any_database, owner_browser, new_visitor, stored, game):
    """The response is the same, byte for byte, as for an unknown name. The owner and the staff still see it."""
    act(owner_browser, tell("wren", game, "Bold"), "approve")
    owner_browser.send("/account/privacy", form_on="/account", hide_profile="y", follow=True)
    assert "saved" in owner_browser.page
    stranger, staff = new_visitor(), new_visitor().sign_in(stored.admin("keeper").username)
    hidden, unknown = stranger.client.get("/players/wren"), stranger.client.get("/players/none")
    assert (hidden.status_code, unknown.status_code) == (404, 404)
    assert hidden.get_data(as_text=True).replace("wren", "none") == unknown.get_data(as_text=True)
    assert "Bold" not in stranger.open("/games/Harbour")
    assert "This profile is hidden. Only you" in owner_browser.open("/players/wren")
    assert "This profile is hidden" in staff.open("/players/wren")
    owner_browser.send("/account/privacy", form_on="/account", follow=True)
    assert "Bold" in stranger.open("/players/wren")


def test_a_game_that_is_not_displayed_is_not_linked(owner_browser, new_visitor, stored):
    """It has no page for players, and the character's owner is told why only they see the character."""
    act(owner_browser, tell("wren", stored.game("Secret", name="Secret", is_displayed=False), "Spy"), "approve")
    for path in ("/manage/characters", "/players/wren"):
        assert "Spy" in owner_browser.open(path) and "only you see the character" in owner_browser.page
        assert 'href="/games/Secret"' not in owner_browser.page
    assert "Spy" not in new_visitor().open("/players/wren")


def test_who_is_online_and_who_hides_it(app, owner_browser, new_visitor, game, valkey):
    """Taken from presence. Nobody is online while Redis is down."""
    act(owner_browser, tell("wren", game, "Bold"), "approve")
    stranger = new_visitor()
    assert "online now" not in stranger.open("/players/wren")
    socket = SocketPresence(id="s", worker="w", peer=f"game:{game.id}", game="Harbour", players=["BOLD"])
    with redis.Redis.from_url(valkey.url) as client:
        client.set(SOCKET_KEY + "s", msgspec.json.encode(socket))
        client.set(SOCKET_KEY + "other", b'{"id": "other", "channels": ["as another version writes them"]}')
    app.extensions.pop("online")
    assert "online now" in stranger.open("/players/wren")
    owner_browser.send("/account/privacy", form_on="/account", hide_online="y")
    assert "online now" not in stranger.open("/players/wren")
    assert "online now" in owner_browser.open("/players/wren")


def test_profiles_without_redis(stored, visitor, own_valkey):
    stored.user("wren")
    own_valkey.stop()
    assert "No characters yet" in visitor.open("/players/wren")
