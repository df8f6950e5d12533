"""What a public page costs a signed-out visitor: statements, rows and renderings, counted."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from app.online import online_now
from shared import db
from shared.presence import find_listeners
from shared.services import history
from shared.services.history import Line
from tests.app.presence import be_online
from tests.support.factory import edit_game

WARM = {
    # Path: statements once the process has read who is online and which games there are.
    "/conduct": 0,
    "/docs": 0,
    "/": 1,
    "/games": 1,
    "/chat": 2,
    "/chat/gossip": 3,
    "/channels/gossip": 2,
    "/games/Moss": 6,
}


@pytest.fixture
def statements(app):
    """Every statement but BEGIN that the site sends to its database."""
    statements = []

    def note(_connection, _cursor, statement, *_):
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    with app.app_context():
        engine = db.db.engine
    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def network(app, stored, valkey, monkeypatch):
    """Some games, two of them online, whose presence is not read again meanwhile."""
    monkeypatch.setattr("app.online.CACHE_SECONDS", 3600.0)
    monkeypatch.setattr("app.pages.live.CACHE_SECONDS", 3600.0)
    monkeypatch.setattr("app.raid_notice.CACHE_SECONDS", 3600.0)
    monkeypatch.setattr("app.chat.overview.CACHE_SECONDS", 3600.0)
    owner = stored.user()
    channel = stored.channel("gossip")
    games = [stored.game(name, owner=owner) for name in ("Moss", "Tide", *(f"G{number:02}" for number in range(40)))]
    for game in games:
        stored.connection(game)
    be_online(app, valkey, games[0], ["Odo", "Wren"])
    be_online(app, valkey, games[1], [])
    with db.transaction() as session:
        line = Line(channel.id, "game:1", "Moss", "Wren", "Hello", db.utc_now())
        history.store_lines(session, [line] * 60, worker="w")


@pytest.mark.parametrize("path", WARM)
def test_a_public_page_takes_a_fixed_number_of_statements(network, client, statements, path):
    assert client.get(path).status_code == 200
    statements.clear()
    assert client.get(path).status_code == 200
    assert len(statements) == WARM[path], statements


def test_lists_are_read_again_after_an_edit_and_only_then(network, client, statements):
    """A page of the list reads as many statements for many games as for few, and shows an edit at once."""
    client.get("/games")
    with db.transaction() as session:
        edit_game(session, "G39", name="Aaa first of all")
    statements.clear()
    assert "Aaa first of all" in client.get("/games").get_data(as_text=True)
    assert len(statements) == 12, statements
    statements.clear()
    client.get("/games")
    assert len(statements) == 1
    client.get("/games?page=2")
    statements.clear()
    client.get("/games?page=2")
    assert len(statements) == 1


def test_fixed_pages_are_rendered_once_for_strangers(app, client, new_visitor, stored):
    """A visitor who has the page already is not sent it again. Whoever is signed in gets their own."""
    stored.user("wren")
    for path in ("/conduct", "/docs"):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert again.status_code == 304 and again.get_data() == b""
        assert first.headers["Cache-Control"] == "private, no-cache" and "Cookie" in first.headers["Vary"]
        assert "csrf_token" not in first.get_data(as_text=True)
        page = new_visitor().sign_in("wren").open(path)
        assert "wren" in page and "Sign in" not in page
        assert client.get(path).get_data() == first.get_data()


def test_a_flashed_message_is_not_kept_with_a_fixed_page(app, client, visitor, stored):
    stored.user("wren")
    visitor.sign_in("wren").send("/sign-out", form_on="/account")
    assert "You are signed out" in visitor.open("/conduct")
    assert "You are signed out" not in client.get("/conduct").get_data(as_text=True)


def test_presence_is_summed_up_once_for_each_reading(network, app, client, monkeypatch):
    """However many people open a chat, the sockets are looked through once."""
    calls = []
    monkeypatch.setattr("app.chat.routes.find_listeners", lambda *args: calls.append(1) or find_listeners(*args))
    for _ in range(3):
        assert client.get("/chat/gossip").status_code == 200
    assert len(calls) == 1
    with app.test_request_context():
        assert online_now() is online_now()


def test_an_edit_takes_a_fixed_number_of_statements(visitor, stored, statements):
    """However many games and versions there are. Nothing is written besides the record and its version."""
    owner = stored.user("wren")
    for name in ("Moss", "Tide", "Ash"):
        stored.connection(stored.game(name, owner=owner))
    visitor.sign_in("wren")
    token = visitor.token("/manage/games/Moss/edit")
    counts = []
    for number in range(3):
        fields = {"name": "Moss", "short_name": "Moss", "description": f"Text {number}", "display": "y"}
        statements.clear()
        answer = visitor.client.post("/manage/games/Moss/edit", data={"csrf_token": token, **fields})
        assert answer.status_code == 303
        counts.append(len(statements))
    assert counts == [23] * 3, statements
    written = [statement.split()[:3] for statement in statements if not statement.startswith("SELECT")]
    assert [words[0] for words in written] == ["UPDATE", "UPDATE", "INSERT", "UPDATE"], written
