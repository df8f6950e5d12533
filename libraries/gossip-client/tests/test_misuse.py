"""What programs do wrong with a client: they are told so at once, and nobody else suffers for it."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest
from driver import Driver
from gossip_client import (
    Backoff,
    Disconnected,
    GameConnected,
    NotConnected,
    RequestFailed,
    SendDropped,
    TellReceived,
    requests,
)
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


# Settings


async def nobody():
    return []


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"players": nobody}, "players must be a plain function"),
        ({"client_id": None}, "client_id must be a string"),
        ({"client_secret": None}, "client_secret must be a string"),
        ({"url": None}, "url must be a string"),
        ({"url": b"ws://127.0.0.1/socket"}, "url must be a string"),
    ],
)
@pytest.mark.parametrize("front", [SyncClient, AioClient])
def test_what_is_of_the_wrong_kind_is_named(front, options, wanted):
    """`os.environ.get` of a name that is not set gives None."""
    with pytest.raises(TypeError, match=wanted):
        front(**{"url": "ws://127.0.0.1:1/socket", "client_id": "id", "client_secret": "secret", **options})


def test_one_name_is_no_list_of_players(make_client, old_server, caplog):
    """A text would be as many players as it has letters."""
    server = old_server()
    make_client(server.url, players=lambda: "Ann")
    assert "players" not in server.events("authenticate")[0]["payload"]
    assert "the game failed to say who is online" in caplog.text


def test_looking_at_the_view_does_not_settle_the_flags(make_client, old_server):
    server = old_server()
    client = make_client(server.url, connect=False)
    view = client.view
    client.on(TellReceived)(lambda tell: None)
    client.connect()
    assert "tells" in server.events("authenticate")[0]["payload"]["supports"]
    assert client.view is view
    client.close()
    client.on(GameConnected)(lambda game: None)
    client.connect()
    assert "games" in server.events("authenticate")[1]["payload"]["supports"]
    client.until(lambda: view.is_online("Riverbend"))


def test_two_clients_with_one_backoff_wait_each_for_itself():
    backoff = Backoff()
    clients = [SyncClient("ws://127.0.0.1:1/socket", "id", "secret", backoff=backoff) for _ in range(2)]
    for client in clients:
        client.core.closed(0.0, "nobody listens")
        assert client.core.reconnect_at <= 1.0


# Before the connection, after it, and from elsewhere


@pytest.mark.parametrize("front", ["sync", "aio"])
def test_events_before_the_connection(front, run_async):
    url = "ws://127.0.0.1:1/socket"
    with pytest.raises(NotConnected, match="call connect\\(\\) first"):
        if front == "sync":
            client = SyncClient(url, "id", "secret")
            assert not client.is_closed
            next(client.events())
        else:
            run_async(anext(AioClient(url, "id", "secret").events()))


def test_another_loop_is_refused(old_server, run_async):
    """It would wait for ever, or fail with words of asyncio's own."""
    server = old_server()

    async def run():
        async with AioClient(server.url, "id", "secret") as client:
            for request in (client.sign_in("Ann"), client.connect(), client.close(), anext(client.events())):
                with pytest.raises(RuntimeError, match="another event loop"):
                    await asyncio.to_thread(asyncio.run, within(request))

    async def within(request):
        return await request

    run_async(run())


def test_a_loop_that_ends_closes_the_client(old_server, run_async):
    """`asyncio.run` of a function that does not close it; in the next one it connects again."""
    server = old_server()
    client = AioClient(server.url, "id", "secret", players=lambda: [])

    async def sign_in():
        await client.connect()
        await client.sign_in("Ann")

    run_async(sign_in())
    assert not client.is_connected
    run_async(sign_in())
    assert len(server.events("authenticate")) == 2
