"""Games: the owner's pages and the public ones."""

import re

import pytest

from shared import db
from shared.errors import NotFound
from shared.models.credentials import secret_matches
from shared.services import games
from tests.app.presence import be_online

GAME = {"name": "Midnight Harbour", "short_name": "Harbour", "display": "y", "allow_character_registration": "y"}


@pytest.fixture
def owner(stored):
    return stored.user("owner")


@pytest.fixture
def owner_browser(visitor, owner):
    """The owner's browser, signed in."""
    return visitor.sign_in(owner.username)


def stored_game(short_name):
    with db.reading() as session:
        return games.get_game(session, short_name)


def test_registering_shows_the_secret_once(any_database, owner_browser):
    """The page after the redirect shows id and secret. A reload shows only the id."""
    answer = owner_browser.send("/manage/games/new", **GAME, homepage_url="https://example.com/")
    assert (answer.status_code, answer.location) == (303, "/manage/games/Harbour")

    owner_browser.open(answer.location)
    secret = owner_browser.text_of("client-secret")
    game = stored_game("harbour")
    assert owner_browser.text_of("client-id") == game.client_id
    assert secret_matches(secret, game.client_secret_digest)
    assert owner_browser.answer.headers["Cache-Control"] == "no-store"
    assert game.is_displayed and game.allows_character_registration

    owner_browser.open(answer.location)
    assert owner_browser.text_of("client-id") == game.client_id
    assert owner_browser.text_of("client-secret") is None
    assert secret not in owner_browser.page


def test_the_cookie_does_not_hold_the_secret(owner_browser, valkey):
    """Anyone who has Flask's cookie can read it, so neither the cookie nor Redis holds the whole secret."""
    import redis

    owner_browser.send("/manage/games/new", **GAME)
    with owner_browser.client.session_transaction() as session:
        ticket = dict(session["one_time_secret"])
    with redis.Redis.from_url(valkey.url) as client:
        half = client.get(f"one-time-secret:{ticket['key']}")
    owner_browser.open("/manage/games/Harbour")
    secret = owner_browser.text_of("client-secret")
    assert secret.encode() != half
    assert secret not in str(ticket)
    assert bytes.fromhex(ticket["pad"]) != secret.encode()


def test_the_response_to_the_form_shows_the_secret_while_redis_is_down(owner_browser, own_valkey):
    """Otherwise the secret would be lost."""
    own_valkey.stop()
    answer = owner_browser.send("/manage/games/new", **GAME)
    assert answer.status_code == 201
    assert secret_matches(owner_browser.text_of("client-secret"), stored_game("Harbour").client_secret_digest)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"name": ""}, "name", "Give it a name"),
        ({"name": "x" * 81}, "name", "80 characters"),
        ({"name": "THE TAKEN"}, "name", "another game has this name"),
        ({"short_name": ""}, "short_name", "Choose a short name"),
        ({"short_name": "two words"}, "short_name", "letters"),
        ({"short_name": "x" * 16}, "short_name", "15 characters"),
        ({"short_name": "Grapevine"}, "short_name", "not allowed"),
        ({"short_name": "tAkEn"}, "short_name", "taken"),
        ({"description": "x" * 5001}, "description", "too long"),
        ({"description": "bell \a"}, "description", "control character"),
        ({"homepage_url": "javascript:alert(1)"}, "homepage_url", "http"),
        ({"homepage_url": "https://nodot"}, "homepage_url", "http"),
    ],
)
@pytest.mark.parametrize("page", ["/manage/games/new", "/manage/games/Mine/edit"])
def test_errors_are_shown_beside_their_field(owner_browser, owner, stored, page, changed, field, words):
    """For new and for edited games. Nothing changes, and the input is kept."""
    stored.game("Taken")
    stored.game("Mine", owner=owner, name="Mine")
    sent = {**GAME, **changed}
    answer = owner_browser.send(page, **sent)

    assert answer.status_code == 422
    assert words.lower() in (owner_browser.problem_of(field) or "").lower()
    assert owner_browser.value_of("short_name") == sent["short_name"]
    assert stored_game("Mine").name == "Mine"
    with pytest.raises(NotFound):
        stored_game("Harbour")


def test_an_owner_with_the_full_number_of_games_cannot_register_another(
    owner_browser, new_visitor, owner, stored, monkeypatch
):
    """The form says so beside the name, and keeps what was typed. The limit is not for admins."""
    monkeypatch.setattr(games, "GAMES_PER_OWNER", 2)
    for short_name in ("One", "Two"):
        stored.game(short_name, owner=owner)
    answer = owner_browser.send("/manage/games/new", **GAME)

    assert answer.status_code == 422
    assert owner_browser.problem_of("name") == "An owner may have at most 2 games."
    assert owner_browser.value_of("short_name") == "Harbour"
    with pytest.raises(NotFound):
        stored_game("Harbour")

    monkeypatch.setattr(games, "GAMES_PER_OWNER", 0)
    admin = new_visitor().sign_in(stored.admin().username)
    assert admin.send("/manage/games/new", **GAME).status_code == 303
    assert stored_game("Harbour")


