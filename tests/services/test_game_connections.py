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
    connection = games.add_connection(session, actors.of_user(session, game.owner_id), short_name="Tea", **way)
    expected = {**way, "port": int(way["port"])} if "port" in way else way
    assert connection.public_form() == {"id": connection.id, **expected}


@pytest.mark.parametrize(
    ("host", "port", "stored"),
    [
        ("mud.example.com:4000", "", ("mud.example.com", 4000)),
        ("mud.example.com:4000", None, ("mud.example.com", 4000)),
        ("mud.example.com:4000", "4000", ("mud.example.com", 4000)),
        ("mud.example.com 4000", "", ("mud.example.com", 4000)),
        ("telnet mud.example.com 4000", "", ("mud.example.com", 4000)),
        ("telnet://mud.example.com:4000", "", ("mud.example.com", 4000)),
        ("TELNET://MUD.example.com:4000/", "", ("MUD.example.com", 4000)),
        ("telnet://mud.example.com", 4000, ("mud.example.com", 4000)),
        ("telnet://[2001:DB8::1]:4000", "", ("2001:db8::1", 4000)),
        ("[2001:db8::1]", 4000, ("2001:db8::1", 4000)),
        ("[2001:db8::1]:4000", "", ("2001:db8::1", 4000)),
        ("2001:db8:0:0:0:0:0:1", 4000, ("2001:db8::1", 4000)),
        ("192.0.2.7:4000", "", ("192.0.2.7", 4000)),
        ("mud.example.com.", 4000, ("mud.example.com", 4000)),
        ("Tänzer.example", 4000, ("xn--tnzer-gra.example", 4000)),
        ("straße.example", 4000, ("xn--strae-oqa.example", 4000)),
        ("игра.рф:4000", "", ("xn--80afo7a.xn--p1ai", 4000)),
        ("ｍｕｄ．example", 4000, ("mud.example", 4000)),
        ("xn--tnzer-gra.example", 4000, ("xn--tnzer-gra.example", 4000)),
        ("my_mud.example.com", 4000, ("my_mud.example.com", 4000)),
        ("mud", 4000, ("mud", 4000)),
    ],
)
def test_hosts_are_understood_as_people_type_them(make, session, host, port, stored):
    game = make.game("Tea")
    actor = actors.of_user(session, game.owner_id)
    way = games.add_connection(session, actor, short_name="Tea", type="telnet", host=host, port=port)
    assert (way.host, way.port) == stored
    # What is stored is understood again, as when the form is opened and saved.
    games.update_connection(session, actor, connection_id=way.id, type="telnet", host=way.host, port=way.port)
    assert (way.host, way.port) == stored


def test_a_tls_url_is_a_secure_way_to_connect(make, session):
    game = make.game("Tea")
    actor = actors.of_user(session, game.owner_id)
    way = games.add_connection(
        session, actor, short_name="Tea", type="secure telnet", host="telnets://mud.example.com:4443"
    )
    assert (way.type, way.host, way.port) == ("secure telnet", "mud.example.com", 4443)


def test_a_page_may_be_on_an_ipv6_address(make, session):
    game = make.game("Tea")
    actor = actors.of_user(session, game.owner_id)
    way = games.add_connection(session, actor, short_name="Tea", type="web", url="https://[2001:db8::1]:8080/play")
    assert way.url == "https://[2001:db8::1]:8080/play"


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ({"type": "telnet", "host": "https://mud.example.com"}, "choose the kind web"),
        ({"type": "web", "url": "telnet://mud.example.com:4000"}, "choose the kind telnet"),
        ({"type": "web", "url": "telnet mud.example.com 4000"}, "choose the kind telnet"),
        ({"type": "web", "url": "telnet.example.com"}, "must be a full address"),
        ({"type": "telnet", "host": "telnets://mud.example.com:1"}, "choose the kind secure telnet"),
        ({"type": "telnet", "host": "999.1.1.1", "port": 1}, "is not an IP address: one looks like 192.0.2.7"),
        ({"type": "telnet", "host": "fe80::1%eth0", "port": 1}, "leave out the zone"),
        ({"type": "telnet", "host": "mud.example.com:4000", "port": 4001}, "says 4000, and the port 4001"),
        ({"type": "telnet", "host": "0.0.0.0", "port": 1}, "write the address that players use"),
    ],
)
def test_the_error_says_what_to_do(make, session, way, says):
    game = make.game("Tea")
    with pytest.raises(Invalid) as refused:
        games.add_connection(session, actors.of_user(session, game.owner_id), short_name="Tea", **way)
    assert says in refused.value.message


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
        *(
            ({"type": "telnet", "host": host, "port": 4000}, "host")
            for host in (
                "a..example",
                ".example",
                "x" * 64 + ".example",
                "bad-.example.com",
                "tän zer.example",
                "\u0660\u0661.\u0662",
                "ex\u200bample.com/",
                "999.1.1.1",
                "1.2.3",
                "1.2.3.4.5",
                "0x7f.1",
                "127.1",
                "2130706433",
                "0.0.0.0",
                "::",
                "ff02::1",
                "224.0.0.1",
                "255.255.255.255",
                "fe80::1%eth0",
                "2001:db8::g",
                "2001:db8::1]:4000",
                "[mud.example.com]",
                "[2001:db8::1]x",
                "mud.example.com/path",
                "https://mud.example.com",
                "ws://mud.example.com/",
                "ssh://mud.example.com",
                "telnet://guest:pw@mud.example.com",
                "telnet://mud.example.com/lobby",
                "telnet://",
                "telnet://[::1",
                "mud example com",
                "😀.example",
            )
        ),
        *(
            ({"type": "telnet", "host": host, "port": port}, "port")
            for host, port in (
                ("mud.example.com:4000", "5000"),
                ("telnet://mud.example.com:4000", 5000),
                ("mud.example.com:0", ""),
                ("mud.example.com:65536", ""),
                ("mud.example.com:", ""),
                ("mud.example.com:x", ""),
                ("mud.example.com 4000", 5000),
                ("telnet://mud.example.com", ""),
                ("[2001:db8::1]:99999", ""),
            )
        ),
        ({"type": "telnet", "host": "telnets://mud.example.com:4443", "port": ""}, "type"),
        ({"type": "web", "url": "telnet://mud.example.com:4000"}, "url"),
        ({"type": "web", "url": "https://[2001:db8::g]/"}, "url"),
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
