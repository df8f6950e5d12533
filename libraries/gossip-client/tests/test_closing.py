"""Closing a client at a bad moment, and connecting it again."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time

import pytest
from driver import QUICK, speak
from gossip_client import (
    ChannelMessage,
    ConnectFailed,
    Disconnected,
    GossipError,
)
from gossip_client.sync import Client as SyncClient

from tests.support.waiting import wait_until


def test_closing_ends_a_connect_at_once(make_client):
    """Another thread or task closes the client while it waits for a silent server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = make_client(f"ws://127.0.0.1:{listener.getsockname()[1]}/socket", connect=False)
        failures = []

        def connect():
            try:
                client.connect(seconds=20)
            except GossipError as error:
                failures.append(error)

        thread = threading.Thread(target=connect)
        thread.start()
        accepted, _ = listener.accept()
        started_at = time.monotonic()
        client.close()
        thread.join(30)
        assert time.monotonic() - started_at < 15
        accepted.close()
    assert isinstance(failures[0], ConnectFailed)


def test_an_interrupted_connect_closes_the_client():
    """After Ctrl-C in a program that goes on, no client connects unseen."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = SyncClient(f"ws://127.0.0.1:{listener.getsockname()[1]}/socket", "id", "secret")
        accepted = []

        def interrupt():
            accepted.append(listener.accept()[0])
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        earlier = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
        thread.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                client.connect(seconds=20)
        finally:
            signal.signal(signal.SIGINT, earlier)
        thread.join()
        accepted[0].close()
        client.take(seconds=0)
        assert client.is_closed


def test_closing_does_not_wait_for_a_connection_attempt():
    """Ctrl-C in a console whose server accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = SyncClient(f"ws://127.0.0.1:{listener.getsockname()[1]}/socket", "id", "secret")
        started_at = time.monotonic()
        with pytest.raises(ConnectFailed):
            client.connect(seconds=0.1)
        assert time.monotonic() - started_at < 10


def test_a_first_connection_that_is_cut_is_tried_again(make_client, old_server):
    """A server that is just starting, or a proxy before it, cuts connections: it may still be a Gossip server."""
    listener = socket.create_server(("127.0.0.1", 0))
    client = make_client(f"ws://127.0.0.1:{listener.getsockname()[1]}/socket", connect=False, backoff=QUICK)

    def hang_up_and_serve():
        connection = listener.accept()[0]
        connection.recv(4096)
        connection.close()
        old_server(listener=listener)

    thread = threading.Thread(target=hang_up_and_serve)
    thread.start()
    client.connect()
    thread.join()
    assert client.is_connected
    assert "closed the connection before it answered" in client.wait_for(Disconnected).reason


def test_connecting_twice_makes_one_connection(make_client, old_server):
    server = old_server()
    client = make_client(server.url)
    client.connect()
    client.subscribe("testing")
    assert client.is_connected
    client.close()
    assert len(server.events("authenticate")) == 1


def test_run_connects_a_closed_client_again(make_client, old_server):
    server = old_server()
    client = make_client(server.url)
    client.close()
    thread = threading.Thread(target=client.run, daemon=True)
    thread.start()
    client.until(lambda: len(server.events("authenticate")) == 2 and client.is_connected)
    client.close()
    thread.join(30)
    assert not thread.is_alive()


def test_a_handler_that_never_ends_does_not_keep_the_client_open(make_client, old_server, monkeypatch):
    for front in ("aio", "sync"):
        monkeypatch.setattr(f"gossip_client.{front}.CLOSE_SECONDS", 0.2)
    server = old_server()
    client = make_client(server.url, connect=False, channels=["gossip"])
    entered, is_over = threading.Event(), threading.Event()

    if client._loop is None:

        @client.on(ChannelMessage)
        def stay(line):
            entered.set()
            is_over.wait(60)
    else:

        @client.on(ChannelMessage)
        async def stay_here(line):
            entered.set()
            await asyncio.Event().wait()

    client.connect()
    speak(server, 1)
    assert entered.wait(30)
    started_at = time.monotonic()
    client.close()
    assert time.monotonic() - started_at < 15
    is_over.set()


def test_handlers_of_a_client_that_connects_again_run_one_at_a_time(old_server, monkeypatch):
    """Even if a handler of the previous connection is still running."""
    monkeypatch.setattr("gossip_client.sync.CLOSE_SECONDS", 0.1)
    server = old_server()
    client = SyncClient(server.url, "id", "secret", channels=["gossip"])
    entered, is_over, order = threading.Event(), threading.Event(), []

    @client.on(ChannelMessage)
    def note(line):
        if line.message == "0":
            entered.set()
            is_over.wait(60)
        order.append((line.message, threading.current_thread()))

    client.connect()
    speak(server, 1)
    assert entered.wait(30)
    client.close()
    server.sockets.clear()
    client.connect()
    is_over.set()
    speak(server, 200, first=1)
    wait_until(lambda: len(order) == 201)
    assert len({thread for message, thread in order if message != "0"}) == 1
    client.close()
