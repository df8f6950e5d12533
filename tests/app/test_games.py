"""Games: the owner's pages and the public ones."""

import re

import pytest

from shared import db
from shared.errors import NotFound
from shared.models.credentials import secret_matches
from shared.services import games

GAME = {"name": "Midnight Harbour", "short_name": "Harbour", "display": "y", "allow_character_registration": "y"}


@pytest.fixture
def owner(stored):
    return stored.user("owner")


@pytest.fixture
def at_home(visitor, owner):
    """The owner's browser, signed in."""
    return visitor.sign_in(owner.username)


def stored_game(short_name):
    with db.reading() as session:
        return games.get_game(session, short_name)


def test_registering_shows_the_secret_once(any_database, at_home):
    """After the redirect the page has id and secret; loaded again, the id alone."""
    answer = at_home.send("/manage/games/new", **GAME, homepage_url="https://example.com/")
    assert (answer.status_code, answer.location) == (303, "/manage/games/Harbour")

    at_home.open(answer.location)
    secret = at_home.text_of("client-secret")
    game = stored_game("harbour")
    assert at_home.text_of("client-id") == game.client_id
    assert secret_matches(secret, game.client_secret_digest)
    assert at_home.answer.headers["Cache-Control"] == "no-store"
    assert game.is_displayed and game.allows_character_registration

    at_home.open(answer.location)
    assert at_home.text_of("client-id") == game.client_id
    assert at_home.text_of("client-secret") is None
    assert secret not in at_home.page


def test_the_cookie_does_not_hold_the_secret(at_home, valkey):
    """Flask's cookie can be read by whoever has it: neither it nor Redis has the whole secret."""
    import redis

    at_home.send("/manage/games/new", **GAME)
    with at_home.client.session_transaction() as session:
        ticket = dict(session["once"])
    with redis.Redis.from_url(valkey.url) as client:
        half = client.get(f"once:{ticket['key']}")
    at_home.open("/manage/games/Harbour")
    secret = at_home.text_of("client-secret")
    assert secret.encode() != half
    assert secret not in str(ticket)
    assert bytes.fromhex(ticket["pad"]) != secret.encode()


def test_while_redis_is_away_the_answer_to_the_form_shows_the_secret(at_home, own_valkey):
    """A secret that could not be kept for the next page would be lost."""
    own_valkey.stop()
    answer = at_home.send("/manage/games/new", **GAME)
    assert answer.status_code == 201
    assert secret_matches(at_home.text_of("client-secret"), stored_game("Harbour").client_secret_digest)
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
def test_bad_input_is_named_beside_its_field(at_home, owner, stored, page, changed, field, words):
    """The same for a new game and for one that is edited; nothing is changed and what was typed is kept."""
    stored.game("Taken")
    stored.game("Mine", owner=owner, name="Mine")
    sent = {**GAME, **changed}
    answer = at_home.send(page, **sent)

    assert answer.status_code == 422
    assert words.lower() in (at_home.problem_of(field) or "").lower()
    assert at_home.value_of("short_name") == sent["short_name"]
    assert stored_game("Mine").name == "Mine"
    with pytest.raises(NotFound):
        stored_game("Harbour")


def test_an_owner_with_the_full_number_of_games_cannot_register_another(
    at_home, new_visitor, owner, stored, monkeypatch
):
    """The form says so beside the name, and keeps what was typed. The limit is not for admins."""
    monkeypatch.setattr(games, "GAMES_PER_OWNER", 2)
    for short_name in ("One", "Two"):
        stored.game(short_name, owner=owner)
    answer = at_home.send("/manage/games/new", **GAME)

    assert answer.status_code == 422
    assert at_home.problem_of("name") == "An owner may have at most 2 games."
    assert at_home.value_of("short_name") == "Harbour"
    with pytest.raises(NotFound):
        stored_game("Harbour")

    monkeypatch.setattr(games, "GAMES_PER_OWNER", 0)
    admin = new_visitor().sign_in(stored.admin().username)
    assert admin.send("/manage/games/new", **GAME).status_code == 303
    assert stored_game("Harbour")


def test_a_game_is_edited_renamed_and_hidden(at_home, owner, stored):
    """An empty box means no, as browsers send it; the new short name is the address from then on."""
    stored.game("Old", owner=owner)
    answer = at_home.send("/manage/games/Old/edit", name="A new name", short_name="Fresh", description="Words.")
    assert answer.location == "/manage/games/Fresh"
    game = stored_game("Fresh")
    assert (game.name, game.description, game.is_displayed) == ("A new name", "Words.", False)
    at_home.open("/manage/games/Fresh/edit")
    assert at_home.value_of("name") == "A new name"


def test_regenerating_replaces_both_credentials_and_shows_the_secret_once(at_home, owner, stored):
    """The old ones match no more."""
    before = stored.game("Mine", owner=owner)
    answer = at_home.send("/manage/games/Mine/regenerate", form_on="/manage/games/Mine")
    at_home.open(answer.location)
    after = stored_game("Mine")
    assert after.client_id != before.client_id
    assert secret_matches(at_home.text_of("client-secret"), after.client_secret_digest)
    at_home.open(answer.location)
    assert at_home.text_of("client-secret") is None


