"""Both clients against the real worker."""

from __future__ import annotations

import json
import signal

import pytest
from gossip_client import (
    AuthenticationFailed,
    Backoff,
    ChannelMessage,
    Connected,
    Disconnected,
    GameConnected,
    PlayerSignedIn,
    RequestFailed,
    Restarting,
    SyncComplete,
    SyncRecords,
    TellReceived,
)
from gossip_client.aio import Client as AioClient
from gossip_client.sync import Client as SyncClient

QUICK = Backoff(first=0.1, longest=0.2)
ALL = ["players", "tells", "games"]


@pytest.fixture
def alpha(network):
    return network.game("Alpha")


@pytest.fixture
def beta(network):
    return network.game("Beta")


@pytest.fixture
def channel(network):
    """The name of a channel that no other test uses."""
    return network.factory.channel().name


def test_two_games_talk(make_client, network_url, alpha, beta, channel):
    """Channels, players, tells, status and the view, between two games."""
    first = make_client(
        network_url, alpha.client_id, alpha.client_secret, channels=[channel], supports=ALL, players=lambda: ["Ann"]
    )
    second = make_client(
        network_url, beta.client_id, beta.client_secret, channels=[channel], supports=ALL, players=lambda: ["Bob"]
    )
    assert first.server_version == "2.4.0"
    first.wait_for(GameConnected, game=beta.short_name)
    first.send(channel, "Ann", "hello")
    line = second.wait_for(ChannelMessage)
    assert (line.channel, line.game, line.name, line.message) == (channel, alpha.short_name, "Ann", "hello")
    assert line.id and line.sent_at and not line.is_missed

    second.sign_in("Cy")
    assert first.wait_for(PlayerSignedIn) == PlayerSignedIn(beta.short_name, "Cy")
    assert first.view.is_online(beta.short_name.lower(), "cy")
    assert {status.game for status in first.players_status()} >= {beta.short_name, "Grapevine"}
    (status,) = first.games_status(beta.short_name)
    assert status.display_name == f"The {beta.short_name}" and "players" in status.supports
    assert beta.short_name in [status.game for status in first.games_status()]
    with pytest.raises(RequestFailed) as failure:
        first.games_status("Nowhere")
    assert failure.value.code == "unknown-game"

    first.tell("Ann", beta.short_name.lower(), "Bob", "psst")
    assert second.wait_for(TellReceived).message == "psst"
    with pytest.raises(RequestFailed) as failure:
        first.tell("Ann", beta.short_name, "Nobody", "psst")
    assert failure.value.code == "player-offline"
    with pytest.raises(RequestFailed) as failure:
        first.subscribe("no good name")
    assert failure.value.code == "channel-refused"
    page = second.history(channel)
    assert [message.message for message in page.messages] == ["hello"] and not page.more


def test_missed_messages_are_delivered_after_a_reconnect(make_client, network_url, alpha, beta, channel):
    """Messages sent while the connection is down are delivered once, and in order."""
    first = make_client(network_url, alpha.client_id, alpha.client_secret, channels=[channel])
    second = make_client(
        network_url, beta.client_id, beta.client_secret, channels=[channel], backoff=Backoff(first=0.5, longest=0.5)
    )
    first.send(channel, "Ann", "before")
    second.wait_for(ChannelMessage, message="before")
    second.send(channel, "Bob", "my own line")
    drop(second)
    second.wait_for(Disconnected)
    for number in range(3):
        first.send(channel, "Ann", f"missed {number}")
    second.wait_for(Connected, is_again=True)
    second.wait_for(ChannelMessage, message="missed 2")
    first.send(channel, "Ann", "after")
    second.wait_for(ChannelMessage, message="after")
    texts = [event.message for event in second.received if isinstance(event, ChannelMessage)]
    assert texts == ["before", "missed 0", "missed 1", "missed 2", "after"]


def drop(client):
    """Cut the client's TCP connection."""
    socket = client.client._socket
    if isinstance(client.client, AioClient):
        client._loop.call_soon_threadsafe(socket.transport.abort)
    else:
        socket.socket.shutdown(2)


def test_the_client_waits_for_the_restart_of_a_worker(make_client, worker, stored):
    """After SIGTERM the worker announces the restart, closes the connection, and the client waits."""
    alpha = stored.game_with_credentials("Alpha")[1]
    client = make_client(worker.url, alpha.client_id, alpha.client_secret, channels=["gossip"], backoff=QUICK)
    worker.send_signal(signal.SIGTERM)
    notice = client.wait_for(Restarting)
    lost = client.wait_for(Disconnected)
    assert lost.code == 1012 and lost.retry_in is not None
    assert notice.downtime - 2 <= lost.retry_in <= notice.downtime + 1


