"""Both fronts on the real worker."""

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
    """The name of a channel that no other test speaks on."""
    return network.factory.channel().name


def test_two_games_talk(make_client, network_url, alpha, beta, channel):
    """Channels, players, tells, status and the view, from one game to the other."""
    first = make_client(
        network_url, alpha.client_id, alpha.client_secret, channels=[channel], supports=ALL, players=lambda: ["Ann"]
    )
    second = make_client(
        network_url, beta.client_id, beta.client_secret, channels=[channel], supports=ALL, players=lambda: ["Bob"]
    )
    assert first.server_version == "2.4.0"
    first.wait_for(GameConnected, game=beta.short_name)
    first.send(channel, "Ann", "hello")
    heard = second.wait_for(ChannelMessage)
    assert (heard.channel, heard.game, heard.name, heard.message) == (channel, alpha.short_name, "Ann", "hello")
    assert heard.id and heard.sent_at and not heard.is_missed

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


def test_what_was_missed_is_heard_after_a_drop(make_client, network_url, alpha, beta, channel):
    """The connection goes; what was said meanwhile comes, once and in order."""
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
    texts = [event.message for event in second.heard if isinstance(event, ChannelMessage)]
    assert texts == ["before", "missed 0", "missed 1", "missed 2", "after"]


def drop(face):
    """Cut the client's connection below it."""
    socket = face.client._socket
    if isinstance(face.client, AioClient):
        face._loop.call_soon_threadsafe(socket.transport.abort)
    else:
        socket.socket.shutdown(2)


def test_a_restart_is_announced_and_survived(make_client, worker, stored):
    """SIGTERM: the notice, the drop, and the client on the worker that takes its place."""
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
    assert [event.kind for event in client.heard if isinstance(event, SyncRecords)] == ["channels", "games"]
    again = client.sync(complete.cursor - 1)
    assert again.cursor == complete.cursor
    record = client.wait_for(SyncRecords, ref=again.ref).records[0]
    assert record["game"] == "Alpha"
    assert json.dumps(record)


def test_a_game_may_not_sync(make_client, network_url, alpha):
    client = make_client(network_url, alpha.client_id, alpha.client_secret)
    with pytest.raises(RequestFailed) as failure:
        client.sync()
    assert failure.value.code == "not-an-application"


def test_coroutines_as_handlers_and_the_stream(network_url, alpha, beta, channel, run_async):
    """What only asyncio has: a handler that makes a request and waits for it; `async for`."""

    async def conversation() -> list[str]:
        first = AioClient(network_url, alpha.client_id, alpha.client_secret, channels=[channel])
        second = AioClient(network_url, beta.client_id, beta.client_secret, channels=[channel])

        @second.on(ChannelMessage)
        async def answer(said: ChannelMessage) -> None:
            await second.send(said.channel, "Bob", f"{said.message}, {said.name}")

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
    def answer(said: ChannelMessage) -> None:
        second.send(said.channel, "Bob", f"{said.message}, {said.name}")

    with first, second:
        first.send(channel, "Ann", "hello")
        for event in first.events():
            if isinstance(event, ChannelMessage):
                break
    assert event.message == "hello, Ann"
