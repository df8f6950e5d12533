"""Slow handlers and readers: the connection waits for them, and nothing is lost or stuck."""

from __future__ import annotations

import asyncio
import threading

import pytest
from driver import speak
from gossip_client import (
    ChannelMessage,
    Connected,
    requests,
)
from gossip_client.aio import Client as AioClient
from gossip_client.sync import Client as SyncClient

from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def _short_queues(monkeypatch):
    """Fill the queues with few events, which are quick to send and fit into the buffers of a socket."""
    for front in ("aio", "sync"):
        monkeypatch.setattr(f"gossip_client.{front}.EVENTS_AHEAD", 100)
    monkeypatch.setattr("gossip_client.client.EVENTS_KEPT", 1_000)


def test_a_slow_handler_gets_every_event(make_client, old_server):
    """The reader waits for room, and goes on when there is some."""
    server = old_server()
    client = make_client(server.url, channels=["gossip"], connect=False)
    handled, entered, is_crowded = [], threading.Event(), threading.Event()

    if client._loop is None:

        @client.on(ChannelMessage)
        def slow(line):
            entered.set()
            if not handled:
                is_crowded.wait(30)
            handled.append(line.message)
    else:

        @client.on(ChannelMessage)
        async def slow_too(line):
            entered.set()
            if not handled:
                await asyncio.to_thread(is_crowded.wait, 30)
            handled.append(line.message)

    client.connect()
    speak(server, 1)
    assert entered.wait(30)  # or the handler's first event would leave the full queue again
    speak(server, 149, first=1)
    client.until(client.client._is_crowded)
    is_crowded.set()
    client.until(lambda: len(handled) == 150, seconds=30)
    assert handled == [str(number) for number in range(150)]


@pytest.mark.parametrize("front", ["sync", "aio"])
def test_a_handler_may_make_requests_while_the_reader_waits_for_room(front, old_server, run_async):
    """The reader reads the answer although its queue is full."""
    server = old_server()
    answers, entered = [], threading.Event()

    if front == "sync":
        client = SyncClient(server.url, "id", "secret", channels=["gossip"], players=lambda: [], answer_seconds=30)

        @client.on(ChannelMessage)
        def ask(line):
            if line.message == "0":
                entered.set()
                wait_until(client._is_crowded, seconds=30)
                answers.append(client.sign_in("Ann"))

        with client:
            speak(server, 1)
            assert entered.wait(30)
            speak(server, 149, first=1)
            wait_until(lambda: answers, seconds=30)
    else:

        async def run():
            client = AioClient(server.url, "id", "secret", channels=["gossip"], players=lambda: [], answer_seconds=30)

            @client.on(ChannelMessage)
            async def ask(line):
                if line.message == "0":
                    entered.set()
                    await asyncio.to_thread(wait_until, client._is_crowded, seconds=30)
                    answers.append(await client.sign_in("Ann"))

            async with client:
                await asyncio.to_thread(speak, server, 1)
                assert await asyncio.to_thread(entered.wait, 30)
                await asyncio.to_thread(speak, server, 149, 1)
                await asyncio.to_thread(wait_until, lambda: answers, seconds=30)

        run_async(run())
    assert answers == [None]


@pytest.mark.parametrize("front", ["sync", "aio"])
def test_leaving_a_loop_over_events_does_not_stop_the_handlers(front, old_server, run_async):
    """After the loop the connection no longer waits for a reader."""
    server = old_server()
    handled = []
    if front == "sync":
        client = SyncClient(server.url, "id", "secret", channels=["gossip"])
        client.on(ChannelMessage)(lambda line: handled.append(line.message))
        with client:
            for event in client.events():
                if isinstance(event, Connected):
                    break
            speak(server, 150)
            wait_until(lambda: len(handled) == 150, seconds=30)
    else:

        async def run():
            client = AioClient(server.url, "id", "secret", channels=["gossip"])
            client.on(ChannelMessage)(lambda line: handled.append(line.message))
            async with client:
                async for event in client.events():
                    if isinstance(event, Connected):
                        break
                await asyncio.to_thread(speak, server, 150)
                await asyncio.to_thread(wait_until, lambda: len(handled) == 150, seconds=30)

        run_async(run())
    assert len(handled) == 150


def test_a_slow_reader_of_events_loses_none(old_server):
    """However many arrive while a pending request keeps the reader going."""
    server = old_server(answers=False)
    client = SyncClient(server.url, "id", "secret", channels=["gossip"], players=lambda: [])
    with client:
        client.take(seconds=0)
        client.post(requests.sign_in("Ann"))  # never answered: reading goes on, whatever waits
        speak(server, 1_200)
        wait_until(lambda: len(client._stream) >= 1_200, seconds=30)
        messages = []
        while events := client.take(seconds=2):
            messages += [event.message for event in events if isinstance(event, ChannelMessage)]
    assert messages == [str(number) for number in range(1_200)]
