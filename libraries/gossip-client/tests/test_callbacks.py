"""Faults in the callbacks of a game: they are logged, and disturb nothing else."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from driver import QUICK, speak
from gossip_client import (
    ChannelMessage,
    GossipError,
    requests,
)
from gossip_client.aio import Client as AioClient
from gossip_client.sync import Client as SyncClient

from tests.support.waiting import wait_until


def test_an_error_in_on_done_is_logged(old_server, caplog):
    """An `on_done` that raises is the caller's bug: other requests still get their answers."""
    server = old_server(answers=False)
    client = SyncClient(server.url, "id", "secret", players=lambda: [], backoff=QUICK)
    ended = []

    def wait():
        try:
            client.sign_in("Ann")
        except GossipError as error:
            ended.append(error)

    def fails(request):
        raise RuntimeError("a bug of the game")

    with client:
        faulty = requests.sign_in("Bob")
        faulty.on_done = fails
        client.post(faulty)
        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: len(server.events("players/sign-in")) == 2)
        server.drop()
        thread.join(30)
        assert not thread.is_alive() and ended and "a bug of the game" in caplog.text
        wait_until(lambda: len(server.events("authenticate")) == 2)


def test_a_cancelled_handler_does_not_stop_the_next_ones(old_server, run_async, caplog):
    """It awaits a task that is cancelled, which cancels the handler too."""
    server = old_server()
    messages = []

    async def run():
        client = AioClient(server.url, "id", "secret", channels=["gossip"])

        @client.on(ChannelMessage)
        async def wait(line):
            if line.message == "0":
                task = asyncio.ensure_future(asyncio.Event().wait())
                asyncio.get_running_loop().call_later(0.1, task.cancel)
                await task
            messages.append(line.message)

        async with client:
            speak(server, 2)
            await asyncio.to_thread(wait_until, lambda: messages)

    run_async(run())
    assert messages == ["1"] and "a handler of ChannelMessage" in caplog.text


def test_a_handler_that_exits_does_not_stop_the_next_ones(old_server, caplog):
    """`sys.exit` in a thread would end only that thread, and the reader would wait for its room forever."""
    server = old_server()
    messages = []
    client = SyncClient(server.url, "id", "secret", channels=["gossip"])

    @client.on(ChannelMessage)
    def leave(line):
        if line.message == "0":
            raise SystemExit(1)
        messages.append(line.message)

    with client, caplog.at_level(logging.ERROR):
        speak(server, 2)
        wait_until(lambda: messages)
    assert messages == ["1"]


def test_a_request_inside_players_is_refused(old_server, caplog):
    """The thread that calls `players` is the one that reads the answers."""
    server = old_server()
    client = SyncClient(server.url, "id", "secret", players=lambda: client.players_status() or [], backoff=QUICK)
    with client:
        server.tell("heartbeat")
        wait_until(lambda: server.events("heartbeat"))
        client.sign_in("Ann")
    assert "must not wait for the server" in caplog.text


@pytest.mark.parametrize("options", [{"channels": "gossip"}, {"supports": "players"}, {"players": ["Ann"]}])
def test_options_of_the_wrong_type_are_refused(make_client, options):
    """`channels="gossip"` would be six channels."""
    with pytest.raises(TypeError, match=next(iter(options))):
        make_client("ws://127.0.0.1:1/socket", connect=False, **options)
