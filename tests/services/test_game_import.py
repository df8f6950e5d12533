"""Importing many games at once: all of them, or none and an error with the line."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import func, select

from shared import db
from shared.models import Game, ReservedShortName
from shared.models.game_details import GameDetails
from shared.services import game_import, games, versions
from shared.services.authority.actors import OPERATOR
from shared.services.game_import import BadLine
from tests.support.credentials import authenticate_peer
from tests.support.racing import Racer, wait_until_blocked


def line(number=1, **fields):
    return json.dumps({"name": f"Game {number}", "short_name": f"G{number}", "owner": "wren", **fields})


@pytest.fixture
def owner(stored):
    return stored.user("wren")


@pytest.mark.usefixtures("any_database")
def test_every_field_of_a_game(engine, owner):
    lines = [
        line(
            1,
            owner="WREN",
            description="A place.",
            homepage_url="https://one.example.com",
            display=False,
            allow_character_registration=False,
            redirect_uris=["https://b.example.com/", "https://a.example.com/"],
            connections=[
                {"type": "web", "url": "https://one.example.com/play"},
                {"type": "telnet", "host": "one.example.com", "port": 4000},
            ],
        ),
        "   \n",
        line(2),
    ]
    counts = []
    with db.transaction() as session:
        imported = game_import.import_games(session, OPERATOR, lines, progress=counts.append)
    assert counts[-1] == 2
    with db.reading() as session:
        first = games.get_game(session, "g1")
        record = first.sync_payload()
        assert record["description"] == "A place." and record["homepage_url"] == "https://one.example.com"
        assert (record["display"], record["allow_character_registration"]) == (False, False)
        assert record["redirect_uris"] == ["https://a.example.com/", "https://b.example.com/"]
        assert {way["type"] for way in record["connections"]} == {"web", "telnet"}
        assert first.owner_id == owner.id
        assert games.get_game(session, "G2").is_displayed
        for imported_game in imported:
            credentials = imported_game.credentials
            assert authenticate_peer(session, client_id=credentials.client_id, client_secret=credentials.client_secret)
        assert [change.record_id for change in versions.since(session, 0)] == [line.game.id for line in imported]
        assert set(session.scalars(select(ReservedShortName.key))) == {"g1", "g2"}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ('"\ud800"', "not UTF-8"),
        (line(3, colour="red"), "unknown field 'colour'"),
        (line(3, owner="nobody"), "no user nobody"),
        (line(3, owner=None), "(owner)"),
        (line(3, owner=7), "(owner)"),
        (line(3, name=""), "(name)"),
        (line(3, name=None), "(name)"),
        (line(3, name="x" * 81), "(name)"),
        (line(3, short_name="gossip"), "(short_name)"),
        (line(3, short_name=5), "(short_name)"),
        (line(3, description=5), "(description)"),
        (line(3, homepage_url="nowhere"), "(homepage_url)"),
        (line(3, homepage_url=5), "(homepage_url)"),
        (line(3, display="yes"), "(display)"),
        (line(3, allow_character_registration=None), "(allow_character_registration)"),
        (line(3, redirect_uris="https://a.example.com"), "(redirect_uris)"),
        (line(3, redirect_uris=["nowhere"]), "(redirect_uris)"),
        (line(3, redirect_uris=[None]), "(redirect_uris)"),
        (line(3, connections={"a": 1}), "(connections)"),
        (line(3, connections=[5]), "(connections)"),
        (line(3, connections=[{"type": "pigeon"}]), "(connections)"),
        (line(3, connections=[{"type": "telnet", "host": "a.example.com", "port": 0}]), "(port)"),
        (line(3, connections=[{"type": "web"}]), "(url)"),
        (line(3, connections=[{"type": "telnet", "host": "a.b", "port": 1}] * 21), "(connections)"),
        (line(3, name="GAME 1"), "line 1 already has this name"),
        (line(3, short_name="g1"), "line 1 already has this name"),
        (line(3, name="the TAKEN"), "(name)"),
        (line(3, short_name="TAKEN"), "(short_name)"),
        (line(3, short_name="gone"), "(short_name)"),
        (line(3, short_name="mirror"), "(short_name)"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(stored, owner, bad, says):
    """Errors in the line itself, and conflicts with the database or earlier lines."""
    stored.game("Taken", owner=owner)
    stored.application("Mirror")
    stored.game("Gone", owner=owner)
    with db.transaction() as session:
        games.delete_game(session, OPERATOR, short_name="Gone")
    with pytest.raises(BadLine) as refused:
        with db.transaction() as session:
            game_import.import_games(session, OPERATOR, [line(1), "", bad, line(4)])
    assert refused.value.message.startswith("line 3: ") and "nothing was imported" in refused.value.message
    assert says in refused.value.message
    with db.reading() as session:
        assert session.scalars(select(Game.short_name)).all() == ["Taken"]
        assert session.scalar(select(func.count()).select_from(ReservedShortName)) == 3
        assert versions.last_cursor(session) == 3


def test_a_bad_line_far_down_undoes_earlier_batches(engine, owner, monkeypatch):
    monkeypatch.setattr(game_import, "_BATCH", 3)
    lines = [line(number) for number in range(1, 11)] + [line(2)]
    with pytest.raises(BadLine, match="line 11: line 2 already has this name"):
        with db.transaction() as session:
            game_import.import_games(session, OPERATOR, lines)
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Game)) == 0


@pytest.mark.usefixtures("any_database")
def test_a_name_taken_at_this_very_moment_is_a_bad_line(engine, owner, monkeypatch):
    """On PostgreSQL by a transaction that had not committed when the names were checked. SQLite has no such moment."""
    if engine.dialect.name == "sqlite":
        monkeypatch.setattr(game_import, "_insert", _without_a_look(game_import._insert))

    def lose():
        with db.transaction() as other:
            game_import.import_games(other, OPERATOR, [line(2, name="Goal")])

    with db.transaction() as session:
        games.create_game(session, OPERATOR, owner_id=owner.id, details=GameDetails(name="goal", short_name="First"))
        racer = Racer(lose)
        wait_until_blocked(engine, racer)
    with pytest.raises(BadLine, match="line 1: a name in or after this line was taken at this moment"):
        racer.join()


def _without_a_look(add):
    def blind(session, numbered):
        scalars = session.scalars
        session.scalars = lambda *a, **k: []
        try:
            return add(session, numbered)
        finally:
            session.scalars = scalars

    return blind


@pytest.mark.usefixtures("any_database")
def test_importing_2_000_games_is_fast(engine, owner):
    """Takes a few statements per batch, not several per game."""
    from sqlalchemy import event

    run = []
    event.listen(engine, "before_cursor_execute", lambda c, cu, statement, *rest: run.append(statement))
    with db.transaction() as session:
        imported = game_import.import_games(session, OPERATOR, (line(number) for number in range(2000)))
    assert len(imported) == 2000
    assert len([statement for statement in run if not statement.startswith("INSERT INTO games")]) < 100
    with db.reading() as session:
        assert versions.last_cursor(session) == 2000
