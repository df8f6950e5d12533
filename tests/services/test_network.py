"""The network as a whole."""

from __future__ import annotations

import msgspec
import pytest

from shared.bus import Bus, take_announcements
from shared.errors import Forbidden, Invalid, Unavailable
from shared.presence import SOCKET_KEY, WORKER_KEY, SocketPresence
from shared.services import network
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from shared.signals import RestartAnnounced


@pytest.mark.parametrize("downtime", [0, -1, 3601])
def test_an_invalid_downtime_is_refused(session, redis_url, downtime):
    with pytest.raises(Invalid) as refused:
        network.announce_restart(session, OPERATOR, Bus(redis_url), downtime_seconds=downtime)
    assert refused.value.field == "downtime"


def test_only_admins_announce_a_restart(make, session, redis_url):
    bus = Bus(redis_url)
    for actor in (make.user(), make.user(role="moderator")):
        with pytest.raises(Forbidden):
            network.announce_restart(session, actors.of_user(session, actor.id), bus, downtime_seconds=15)
    session.commit()
    take_announcements(session)
    network.announce_restart(session, actors.of_user(session, make.admin().id), bus, downtime_seconds=15)
    session.commit()
    assert take_announcements(session) == [RestartAnnounced(15)]


def test_without_redis_a_restart_cannot_be_announced(session):
    with pytest.raises(Unavailable):
        network.announce_restart(session, OPERATOR, Bus("unix:///nowhere/at/all.sock"), downtime_seconds=15)
    session.commit()
    assert take_announcements(session) == []


def test_an_empty_network(session, redis_url):
    assert network.network_status(session, Bus(redis_url)) == {
        "cursor": 0,
        "redis": True,
        "games": [],
        "applications": [],
        "sockets": [],
        "workers": [],
    }


def test_the_status_of_the_network(make, session, redis_url):
    make.channel()
    session.commit()
    bus = Bus(redis_url)
    for socket in (
        SocketPresence(id="s1", worker="w1", peer="game:1", game="Tea", since=2.0, players=["a", "b"]),
        SocketPresence(id="s2", worker="w1", peer="game:1", game="Tea", since=1.0),
        SocketPresence(id="s3", worker="w2", peer="application:1", game="Mirror", is_application=True, since=3.0),
    ):
        bus.redis.set(SOCKET_KEY + socket.id, msgspec.json.encode(socket))
    bus.redis.set(WORKER_KEY + "w1", msgspec.json.encode({"id": "w1", "port": 4110}))
    status = network.network_status(session, bus)
    assert (status["cursor"], status["games"], status["applications"]) == (1, ["Tea"], ["Mirror"])
    assert [(socket["game"], socket["since"], socket["players"]) for socket in status["sockets"]] == [
        ("Mirror", 3.0, 0),
        ("Tea", 1.0, 0),
        ("Tea", 2.0, 2),
    ]
    assert status["workers"] == [{"id": "w1", "port": 4110, "sockets": 2}]


def test_without_redis_only_the_cursor_is_known(make, session):
    make.channel()
    session.commit()
    status = network.network_status(session, Bus("unix:///nowhere/at/all.sock"))
    assert (status["cursor"], status["redis"], status["sockets"]) == (1, False, [])
