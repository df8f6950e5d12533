"""The list of games: who is online, search, filters, counts."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from sqlalchemy import event

from shared import db
from shared.services import game_clients
from shared.services.game_clients import ClientSoftware
from tests.app.presence import be_online
from tests.support.factory import edit_game


def shown(visitor, **filters):
    """Return the short names on the page, in order."""
    page = visitor.open("/games?" + urlencode(filters))
    return [part.split("</p>")[0] for part in page.split('<p class="short">')[1:]]


def runs(game, user_agent):
    with db.transaction() as session:
        game_clients.remember_clients(session, {game.id: ClientSoftware(user_agent, "2.3.0")})


def test_online_games_come_first_then_all_by_name(any_database, app, visitor, stored, valkey):
    """The list shows their players. The totals count only displayed games."""
    _, moss, tide = (stored.game(name, name=name) for name in ("Ash", "Moss", "Tide"))
    hidden = stored.game("Cellar", is_displayed=False)
    be_online(app, valkey, moss, ["Odo", "Wren"])
    be_online(app, valkey, moss, ["WREN", "Bea"])
    be_online(app, valkey, hidden, ["Ghost", "Rat"])
    assert shown(visitor) == ["Moss", "Ash", "Tide"]
    assert "3 players</span>" in visitor.page and "Cellar" not in visitor.page
    assert "<strong>3 games</strong>" in visitor.page
    assert "<strong>1 online</strong> now" in visitor.page and "<strong>3 players</strong> playing" in visitor.page

    be_online(app, valkey, tide, [])
    assert shown(visitor) == ["Moss", "Tide", "Ash"]
    assert "<strong>2 online</strong> now" in visitor.page


def test_filters_combine_and_stay_on_other_pages(any_database, app, visitor, stored, valkey):
    """Each filter narrows the list, and the link to the next page keeps all of them."""
    owner = stored.user()
    for number in range(30):
        game = stored.game(f"G{number:02}", owner=owner, description="Fog & “GULLS”, Ärger")
        stored.connection(game, type="secure telnet")
        runs(game, "Evennia 6 & more")
        be_online(app, valkey, game, ["Odo"])
    plain = stored.game("Plain", owner=owner, description="gulls, ärger")
    stored.connection(plain, type="web", url="https://play.example.com/", host="", port=None)
    runs(plain, "Other")

    filters = {"q": "ärGER", "online": "1", "connection": "secure telnet", "software": "Evennia 6 & more"}
    assert len(shown(visitor, **filters)) == 24
    assert "30 games found with “ärGER”" in visitor.page
    following = visitor.page.split('rel="next" href="')[1].split('"')[0]
    visitor.open(following)
    assert visitor.page.count('<p class="short">') == 6 and "Page 2 of 2" in visitor.page
    assert 'value="ärGER"' in visitor.page and " checked>" in visitor.page
    assert 'value="secure telnet" selected' in visitor.page and "<option selected>Evennia<" in visitor.page

    assert shown(visitor, connection="web") == ["Plain"]
    assert shown(visitor, software="Other", q="GULLS") == ["Plain"]
    assert shown(visitor, connection="web", online="1") == []
    assert "No games match" in visitor.page


@pytest.mark.parametrize("search", ["%", "_", "\\", "\\%", "100\\", "' OR 1=1 --", "{{ 7 * 7 }}"])
def test_a_search_is_literal(any_database, visitor, stored, search):
    """Wildcards of the database have no special meaning."""
    stored.game("Without", name="Plain", description="nothing of note")
    stored.game("With", name="Odd", description=f"before {search} after")
    assert shown(visitor, q=search) == ["With"]


def test_a_search_ignores_case_in_all_three_fields(any_database, visitor, stored):
    """Also beyond ASCII, and after an edit."""
    stored.game("Zwolf", name="ZWÖLF Türme", description="Straße am МОРЕ")
    for search in ("zwölf tür", "ZWOLF", "STRASSE", "strasse AM море", "Straße"):
        assert shown(visitor, q=search) == ["Zwolf"], search
    with db.transaction() as session:
        edit_game(session, "Zwolf", description="Ein ÄSCHERNES Tal")
    assert shown(visitor, q="äschernes") == ["Zwolf"]
    assert shown(visitor, q="straße") == []


@pytest.mark.parametrize(
    "filters",
    [
        {"connection": "pigeon"},
        {"connection": "<script>alert(1)</script>"},
        {"online": "maybe"},
        {"page": "-1"},
        {"page": "9" * 40},
        {"page": "²"},
        {"q": "   "},
        {"software": ""},
        {"unknown": "field"},
    ],
)
def test_invalid_filters_are_ignored(visitor, stored, filters):
    """The whole list is shown."""
    stored.game("Ash")
    assert shown(visitor, **filters) == ["Ash"]
    assert "found" not in visitor.page


@pytest.mark.parametrize("value", ["<script>alert(1)</script>", '"><b onclick=x>', "x" * 5000, "\ud800"])
@pytest.mark.parametrize("field", ["q", "software"])
def test_filters_without_matches_are_escaped(visitor, stored, field, value):
    """Whether the filter is valid or not."""
    stored.game("Ash")
    answer = visitor.client.get("/games?" + urlencode({field: value}, errors="surrogatepass"))
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "<script>" not in text and "<b onclick" not in text and len(text) < 20_000


def test_software_of_hidden_games_is_not_offered(visitor, stored):
    runs(stored.game("Ash"), "Seen 1.0")
    runs(stored.game("Cellar", is_displayed=False), "Secret 1.0")
    page = visitor.open("/games")
    assert "<option>Seen<" in page and "Secret" not in page
    assert shown(visitor, software="Secret 1.0") == []


def test_versions_of_one_software_are_one_filter(any_database, visitor, stored):
    """However they are written. An older link with a version still works."""
    for short_name, agent in [
        ("A", "ExVenture 0.25.0"),
        ("B", "ExVenture/0.26.0-rc1 (Linux)"),
        ("C", "exventure v1"),
        ("D", "ExVenture"),
        ("E", "ExVenture Lite 2"),
        ("F", "TMI-2 1.4"),
        ("G", "2000"),
    ]:
        runs(stored.game(short_name), agent)
    visitor.open("/games")
    assert re.findall(r"<option>([^<]+)<", visitor.page) == ["2000", "ExVenture", "ExVenture Lite", "TMI-2"]
    for value in ("ExVenture", "EXVENTURE", "ExVenture 0.25.0"):
        assert shown(visitor, software=value) == ["A", "B", "C", "D"], value
    assert shown(visitor, software="TMI-2") == ["F"]
    assert shown(visitor, software="2000") == ["G"]
    assert shown(visitor, software="Ex") == shown(visitor, software="%") == []
    assert "software=ExVenture" in visitor.open("/games/A") and "ExVenture 0.25.0" in visitor.page


def test_without_games_the_page_says_so(visitor):
    """It offers no filters."""
    page = visitor.open("/games")
    assert "No games yet" in page and 'name="connection"' not in page


def test_nobody_is_online_while_redis_is_down(app, visitor, stored, own_valkey):
    """Games are listed by name, and the filter matches none."""
    game = stored.game("Moss")
    stored.game("Ash")
    be_online(app, own_valkey, game, ["Odo"])
    assert shown(visitor) == ["Moss", "Ash"]
    own_valkey.stop()
    app.extensions.pop("online")
    assert shown(visitor) == ["Ash", "Moss"]
    assert "0 online" in visitor.page
    assert shown(visitor, online="1") == []
    assert "No game is online right now" in visitor.page
    assert "Nobody is online" in visitor.open("/") and visitor.status == 200
    assert "offline" in visitor.open("/games/Moss") and visitor.status == 200


def test_the_number_of_queries_does_not_grow_with_the_list(app, visitor, stored, valkey):
    """There is no query per game."""
    statements = []
    with app.app_context():
        event.listen(
            db.db.engine, "before_cursor_execute", lambda c, cu, statement, *rest: statements.append(statement)
        )

    def count():
        statements.clear()
        assert "player" in visitor.open("/games")
        return len(statements)

    owner = stored.user()
    be_online(app, valkey, stored.game("First", owner=owner), ["Odo"])
    few = count()
    for number in range(20):
        game = stored.game(f"B{number}", owner=owner)
        stored.connection(game)
        runs(game, f"Software {number % 3}")
        be_online(app, valkey, game, ["Odo"])
    many = count()
    assert few > 2
    assert many <= few + 2, statements
