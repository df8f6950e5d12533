"""The home page: the network's numbers, a random game, new games."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from shared import db
from shared.services import history
from shared.services.history import Line
from shared.times import floor
from tests.app.presence import be_online


def say(channel, *moments):
    with db.transaction() as session:
        lines = [Line(channel.id, "game:1", "Harbour", "Wren", "Hello", moment) for moment in moments]
        history.store_lines(session, lines, worker="w")


def test_an_empty_network_has_a_helpful_page(visitor):
    """All numbers are there, and there is something to do."""
    page = visitor.open("/")
    assert "0 games</strong> online" in page and "0 messages</strong> today" in page
    assert "Nobody is online" in page and "No games yet" in page and "/manage/games/new" in page


def test_numbers_and_a_random_game(any_database, app, visitor, stored, valkey):
    """Only displayed games count. The random game shows how to connect."""
    _, lists_none, lists_one = (stored.game(name) for name in ("Ash", "Moss", "Tide"))
    stored.connection(lists_one, host="tide.example.com", port=4000)
    hidden = stored.game("Cellar", is_displayed=False)
    stored.connection(hidden, host="cellar.example.com", port=4000)
    assert "Nobody is online" in visitor.open("/") and "all 3 registered games" in visitor.page
    be_online(app, valkey, hidden, ["Ghost"])
    assert "Nobody is online" in visitor.open("/") and "0 games</strong> online" in visitor.page

    be_online(app, valkey, lists_none, ["Odo", "Bea"])
    page = visitor.open("/")
    assert "1 game</strong> online" in page and "2 players</strong> playing" in page
    assert "The Moss" in page.split('id="picked-name"')[1].split("</h3>")[0]
    be_online(app, valkey, lists_one, ["Wren"])
    page = visitor.open("/")
    assert "2 games</strong> online" in page and "3 players</strong> playing" in page
    assert "The Tide" in page.split('id="picked-name"')[1].split("</h3>")[0]
    assert "telnet://tide.example.com:4000" in page
    assert "Cellar" not in page and "cellar.example.com" not in page


def test_another_game_is_picked_on_request(app, visitor, stored, valkey):
    """Never the same again, and each link is a new address, so that a browser loads it."""

    def picked():
        name = re.search(r'id="picked-name"><a href="/games/([^"]+)"', visitor.page)[1]
        link = re.search(r'href="([^"]+)">Pick another', visitor.page)
        return name, link and link[1]

    games = [stored.game(name) for name in ("Ash", "Moss", "Tide")]
    be_online(app, valkey, games[0], ["Odo"])
    visitor.open("/")
    assert picked() == ("Ash", None), "there is no other"
    visitor.open("/?not=ash")
    assert picked() == ("Ash", None)
    for game in games[1:]:
        be_online(app, valkey, game, ["Odo"])
    visitor.open("/")
    name, link = picked()
    for _ in range(10):
        assert link == f"/?not={name}#now"
        visitor.open(link)
        previous, (name, link) = name, picked()
        assert name != previous


def test_any_online_game_can_be_picked_but_never_a_hidden_one(any_database, engine, stored, monkeypatch):
    """Picked so often that a failure would show."""
    from shared.services import game_lists

    shown = [stored.game() for _ in range(3)]
    for game in shown:
        stored.connection(game)
    hidden = stored.game(is_displayed=False)
    stored.connection(hidden)
    ids = [game.id for game in (*shown, hidden)]
    with db.reading() as session:
        public = game_lists.read_public_games(session)
        monkeypatch.setattr(game_lists, "PICKED", 1)
        picked = {game.id for _ in range(100) for game in game_lists.pick_games(session, public, ids)}
        assert picked == {game.id for game in shown}
        assert game_lists.pick_games(session, public, [hidden.id]) == []
        assert game_lists.pick_games(session, public, []) == []


def test_messages_are_counted_from_midnight(any_database, app, stored, monkeypatch):
    """Only today's messages count. New ones are added once, and the count restarts at midnight."""
    from app.pages import live

    monkeypatch.setattr(live, "CACHE_SECONDS", 0.0)
    channel = stored.channel("gossip")
    noon = floor(db.utc_now(), timedelta(days=1)) + timedelta(hours=12)

    def counted(now=noon):
        with app.app_context(), db.reading() as session:
            return live.messages_today(session, now=now)

    assert counted() == 0
    app.extensions.pop("messages_today")
    say(channel, noon - timedelta(days=1), noon - timedelta(hours=13), noon - timedelta(hours=12), noon)
    assert counted() == 2
    say(channel, noon, noon)
    assert counted() == counted() == 4
    tomorrow = noon + timedelta(days=1)
    assert counted(tomorrow) == 0
    say(channel, tomorrow)
    assert counted(tomorrow) == 1


def test_the_count_of_messages_is_cached(app, visitor, stored):
    """The number may be a few seconds old."""
    channel = stored.channel("gossip")
    assert "0 messages</strong> today" in visitor.open("/")
    say(channel, db.utc_now())
    assert "0 messages</strong> today" in visitor.open("/")
    app.extensions.pop("messages_today")
    assert "1 message</strong> today" in visitor.open("/")


def test_newest_games_and_public_channels(any_database, visitor, stored):
    """The last six registered games, without hidden ones."""
    owner = stored.user()
    for number in range(8):
        stored.game(f"G{number}", owner=owner)
    stored.game("Cellar", owner=owner, is_displayed=False)
    stored.channel("gossip")
    stored.channel("backroom", is_hidden=True)
    page = visitor.open("/")
    assert [part.split("<")[0] for part in page.split('<p class="short">')[1:]] == [f"G{n}" for n in range(7, 1, -1)]
    assert "All 8 games" in page and "gossip" in page
    assert "Cellar" not in page and "backroom" not in page


@pytest.mark.parametrize("is_signed_in", [False, True])
def test_the_page_speaks_to_players_and_owners(new_visitor, stored, is_signed_in):
    """Strangers get links to register, users links to their own pages."""
    visitor = new_visitor()
    if is_signed_in:
        visitor.sign_in(stored.user("wren").username)
    main = visitor.open("/").split("<main")[1]
    assert "For players" in main and "For game owners" in main
    assert ("/players/wren" in main) is is_signed_in
    assert ('href="/register?next=/manage/characters"' in main) is not is_signed_in
    assert ('href="/register?next=/manage/games/new"' in main) is not is_signed_in


def test_the_conduct_page_explains_moderation_and_appeals(visitor):
    page = visitor.open("/conduct")
    for words in (
        "For everyone",
        "For owners of games",
        "What moderators do",
        "no part in the decision",
        "never stored",
    ):
        assert words in page, words
