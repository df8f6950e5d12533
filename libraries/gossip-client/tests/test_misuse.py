"""What programs do wrong with a client: they are told so at once, and nobody else suffers for it."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest
from driver import Driver
from gossip_client import Backoff, Disconnected, RequestFailed, SendDropped, requests
from gossip_client.aio import Client as AioClient
from gossip_client.core import LONGEST_PAYLOAD
from gossip_client.sync import Client as SyncClient

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


# Waiting no longer


def test_a_send_that_nobody_waits_for_any_more_is_not_sent(old_server, run_async):
    """`wait_for(client.send(…), 5)` while away: whoever gave it up does not want it said a minute later."""
    server = old_server()
    dropped = []

    async def run():
        client = AioClient(server.url, "id", "secret", backoff=Backoff(first=0.3, longest=0.3))
        client.on(SendDropped)(lambda event: dropped.append((event.payload["message"], event.reason)))
        lost = asyncio.Event()
        client.on(Disconnected)(lambda event: lost.set())
        async with client:
            server.drop()
            await lost.wait()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.send("gossip", "Ann", "given up"), 0.01)
            await client.send("gossip", "Ann", "still wanted")

    run_async(run())
    assert [frame["payload"]["message"] for frame in server.events("channels/send")] == ["still wanted"]
    assert dropped == [("given up", "cancelled")]


def test_a_send_that_is_interrupted_is_not_sent(old_server):
    """Ctrl-C while a thread waits for the connection to come back."""
    server = old_server()
    lost = threading.Event()
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    try:
        with SyncClient(server.url, "id", "secret", backoff=Backoff(first=0.5, longest=0.5)) as client:
            client.on(Disconnected)(lambda event: lost.set())
            server.drop()
            assert lost.wait(5)
            main = threading.main_thread().ident
            interrupt = threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGINT))
            interrupt.start()
            with pytest.raises(KeyboardInterrupt):
                client.send("gossip", "Ann", "given up")
            client.send("gossip", "Ann", "still wanted")
    finally:
        signal.signal(signal.SIGINT, earlier)
    assert [frame["payload"]["message"] for frame in server.events("channels/send")] == ["still wanted"]
