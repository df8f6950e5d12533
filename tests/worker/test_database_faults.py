"""What a fault of PostgreSQL, or of another process that uses it, does to the workers. With real processes."""

from __future__ import annotations

import pytest

from tests.support.network import ALL_FLAGS
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.timeout(120),
    pytest.mark.parametrize("any_database", ["postgres"], indirect=True),
]


def enter(worker, stored, connect, short_name, **payload):
    """Return the socket of a new game, subscribed to `gossip`."""
    _, credentials = stored.game_with_credentials(short_name)
    client = connect(worker.url)
    client.authenticate(credentials.client_id, credentials.client_secret, supports=ALL_FLAGS, channels=["gossip"])
    return client


@pytest.fixture
def away(postgres_server, database_url):
    """Return a function that takes this test's database away. It comes back after the test at the latest."""
    yield lambda: postgres_server.go_away(database_url)
    postgres_server.come_back(database_url)


def test_an_internal_fault_is_no_answer_to_authenticate(
    any_database, start_worker, stored, connect, database_url, postgres_server, away
):
    """Real clients take any failed `authenticate` as final. They come back after a socket that closes with 1011."""
    worker = start_worker()
    _, credentials = stored.game_with_credentials("Alpha")
    payload = {"client_id": credentials.client_id, "client_secret": credentials.client_secret, "supports": ["channels"]}
    away()
    for _ in range(3):
        socket = connect(worker.url)
        socket.send("authenticate", payload, ref="r")
        assert socket.wait_closed() == 1011
        assert socket.frames == []
    assert socket.close_reason == "internal error"
    assert "Traceback" not in worker.output
    assert worker.output.count("a handler failed") == 3

    postgres_server.come_back(database_url)

    def is_accepted():
        socket = connect(worker.url)
        socket.send("authenticate", payload)
        return not socket.events("authenticate") and socket.wait_for("authenticate")["status"] == "success"

    wait_until(is_accepted, seconds=10)
