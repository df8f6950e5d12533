"""Ways to connect to a game: adding, changing and deleting them."""

from __future__ import annotations

import pytest

from shared.errors import Conflict, Invalid, NotFound
from shared.services import games
from shared.services.authority import actors


@pytest.mark.parametrize(
    "way",
    [
        {"type": "web", "url": "https://play.example.com/"},
        {"type": "web", "url": "wss://play.example.com/socket"},
        {"type": "telnet", "host": "mud.example.com", "port": 4000},
        {"type": "telnet", "host": "192.0.2.7", "port": "1"},
        {"type": "secure telnet", "host": "2001:db8::1", "port": 65535},
        {"type": "telnet", "host": "localhost", "port": " 23 "},
    ],
)
def test_good_ways_to_connect(make, session, way):
    game = make.game("Tea")
    made = games.add_connection(session, actors.of_user(session, game.owner_id), short_name="Tea", **way)
    expected = {**way, "port": int(way["port"])} if "port" in way else way
    assert made.public_form() == {"id": made.id, **expected}


@pytest.mark.parametrize(
    ("way", "field"),
    [
        ({"type": "carrier pigeon"}, "type"),
        ({"type": ""}, "type"),
        ({"type": "web", "url": ""}, "url"),
        ({"type": "web", "url": "play.example.com"}, "url"),
        ({"type": "web", "url": "https://localhost"}, "url"),
        ({"type": "telnet", "host": "", "port": 4000}, "host"),
        ({"type": "telnet", "host": "a host", "port": 4000}, "host"),
        ({"type": "telnet", "host": "-bad.example.com", "port": 4000}, "host"),
        ({"type": "telnet", "host": "x" * 254, "port": 4000}, "host"),
        ({"type": "telnet", "host": "tänzer.example", "port": 4000}, "host"),
        *(
            ({"type": "secure telnet", "host": "mud.example.com", "port": port}, "port")
            for port in (0, 65536, -1, "", None, "4000x", "1.5", "٣", 4000.0, True, "9" * 5000)
        ),
    ],
)
def test_bad_ways_to_connect_are_refused_with_the_field(make, session, way, field):
    game = make.game("Tea")
    good = make.connection(game)
    with pytest.raises(Invalid) as refused:
        games.add_connection(session, actors.of_user(session, game.owner_id), short_name="Tea", **way)
    assert refused.value.field == field
    with pytest.raises(Invalid) as refused:
        games.update_connection(session, actors.of_user(session, game.owner_id), connection_id=good.id, **way)
    assert refused.value.field == field
    assert (good.type, good.host, good.port) == ("telnet", "mud.example.com", 4000)


def test_a_game_may_have_several_of_one_type_up_to_a_limit(make, session, monkeypatch):
    game = make.game("Tea")
    monkeypatch.setattr(games, "CONNECTIONS_PER_GAME", 3)
    for _ in range(3):
        make.connection(game)
    with pytest.raises(Conflict):
        make.connection(game)


def test_a_way_to_connect_can_change_its_type_and_be_deleted(make, session):
    game = make.game("Tea")
    way = make.connection(game)
    changed = games.update_connection(
        session,
        actors.of_user(session, game.owner_id),
        connection_id=way.id,
        type="web",
        url="https://tea.example.com",
        host="kept?",
    )
    assert (changed.url, changed.host, changed.port) == ("https://tea.example.com", None, None)
    assert games.delete_connection(session, actors.of_user(session, game.owner_id), connection_id=way.id) is game
    assert game.connections == []
    with pytest.raises(NotFound):
        games.delete_connection(session, actors.of_user(session, game.owner_id), connection_id=way.id)
