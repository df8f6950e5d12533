"""Ten takeovers in a row while a thousand games chat, with a real Evennia among them. `make test-evennia` runs this.

Evennia's client does not come back after its socket was closed, until the game is restarted.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis

from bench.takeovers import FAULTS, Crowd
from shared.presence import list_sockets
from tests.evennia.game import PASSWORD, SUPERUSER, EvenniaGame, Telnet
from tests.support.servers import RunningWorker
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.usefixtures("processes")]

PROGRAMS = os.environ.get("EVENNIA_PROGRAMS", "")
GAMES = 1000
TAKEOVERS = 10
LINES_PER_SECOND = 10.0


def realm_socket(redis_url: str) -> str:
    """Return the id of Evennia's only socket."""
    with redis.Redis.from_url(redis_url) as client:
        [socket] = [socket for socket in list_sockets(client) if socket.game == "Realm"]
    return socket.id


@pytest.mark.skipif(not PROGRAMS, reason="Evennia has an environment of its own: make test-evennia")
def test_evennia_and_a_thousand_games_notice_nothing(start_worker, environment, stored, connect, redis_url, tmp_path):
    """Lines pass in both directions after each takeover, each once. Evennia's socket is the same at the end."""
    stored.channel("gossip")
    owner = stored.user()
    _, credentials = stored.game_with_credentials("Realm", owner=owner, name="An Evennia Realm")
    _, others = stored.game_with_credentials("Other", owner=owner)
    crowd_credentials = [
        {"client_id": each.client_id, "client_secret": each.client_secret}
        for _, each in (stored.game_with_credentials(owner=owner) for _ in range(GAMES))
    ]
    worker = start_worker()
    started = [worker]
    realm = EvenniaGame(
        Path(PROGRAMS),
        tmp_path,
        url=worker.url,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
    )
    realm.start()
    try:
        realm.wait_until_set_up()
        player = Telnet(realm.port)
        player.insist(f"connect {SUPERUSER} {PASSWORD}", "Limbo")
        player.insist("grapevine2chan public = gossip", "connection created")
        wait_until(lambda: realm_socket(redis_url), seconds=60, what="Evennia is online")
        before = realm_socket(redis_url)
        crowd = Crowd(worker.port, crowd_credentials, lines_per_second=LINES_PER_SECOND)
        crowd.start()
        for number in range(TAKEOVERS):
            old, worker = worker, RunningWorker(environment, takeover=worker.pid)
            started.append(worker)
            worker.wait_until_ready()
            assert old.wait(seconds=40) == 0, old.output
            print("takeover", number + 1, old.wait_for_event("given away"))
            other = connect(seconds=30)
            other.authenticate(others.client_id, others.client_secret, channels=["gossip"])
            player.say(f"public Hello after takeover {number}")
            other.wait_for("channels/broadcast", seconds=30, payload={"game": "Realm"})
            other.send(
                "channels/send", {"channel": "gossip", "name": "Odo", "message": f"Hello back after takeover {number}"}
            )
            player.wait_for(f"Hello back after takeover {number}")
            other.settle()
            texts = [frame["payload"]["message"] for frame in other.events("channels/broadcast")]
            assert [text for text in texts if text.startswith("Hello")] == [f"Hello after takeover {number}"]
            other.drop()
        verdict = crowd.stop()
        print("the checker's verdict:", verdict)
        assert [verdict[name] for name in FAULTS] == [0] * len(FAULTS)
        assert realm_socket(redis_url) == before
    finally:
        realm.stop()
        for process in started[1:]:
            process.kill()