def test_a_game_is_edited_renamed_and_hidden(owner_browser, owner, stored):
    """A missing checkbox means no, as browsers send it. The new short name becomes the address."""
    stored.game("Old", owner=owner)
    answer = owner_browser.send("/manage/games/Old/edit", name="A new name", short_name="Fresh", description="Words.")
    assert answer.location == "/manage/games/Fresh"
    game = stored_game("Fresh")
    assert (game.name, game.description, game.is_displayed) == ("A new name", "Words.", False)
    owner_browser.open("/manage/games/Fresh/edit")
    assert owner_browser.value_of("name") == "A new name"


def test_regenerating_replaces_both_credentials_and_shows_the_secret_once(owner_browser, owner, stored):
    """The old ones no longer match."""
    before = stored.game("Mine", owner=owner)
    answer = owner_browser.send("/manage/games/Mine/regenerate", form_on="/manage/games/Mine")
    owner_browser.open(answer.location)
    after = stored_game("Mine")
    assert after.client_id != before.client_id
    assert secret_matches(owner_browser.text_of("client-secret"), after.client_secret_digest)
    owner_browser.open(answer.location)
    assert owner_browser.text_of("client-secret") is None


def test_a_deleted_game_is_gone(owner_browser, owner, stored):
    """It is no longer listed."""
    stored.game("Mine", owner=owner)
    owner_browser.send("/manage/games/Mine/delete", form_on="/manage/games/Mine", follow=True)
    assert "The game has been deleted" in owner_browser.page
    owner_browser.open("/manage/games/Mine")
    assert owner_browser.status == 404


def test_others_cannot_see_or_change_a_game(new_visitor, owner, stored):
    """Other users get 404, and signed-out visitors the sign-in page."""
    game = stored.game("Mine", owner=owner)
    way = stored.connection(game)
    stranger = new_visitor().sign_in(stored.user().username)
    posts = ["games/Mine/regenerate", "games/Mine/delete", f"connections/{way.id}/delete", f"connections/{way.id}"]
    for path in ("games/Mine", "games/Mine/edit", "games/Mine/connections", f"connections/{way.id}"):
        assert stranger.client.get(f"/manage/{path}").status_code == 404, path
    for path in posts:
        sent = stranger.send(f"/manage/{path}", form_on="/manage/games/new", type="telnet", host="a.example", port="1")
        assert sent.status_code == 404, path
    for path in posts:
        answer = new_visitor().send(f"/manage/{path}", form_on="/sign-in")
        assert (answer.status_code, answer.location) == (303, "/sign-in"), path
    assert stored_game("Mine").client_id == game.client_id
    assert len(stored_game("Mine").connections) == 1


def test_ways_to_connect_are_added_edited_and_removed(any_database, owner_browser, owner, stored):
    """A game may have several of one type."""
    stored.game("Mine", owner=owner)
    add = "/manage/games/Mine/connections"
    for port in ("4000", "4001"):
        answer = owner_browser.send(add, form_on="/manage/games/Mine", type="telnet", host="mud.example.com", port=port)
        assert answer.location == "/manage/games/Mine"
    owner_browser.send(add, type="web", url="https://play.example.com/", follow=True)
    ways = stored_game("Mine").connections
    assert sorted((way.type, way.port) for way in ways if way.port) == [("telnet", 4000), ("telnet", 4001)]
    assert "https://play.example.com/" in owner_browser.open("/games/Mine")

    first = next(way for way in ways if way.port == 4000)
    owner_browser.open(f"/manage/connections/{first.id}")
    assert owner_browser.value_of("port") == "4000"
    owner_browser.send(f"/manage/connections/{first.id}", type="secure telnet", host="tls.example.com", port="4443")
    other = next(way for way in ways if way.port == 4001)
    owner_browser.send(f"/manage/connections/{other.id}/delete", form_on="/manage/games/Mine", follow=True)
    left = stored_game("Mine").connections
    assert len(left) == 2
    assert ("secure telnet", "tls.example.com", 4443) in [(way.type, way.host, way.port) for way in left]


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"type": "web", "url": "nope"}, "url"),
        ({"type": "web", "host": "a.example", "port": "1"}, "url"),
        ({"type": "telnet", "host": "", "port": "4000"}, "host"),
        ({"type": "telnet", "host": "two words", "port": "4000"}, "host"),
        ({"type": "telnet", "host": "a.example", "port": "0"}, "port"),
        ({"type": "telnet", "host": "a.example", "port": "65536"}, "port"),
        ({"type": "secure telnet", "host": "a.example", "port": "many"}, "port"),
        ({"type": "secure telnet", "host": "a.example", "port": ""}, "port"),
        ({"type": "pigeon"}, "type"),
        ({"type": ""}, "type"),
    ],
)
def test_errors_of_a_way_to_connect_are_shown_beside_their_field(owner_browser, owner, stored, sent, field):
    """When adding and when editing. The input is kept."""
    game = stored.game("Mine", owner=owner)
    way = stored.connection(game)
    for path in ("/manage/games/Mine/connections", f"/manage/connections/{way.id}"):
        assert owner_browser.send(path, **sent).status_code == 422
        assert owner_browser.problem_of(field)
        assert owner_browser.value_of("port") == sent.get("port", "4000" if way.id in path else "")
    assert [kept.port for kept in stored_game("Mine").connections] == [4000]


