"""A game's page: ways to connect, who is online, players over time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from sqlalchemy import Engine, event, update

from app.games.chart import draw, player_charts, split_into_runs, y_scale
from shared import db
from shared.models import User, UserAgent
from shared.services import characters, game_clients, player_counts
from shared.services.authority import actors
from shared.services.game_clients import ClientSoftware
from shared.services.player_counts import Span
from tests.app.presence import be_online

HOUR = timedelta(hours=1)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def game(stored):
    return stored.game("Harbour", name="Midnight Harbour")


def claim(game, user, name):
    with db.transaction() as session:
        key = session.get(User, user.id).registration_key
        character = characters.register_character(session, game_id=game.id, name=name, key=key)
        session.flush()
        characters.approve_character(session, actors.of_user(session, user.id), character_id=character.id)


def change(user, **fields):
    with db.transaction() as session:
        session.execute(update(User).where(User.id == user.id).values(**fields))


def part(page, element_id):
    """Return the content of an element, up to the end of its list or paragraph."""
    match = re.search(rf'id="{element_id}"[^>]*>(.*?)</(?:ul|p)>', page, re.DOTALL)
    return match[1] if match else None


def test_ways_to_connect_are_links_and_text_to_copy(visitor, stored, game):
    """Only web and telnet addresses become links."""
    stored.connection(game, host="mud.example.com", port=4000)
    stored.connection(game, host="2001:db8::1", port=23)
    stored.connection(game, type="secure telnet", host="tls.example.com", port=4443)
    stored.connection(game, type="web", url="https://play.example.com/?a=1&b=2", host="", port=None)
    stored.connection(game, type="web", url="wss://play.example.com/socket", host="", port=None)
    page = visitor.open("/games/harbour")
    assert 'href="telnet://mud.example.com:4000"' in page and ">mud.example.com 4000</code>" in page
    assert 'href="telnet://[2001:db8::1]:23"' in page
    assert ">tls.example.com 4443</code>" in page and "TLS" in page
    assert 'href="https://play.example.com/?a=1&b=2"' in page
    assert 'href="wss:' not in page and ">wss://play.example.com/socket</code>" in page


def test_server_software_with_its_source(visitor, game):
    """The source is linked only if it is a web address."""
    with db.transaction() as session:
        game_clients.remember_clients(session, {game.id: ClientSoftware("Moss <3> 1.0", "2.3.0")})
    page = visitor.open("/games/Harbour")
    assert "Moss <3> 1.0" in page and "source<" not in page
    assert 'software=Moss+%3C3%3E"' in page
    for address, is_linked in (("https://example.com/moss", True), ("javascript:alert(1)", False)):
        with db.transaction() as session:
            session.query(UserAgent).one().repository_url = address
        assert (f'href="{address}"' in visitor.open("/games/Harbour")) is is_linked


def test_who_is_online(any_database, app, visitor, stored, game, valkey):
    """Characters link to their profile unless it is hidden. Users who hide when they are online are not named."""
    wren, odo, bea = stored.user("wren"), stored.user("odo"), stored.user("bea")
    for user, name in ((wren, "Wren"), (odo, "Odo"), (bea, "Bea")):
        claim(game, user, name)
    change(odo, is_profile_hidden=True)
    change(bea, is_online_hidden=True)
    be_online(app, valkey, game, ["WREN", "odo", "BEA", "<b>Guest</b>"])
    page = visitor.client.get("/games/Harbour").get_data(as_text=True)
    players = part(page, "game-players")
    assert '<a href="/players/wren">WREN' in players
    assert "<span>odo</span>" in players and "/players/odo" not in page
    assert "bea" not in players.lower() and "and 1 more" in players
    assert "&lt;b&gt;Guest&lt;/b&gt;" in players and "<b>" not in page
    assert "4 players are online" in part(page, "game-online")
    assert '<a href="/players/bea">Bea' in part(page, "game-characters")

    change(bea, is_online_hidden=False)
    assert '<a href="/players/bea">BEA' in part(visitor.open("/games/Harbour"), "game-players")


def test_a_page_looks_at_a_bounded_number_of_names(app, visitor, game, valkey):
    """Redis may hold more, since an older worker lets a game list any number."""
    for number in range(20):
        be_online(app, valkey, game, [f"p{number}n{name}" for name in range(2000)])
    sizes = []

    def count(connection, cursor, statement, parameters, context, executemany):
        sizes.append(len(parameters))

    event.listen(Engine, "before_cursor_execute", count)
    page = visitor.open("/games/Harbour")
    event.remove(Engine, "before_cursor_execute", count)
    assert "10,000 players are online" in page and "and 9,800 more" in page
    assert max(sizes) < 500


def test_an_owner_hides_who_is_online(app, new_visitor, visitor, stored, game, valkey):
    """With the game's form. The number is still shown, and applications are not notified."""
    from shared.services import users, versions

    be_online(app, valkey, game, ["Odo", "Bea"])
    with db.reading() as session:
        owner = users.find_user(session, game.owner_id)
        before = versions.last_cursor(session)
    owner_browser = new_visitor().sign_in(owner.username)
    assert re.search(
        r'name="show_players"[^>]*checked|checked[^>]*name="show_players"',
        owner_browser.open("/manage/games/Harbour/edit"),
    )
    fields = {"name": game.name, "short_name": "Harbour", "display": "y", "allow_character_registration": "y"}
    assert owner_browser.send("/manage/games/Harbour/edit", **fields, show_players="n").status_code == 303
    page = visitor.open("/games/Harbour")
    assert "2 players are online" in page and "does not show who" in page
    assert "Odo" not in page and "game-players" not in page

    assert owner_browser.send("/manage/games/Harbour/edit", **fields).status_code == 303, (
        "the value stays without the field"
    )
    assert "Odo" not in visitor.open("/games/Harbour")
    assert owner_browser.send("/manage/games/Harbour/edit", **fields, show_players="y").status_code == 303
    assert "Odo" in visitor.open("/games/Harbour")
    with db.reading() as session:
        assert versions.last_cursor(session) == before