def test_deleting_takes_the_game_away(at_home, owner, stored):
    """It is in no list any more."""
    stored.game("Mine", owner=owner)
    at_home.send("/manage/games/Mine/delete", form_on="/manage/games/Mine", follow=True)
    assert "The game is deleted" in at_home.page
    at_home.open("/manage/games/Mine")
    assert at_home.status == 404


def test_others_cannot_see_or_change_a_game(new_visitor, owner, stored):
    """For a stranger who is signed in the owner's pages do not exist; the signed-out are asked to sign in."""
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


def test_ways_to_connect_are_added_edited_and_removed(any_database, at_home, owner, stored):
    """Several of one type are fine."""
    stored.game("Mine", owner=owner)
    add = "/manage/games/Mine/connections"
    for port in ("4000", "4001"):
        answer = at_home.send(add, form_on="/manage/games/Mine", type="telnet", host="mud.example.com", port=port)
        assert answer.location == "/manage/games/Mine"
    at_home.send(add, type="web", url="https://play.example.com/", follow=True)
    ways = stored_game("Mine").connections
    assert sorted((way.type, way.port) for way in ways if way.port) == [("telnet", 4000), ("telnet", 4001)]
    assert "https://play.example.com/" in at_home.open("/games/Mine")

    first = next(way for way in ways if way.port == 4000)
    at_home.open(f"/manage/connections/{first.id}")
    assert at_home.value_of("port") == "4000"
    at_home.send(f"/manage/connections/{first.id}", type="secure telnet", host="tls.example.com", port="4443")
    other = next(way for way in ways if way.port == 4001)
    at_home.send(f"/manage/connections/{other.id}/delete", form_on="/manage/games/Mine", follow=True)
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
def test_a_bad_way_to_connect_is_named_beside_its_field(at_home, owner, stored, sent, field):
    """Adding and editing alike, and what was typed is kept."""
    game = stored.game("Mine", owner=owner)
    way = stored.connection(game)
    for path in ("/manage/games/Mine/connections", f"/manage/connections/{way.id}"):
        assert at_home.send(path, **sent).status_code == 422
        assert at_home.problem_of(field)
        assert at_home.value_of("port") == sent.get("port", "4000" if way.id in path else "")
    assert [kept.port for kept in stored_game("Mine").connections] == [4000]


def test_the_list_searches_pages_and_hides(any_database, visitor, stored):
    """24 a page, by name; what is not displayed is in no list."""
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
    assert "No game with" in visitor.open("/games?q=%25_nothing")
    assert "<script>" not in visitor.client.get("/games?q=<script>").get_data(as_text=True)


def test_a_hidden_game_is_there_for_its_owner_and_the_staff_only(new_visitor, visitor, stored):
    """Strangers, signed in or not, get the same page as for a game that does not exist."""
    owner = stored.user()
    stored.game("Hidden", owner=owner, is_displayed=False)
    assert visitor.client.get("/games/Hidden").status_code == 404
    assert new_visitor().sign_in(stored.user().username).client.get("/games/Hidden").status_code == 404
    assert new_visitor().sign_in(owner.username).client.get("/games/hidden").status_code == 200
    assert new_visitor().sign_in(stored.admin().username).client.get("/games/Hidden").status_code == 200


def test_what_strangers_write_is_text(visitor, stored):
    """HTML in a field that an owner fills shows as it was typed."""
    hostile = "<script>alert(1)</script><b onclick=x>\"'&"
    stored.game("Hostile", name=hostile, description=hostile)
    for path in ("/", "/games", "/games/Hostile"):
        text = visitor.client.get(path).get_data(as_text=True)
        assert "<script>" not in text and "<b onclick" not in text
        assert "&lt;script&gt;" in text


def test_a_game_called_new_has_its_pages(at_home, owner):
    """`/manage/games/new` is the form; names match in any case, so the game is at another spelling."""
    answer = at_home.send("/manage/games/new", **{**GAME, "short_name": "new"})
    at_home.open(answer.location)
    assert at_home.text_of("client-secret")


def test_an_admin_keeps_any_game(new_visitor, stored):
    """Admins may open and change the owner's pages."""
    stored.game("Theirs")
    admin = new_visitor().sign_in(stored.admin().username)
    assert admin.client.get("/manage/games/Theirs").status_code == 200


def test_faults_are_listed_in_the_order_of_the_fields(visitor, stored):
    """From the top of the form to its end."""
    visitor.sign_in(stored.user().username)
    visitor.send("/manage/games/new", name="", short_name="not a name", homepage_url="nothing")
    linked = re.findall(r'<li><a href="#([\w-]+)">', visitor.page)
    assert linked == ["name", "short_name", "homepage_url"]
