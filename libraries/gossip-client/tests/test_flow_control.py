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


def test_a_slow_handler_gets_every_event(make_client, old_server):
    """The reader waits for room, and goes on when there is some."""
    server = old_server()
    client = make_client(server.url, channels=["gossip"], connect=False)
    handled, is_crowded = [], threading.Event()

    if client._loop is None:

        @client.on(ChannelMessage)
        def slow(said):
            if not handled:
                is_crowded.wait(10)
            handled.append(said.message)
    else:

        @client.on(ChannelMessage)
        async def slow_too(said):
            if not handled:
                await asyncio.to_thread(is_crowded.wait, 10)
            handled.append(said.message)

    client.connect()
    speak(server, 3500)
    client.until(client.client._is_crowded)
    is_crowded.set()
    client.until(lambda: len(handled) == 3500, seconds=20)
    assert handled == [str(number) for number in range(3500)]


@pytest.mark.parametrize("front", ["sync", "aio"])
def test_a_handler_may_make_requests_while_the_reader_waits_for_room(front, old_server, run_async):
    """The reader reads the answer although its queue is full."""
    server = old_server()
    answers = []

    if front == "sync":
        client = SyncClient(server.url, "id", "secret", channels=["gossip"], players=lambda: [], answer_seconds=5)

        @client.on(ChannelMessage)
        def ask(said):
            if said.message == "0":
                wait_until(client._is_crowded)
                answers.append(client.sign_in("Ann"))

        with client:
            speak(server, 2500)
            wait_until(lambda: answers)
    else:

        async def run():
            client = AioClient(server.url, "id", "secret", channels=["gossip"], players=lambda: [], answer_seconds=5)

            @client.on(ChannelMessage)
            async def ask(said):
                if said.message == "0":
                    await asyncio.to_thread(wait_until, client._is_crowded)
                    answers.append(await client.sign_in("Ann"))

            async with client:
                await asyncio.to_thread(speak, server, 2500)
                await asyncio.to_thread(wait_until, lambda: answers)

        run_async(run())
    assert answers == [None]


@pytest.mark.parametrize("front", ["sync", "aio"])
def test_leaving_a_loop_over_events_does_not_stop_the_handlers(front, old_server, run_async):
    """After the loop the connection no longer waits for a reader."""
    server = old_server()
    handled = []
    if front == "sync":
        client = SyncClient(server.url, "id", "secret", channels=["gossip"])
        client.on(ChannelMessage)(lambda said: handled.append(said.message))
        with client:
            for event in client.events():
                if isinstance(event, Connected):
                    break
            speak(server, 2500)
            wait_until(lambda: len(handled) == 2500)
    else:

        async def run():
            client = AioClient(server.url, "id", "secret", channels=["gossip"])
            client.on(ChannelMessage)(lambda said: handled.append(said.message))
            async with client:
                async for event in client.events():
                    if isinstance(event, Connected):
                        break
                await asyncio.to_thread(speak, server, 2500)
                await asyncio.to_thread(wait_until, lambda: len(handled) == 2500)

        run_async(run())
    assert len(handled) == 2500


def test_a_slow_reader_of_events_loses_none(old_server):
    """However many arrive while a pending request keeps the reader going."""
    server = old_server(answers=False)
    client = SyncClient(server.url, "id", "secret", channels=["gossip"], players=lambda: [])
    with client:
        client.take(seconds=0)
        client.post(requests.sign_in("Ann"))  # never answered: reading goes on, whatever waits
        speak(server, 12_000)
        wait_until(lambda: len(client._stream) >= 12_000, seconds=20)
        heard = []
        while events := client.take(seconds=0.5):
            heard += [event.message for event in events if isinstance(event, ChannelMessage)]
    assert heard == [str(number) for number in range(12_000)]