def test_offline_games_say_when_they_were_last_online(any_database, app, visitor, game, valkey):
    """According to the counts."""
    assert "has not been on the network yet" in visitor.open("/games/Harbour")
    assert "No counts yet" in visitor.page
    with db.transaction() as session:
        game_clients.remember_clients(session, {game.id: ClientSoftware(None, "2.4.0")})
    assert "has been on the network before" in visitor.open("/games/Harbour")
    with db.transaction() as session:
        player_counts.record(session, {game.id: 3}, at=db.utc_now() - 3 * HOUR)
    page = visitor.open("/games/Harbour")
    assert re.search(r"Last online <time [^>]+>3 hours ago", page)
    assert "No counts yet" not in page
    be_online(app, valkey, game, [])
    assert "Nobody is online right now" in visitor.open("/games/Harbour") and "Last online" not in visitor.page


def test_charts_are_svg_with_a_description_and_a_table(visitor, game):
    """The SVG is well-formed and has no inline style, which the content security policy would refuse."""
    with db.transaction() as session:
        for hours in range(30):
            if hours not in (4, 5):
                player_counts.record(session, {game.id: hours}, at=db.utc_now() - hours * HOUR)
    text = visitor.client.get("/games/Harbour").get_data(as_text=True)
    drawings = re.findall(r"<svg viewBox.*?</svg>", text.split('id="counts"')[1], re.DOTALL)
    assert len(drawings) == 3
    for drawing in drawings:
        svg = ElementTree.fromstring(drawing)
        assert svg.get("role") == "img"
        ids = {element.get("id"): element.text for element in svg.iter() if element.get("id")}
        assert all(ids[name].strip() for name in svg.get("aria-labelledby").split())
        assert len(svg.findall("text")) > 4
        assert svg.find("path[@class='chart-line']").get("d").startswith("M")
        assert "style" not in drawing
    assert text.count('<table class="counts">') == 3
    rows = [int(number) for number in re.findall(r"</th><td>(\d+)</td>", text.split("<table")[1])]
    assert max(rows) in (22, 23) and len(rows) in (22, 23)
    assert len(text) < 100_000


def test_a_chart_breaks_where_the_game_was_not_connected():
    """Steps are as wide as a span, and the area goes down to the axis on both sides of the gap."""
    spans = [Span(NOON + hour * HOUR, most, most, 1) for hour, most in ((0, 2), (1, 2), (2, 4), (6, 1))]
    chart = draw("x", "X", spans, end=NOON + 8 * HOUR, length=8 * HOUR, step=HOUR, ticks=[(NOON, "12:00")], rows=[])
    assert chart.line == "M40 80H118V10H157M274 115H313"
    assert chart.area == "M40 150V80H118V10H157V150ZM274 150V115H313V150Z"
    assert [(mark.position, mark.text) for mark in chart.y_marks] == [
        (150, "0"),
        (115, "1"),
        (80, "2"),
        (45, "3"),
        (10, "4"),
    ]
    assert [mark.position for mark in chart.x_marks] == [40]
    assert "At most 4 players" in chart.summary and "2.2 on average" in chart.summary
    assert len(split_into_runs(spans, step=HOUR)) == 2

    empty = draw("x", "X", [], end=NOON, length=HOUR, step=HOUR, ticks=[], rows=[])
    assert (empty.line, empty.area) == ("", "") and "Not connected" in empty.summary


@pytest.mark.parametrize(
    ("most", "scale"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (7, [0, 2, 4, 6, 8]),
        (23, [0, 10, 20, 30]),
        (4100, [0, 2000, 4000, 6000]),
    ],
)
def test_axes_show_a_few_round_numbers(most, scale):
    assert y_scale(most) == scale


def test_a_year_of_counts_in_three_charts(any_database, engine, stored):
    """Each chart covers exactly its time."""
    game = stored.game()
    now = datetime(2026, 3, 10, 12, 7, tzinfo=UTC)
    with db.transaction() as session:
        for days, players in ((0, 1), (2, 20), (100, 300), (380, 4000)):
            player_counts.record(session, {game.id: players}, at=now - timedelta(days=days))
    with db.reading() as session:
        day, week, year = player_charts(session, game.id, now=now)
    assert [[row.most for row in chart.rows] for chart in (day, week, year)] == [[1], [20, 1], [300, 20]]
    assert [row.when for row in week.rows] == ["Sunday, 8 Mar", "Tuesday, 10 Mar"]
    assert [row.when for row in year.rows] == ["November 2025", "March 2026"]
    assert day.line.endswith("H352") and week.line.endswith("H352") and year.line.endswith("H352")
    assert [mark.text for mark in day.x_marks] == ["18:00", "00:00", "06:00", "12:00"]
    assert [mark.text for mark in week.x_marks] == ["Wed", "Thu", "Fri", "Sat", "Sun", "Mon", "Tue"]
    with db.reading() as session:
        assert player_charts(session, game.id, now=now + timedelta(days=380)) == []