def test_the_list_searches_pages_and_hides(any_database, visitor, stored):
    """24 games per page, by name, without games that are not displayed."""
    owner = stored.user()
    for number in range(30):
        stored.game(f"G{number:02}", owner=owner, name=f"Game {number:02}")
    stored.game("Secret", owner=owner, is_displayed=False)
    page = visitor.open("/games")
    assert "30 games" in page and "Game 00" in page and "Game 29" not in page and "Secret" not in page
    assert "Game 29" in visitor.open("/games?page=2")
    assert "Game 29" in visitor.open("/games?page=99")
    assert "Game 00" in visitor.open("/games?page=nonsense")
    assert "Game 07" in visitor.open("/games?q=game 07") and "Game 08" not in visitor.page
    assert "No games match" in visitor.open("/games?q=%25_nothing")
    assert "<script>" not in visitor.client.get("/games?q=<script>").get_data(as_text=True)


def test_a_hidden_game_is_visible_only_to_its_owner_and_the_staff(new_visitor, visitor, stored):
    """Others get the same page as for a game that does not exist."""
    owner = stored.user()
    stored.game("Hidden", owner=owner, is_displayed=False)
    assert visitor.client.get("/games/Hidden").status_code == 404
    assert new_visitor().sign_in(stored.user().username).client.get("/games/Hidden").status_code == 404
    assert new_visitor().sign_in(owner.username).client.get("/games/hidden").status_code == 200
    assert new_visitor().sign_in(stored.admin().username).client.get("/games/Hidden").status_code == 200


def test_owners_input_is_escaped(visitor, stored):
    """HTML is shown as it was typed."""
    hostile = "<script>alert(1)</script><b onclick=x>\"'&"
    stored.game("Hostile", name=hostile, description=hostile)
    for path in ("/", "/games", "/games/Hostile"):
        text = visitor.client.get(path).get_data(as_text=True)
        assert "<script>" not in text and "<b onclick" not in text
        assert "&lt;script&gt;" in text


def test_a_game_called_new_has_its_pages(owner_browser, owner):
    """`/manage/games/new` is the form. Names match without case, so the game uses another spelling."""
    answer = owner_browser.send("/manage/games/new", **{**GAME, "short_name": "new"})
    owner_browser.open(answer.location)
    assert owner_browser.text_of("client-secret")


def test_an_admin_can_manage_any_game(new_visitor, stored):
    """Admins can use all of the owner's pages."""
    stored.game("Theirs")
    admin = new_visitor().sign_in(stored.admin().username)
    assert admin.client.get("/manage/games/Theirs").status_code == 200


def test_errors_are_listed_in_the_order_of_the_fields(visitor, stored):
    """From the top of the form to the bottom."""
    visitor.sign_in(stored.user().username)
    visitor.send("/manage/games/new", name="", short_name="not a name", homepage_url="nothing")
    linked = re.findall(r'<li><a href="#([\w-]+)">', visitor.page)
    assert linked == ["name", "short_name", "homepage_url"]


def test_a_way_to_connect_can_be_given_at_registration(owner_browser):
    """A wrong one registers nothing, and says which field is at fault."""
    way = {"type": "telnet", "host": "mud.example.com", "port": "99999"}
    owner_browser.send("/manage/games/new", **GAME, **way)
    assert owner_browser.status == 422 and owner_browser.problem_of("port")
    owner_browser.send("/manage/games/new", **GAME, host="mud.example.com", port="4000")
    assert owner_browser.status == 422 and owner_browser.problem_of("type")
    with pytest.raises(NotFound):
        stored_game("Harbour")
    assert owner_browser.send("/manage/games/new", **GAME, **{**way, "port": "4000"}).status_code == 303
    (way,) = stored_game("Harbour").connections
    assert (way.type, way.host, way.port) == ("telnet", "mud.example.com", 4000)


def test_my_games_say_who_is_online(app, valkey, owner_browser, owner, stored):
    be_online(app, valkey, stored.game("Harbour", owner=owner), ["Odo", "Wren"])
    stored.game("Reef", owner=owner)
    page = owner_browser.open("/manage/games")
    assert "2 players: Odo, Wren" in page and page.count('class="state off">offline') == 1