def test_wrong_credentials(make_client, network_url, alpha):
    client = make_client(network_url, alpha.client_id, "wrong", connect=False)
    with pytest.raises(AuthenticationFailed) as failure:
        client.connect()
    assert failure.value.code == "invalid-credentials"


def test_an_application_syncs(make_client, worker, stored):
    stored.channel("gossip")
    stored.game("Alpha")
    application = stored.application_with_credentials()[1]
    client = make_client(worker.url, application.client_id, application.client_secret)
    complete = client.wait_for(SyncComplete)
    assert complete.counts == {"channels": 1, "games": 1} and not complete.is_reset
    assert [event.kind for event in client.received if isinstance(event, SyncRecords)] == ["channels", "games"]
    again = client.sync(complete.cursor - 1)
    assert again.cursor == complete.cursor
    record = client.wait_for(SyncRecords, ref=again.ref).records[0]
    assert record["game"] == "Alpha"
    assert json.dumps(record)


def test_a_game_cannot_sync(make_client, network_url, alpha):
    client = make_client(network_url, alpha.client_id, alpha.client_secret)
    with pytest.raises(RequestFailed) as failure:
        client.sync()
    assert failure.value.code == "not-an-application"


def test_coroutines_as_handlers_and_the_stream(network_url, alpha, beta, channel, run_async):
    """A coroutine as a handler that makes a request, and `async for`."""

    async def conversation() -> list[str]:
        first = AioClient(network_url, alpha.client_id, alpha.client_secret, channels=[channel])
        second = AioClient(network_url, beta.client_id, beta.client_secret, channels=[channel])

        @second.on(ChannelMessage)
        async def answer(line: ChannelMessage) -> None:
            await second.send(line.channel, "Bob", f"{line.message}, {line.name}")

        async with first, second:
            await first.send(channel, "Ann", "hello")
            async for event in first.events():
                if isinstance(event, ChannelMessage):
                    return [event.name, event.message]
        return []

    assert run_async(conversation()) == ["Bob", "hello, Ann"]


def test_a_handler_in_a_thread_may_make_requests(network_url, alpha, beta, channel):
    first = SyncClient(network_url, alpha.client_id, alpha.client_secret, channels=[channel])
    second = SyncClient(network_url, beta.client_id, beta.client_secret, channels=[channel])

    @second.on(ChannelMessage)
    def answer(line: ChannelMessage) -> None:
        second.send(line.channel, "Bob", f"{line.message}, {line.name}")

    with first, second:
        first.send(channel, "Ann", "hello")
        for event in first.events():
            if isinstance(event, ChannelMessage):
                break
    assert event.message == "hello, Ann"


def test_lines_that_a_dying_worker_had_not_received_are_read_from_the_history(
    make_client, start_worker, stored, own_valkey, connect
):
    """Redis goes away, so that the client's worker lacks the other worker's lines. Then it dies."""
    stored.channel("gossip")
    dying, other = start_worker(RATE_LIMITS="off"), start_worker(RATE_LIMITS="off")
    speakers = []
    for worker, name in ((dying, "Near"), (other, "Far")):
        _, credentials = stored.game_with_credentials(name)
        speaker = connect(worker.url)
        speaker.authenticate(credentials.client_id, credentials.client_secret, channels=["gossip"])
        speakers.append(speaker)
    _, credentials = stored.game_with_credentials("Listener")
    client = make_client(
        dying.url, credentials.client_id, credentials.client_secret, channels=["gossip"], backoff=QUICK
    )

    def say(speaker, message):
        payload = {"channel": "gossip", "name": "Ann", "message": message}
        assert speaker.request("channels/send", payload)["status"] == "success"

    say(speakers[1], "first")
    client.wait_for(ChannelMessage, message="first")
    own_valkey.stop()
    for number in range(100):
        say(speakers[number % 2], str(number))
    client.wait_for(ChannelMessage, message="98")
    dying.kill()
    own_valkey.start()
    start_worker(SOCKET_PORT=str(dying.port))
    client.wait_for(ChannelMessage, message="99")
    messages = [event.message for event in client.received if isinstance(event, ChannelMessage)]
    assert sorted(messages) == sorted(["first", *map(str, range(100))])
