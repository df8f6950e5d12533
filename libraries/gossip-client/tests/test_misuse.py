"""What programs do wrong with a client: they are told so at once, and nobody else suffers for it."""

from __future__ import annotations

import asyncio

import pytest
from driver import Driver
from gossip_client import Backoff, Disconnected, RequestFailed, SendDropped, requests
from gossip_client.core import LONGEST_PAYLOAD

QUICK = Backoff(first=0.1, longest=0.2)


# Payloads


@pytest.mark.parametrize("message", [b"bytes", object(), float("nan"), {1, 2}])
def test_what_cannot_be_written_fails_where_it_is_asked_for(make_client, old_server, message):
    """Also while away: a send that waits for the connection must not break it when its turn comes."""
    server = old_server()
    client = make_client(server.url, channels=["gossip"], backoff=QUICK)
    with pytest.raises((TypeError, ValueError)):
        client.send("gossip", "Ann", message)
    server.drop()
    client.wait_for(Disconnected)
    with pytest.raises((TypeError, ValueError)):
        client.send("gossip", "Ann", message)
    client.send("gossip", "Ann", "hello")
    assert [frame["payload"]["message"] for frame in server.events("channels/send")] == ["hello"]


def test_what_is_longer_than_a_server_takes_is_refused_here():
    """It would close the connection, and with it everyone else's requests would be lost."""
    driver = Driver()
    long = "x" * LONGEST_PAYLOAD
    waiting = driver.ask(requests.send("gossip", "Ann", long))
    assert waiting.is_done and driver.events(SendDropped)[0].payload["message"] == long
    driver.open()
    request = driver.ask(requests.send("gossip", "Ann", long))
    with pytest.raises(RequestFailed, match="too long") as failure:
        request.result()
    assert failure.value.code == "invalid" and driver.sent() == []
    assert not driver.ask(requests.send("gossip", "Ann", "x" * 60_000)).is_done


@pytest.mark.parametrize("wanted", ["raises", {"since": object()}])
def test_an_application_that_cannot_say_what_to_sync_tries_again(wanted, caplog):
    """Its database may be gone for a moment: that must not end the client."""
    answers = [wanted, {"since": 4}]

    def sync():
        answer = answers.pop(0)
        if answer == "raises":
            raise RuntimeError("no database now")
        return answer

    driver = Driver(sync=sync)
    driver.core.opened(driver.now)
    assert driver.sent() == [] and "failed to say" in (driver.core.close_reason or "")
    driver.lose()
    assert driver.open()["payload"]["sync"] == {"since": 4}
    assert "failed to say" in caplog.text
