"""Mistakes in programs: the client reports each at once, and the rest of the program is not affected."""

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
def test_a_payload_that_json_cannot_express_is_refused(make_client, old_server, message):
    """Even without a connection: a queued send must not end the client later."""
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


def test_a_payload_that_is_too_long_is_refused():
    """The server would close the connection, and all other pending requests would fail."""
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


@pytest.mark.parametrize("expected", ["raises", {"since": object()}])
def test_the_client_reconnects_if_sync_fails(expected, caplog):
    """The application's database may be unavailable for a moment: that must not end the client."""
    answers = [expected, {"since": 4}]

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


# Cancelled sends


def test_a_cancelled_send_is_not_sent(old_server, run_async):
    """`wait_for(client.send(…), 5)` without a connection: a line that was given up must not appear a minute later."""
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
            await client.send("gossip", "Ann", "not cancelled")

    run_async(run())
    assert [frame["payload"]["message"] for frame in server.events("channels/send")] == ["not cancelled"]
    assert dropped == [("given up", "cancelled")]


def test_an_interrupted_send_is_not_sent(old_server):
    """Ctrl-C while a thread waits for the connection to come back."""
    server = old_server()
    lost = threading.Event()
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    try:
        with SyncClient(server.url, "id", "secret", backoff=Backoff(first=0.5, longest=0.5)) as client:
            client.on(Disconnected)(lambda event: lost.set())
            server.drop()
            assert lost.wait(30)
            main = threading.main_thread().ident
            interrupt = threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGINT))
            interrupt.start()
            with pytest.raises(KeyboardInterrupt):
                client.send("gossip", "Ann", "given up")
            client.send("gossip", "Ann", "not cancelled")
    finally:
        signal.signal(signal.SIGINT, earlier)
    assert [frame["payload"]["message"] for frame in server.events("channels/send")] == ["not cancelled"]


# Settings


async def nobody():
    return []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"players": nobody}, "players must be a plain function"),
        ({"client_id": None}, "client_id must be a string"),
        ({"client_secret": None}, "client_secret must be a string"),
        ({"url": None}, "url must be a string"),
        ({"url": b"ws://127.0.0.1/socket"}, "url must be a string"),
    ],
)
@pytest.mark.parametrize("front", [SyncClient, AioClient])
def test_arguments_of_the_wrong_type_are_named(front, options, expected):
    """`os.environ.get` returns None for a variable that is not set."""
    with pytest.raises(TypeError, match=expected):
        front(**{"url": "ws://127.0.0.1:1/socket", "client_id": "id", "client_secret": "secret", **options})


def test_players_must_return_a_list(make_client, old_server, caplog):
    """A string would be read as one player per letter."""
    server = old_server()
    make_client(server.url, players=lambda: "Ann")
    assert "players" not in server.events("authenticate")[0]["payload"]
    assert "the game failed to say who is online" in caplog.text


def test_handlers_can_be_registered_after_the_view_was_read(make_client, old_server):
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


def test_clients_do_not_share_the_count_of_a_backoff():
    backoff = Backoff()
    clients = [SyncClient("ws://127.0.0.1:1/socket", "id", "secret", backoff=backoff) for _ in range(2)]
    for client in clients:
        client.core.closed(0.0, "connection refused")
        assert client.core.reconnect_at <= 1.0


# Before connecting, and from another event loop


@pytest.mark.parametrize("front", ["sync", "aio"])
def test_events_before_connect_raise(front, run_async):
    url = "ws://127.0.0.1:1/socket"
    with pytest.raises(NotConnected, match="call connect\\(\\) first"):
        if front == "sync":
            client = SyncClient(url, "id", "secret")
            assert not client.is_closed
            next(client.events())
        else:
            run_async(anext(AioClient(url, "id", "secret").events()))


def test_another_event_loop_is_refused(old_server, run_async):
    """The call would otherwise wait forever, or fail with an obscure error of asyncio."""
    server = old_server()

    async def run():
        async with AioClient(server.url, "id", "secret") as client:
            for request in (client.sign_in("Ann"), client.connect(), client.close(), anext(client.events())):
                with pytest.raises(RuntimeError, match="another event loop"):
                    await asyncio.to_thread(asyncio.run, within(request))

    async def within(request):
        return await request

    run_async(run())


def test_the_end_of_the_event_loop_closes_the_client(old_server, run_async):
    """A function under `asyncio.run` does not close the client; the next one connects it again."""
    server = old_server()
    client = AioClient(server.url, "id", "secret", players=lambda: [])

    async def sign_in():
        await client.connect()
        await client.sign_in("Ann")

    run_async(sign_in())
    assert not client.is_connected
    run_async(sign_in())
    assert len(server.events("authenticate")) == 2
