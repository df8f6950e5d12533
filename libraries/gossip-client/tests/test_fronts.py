"""What only a front can do wrong: waiting for each other, closing at a bad moment, faults in callbacks. On both."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import time

import pytest
from gossip_client import Backoff, ChannelMessage, Connected, ConnectFailed, Disconnected, GossipError, requests
from gossip_client.aio import Client as AioClient
from gossip_client.sync import Client as SyncClient
from websockets.sync.server import serve

from tests.support.waiting import wait_until

QUICK = Backoff(first=0.1, longest=0.2)


def speak(server, count, first=0):
    for number in range(first, first + count):
        server.tell("channels/broadcast", {"channel": "gossip", "game": "A", "name": "b", "message": str(number)})


def test_a_slow_handler_gets_everything(make_client, old_server):
    """More than is read ahead: the reader waits for room, and goes on when there is some."""
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
def test_a_handler_may_ask_while_the_reader_waits_for_room(front, old_server, run_async):
    """The answer is read although more than enough waits already."""
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
def test_who_stops_reading_events_stops_nobody_else(front, old_server, run_async):
    """A loop over `events` that is left holds the connection up no more."""
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
    """However many come while a request keeps the reading going."""
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


def test_closing_ends_a_connect_at_once(make_client):
    """By another thread or task, while a server that says nothing is waited for."""
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
        begun = time.monotonic()
        client.close()
        thread.join(10)
        assert time.monotonic() - begun < 5
        accepted.close()
    assert isinstance(failures[0], ConnectFailed)


def test_a_connect_that_is_interrupted_leaves_nothing_behind():
    """Ctrl-C in a program that goes on: no client that connects after all, unseen."""
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


def test_a_first_connection_that_is_cut_before_any_answer_is_made_again(make_client, old_server):
    """A server that starts just now, or a proxy before it: that is no sign that something else listens there."""
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


def test_a_closed_client_that_runs_connects_again(make_client, old_server):
    server = old_server()
    client = make_client(server.url)
    client.close()
    thread = threading.Thread(target=client.run, daemon=True)
    thread.start()
    client.until(lambda: len(server.events("authenticate")) == 2 and client.is_connected)
    client.close()
    thread.join(5)
    assert not thread.is_alive()


def test_a_callback_that_fails_disturbs_nobody(old_server, caplog):
    """A callback of `post` that raises is a bug of its caller; the others have their answers all the same."""
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
        thread.join(10)
        assert not thread.is_alive() and ended and "a bug of the game" in caplog.text
        wait_until(lambda: len(server.events("authenticate")) == 2)


def test_a_fault_below_ends_what_waits(old_server, monkeypatch, caplog):
    """Whatever bug stops the connection's thread: nobody waits for ever because of it."""
    server = old_server(answers=False)
    client = SyncClient(server.url, "id", "secret", players=lambda: [])
    ended = []

    def wait():
        try:
            client.sign_in("Ann")
        except GossipError as error:
            ended.append(error)

    with client:
        thread = threading.Thread(target=wait)
        thread.start()
        monkeypatch.setattr(client.core, "closed", None)
        server.drop()
        thread.join(10)
        assert not thread.is_alive() and ended


def test_the_players_are_asked_for_without_a_lock(old_server):
    """A game may hold its own lock while it calls the client, and take it to say who is online."""
    server = old_server()
    world, is_asked = threading.Lock(), threading.Event()

    def players():
        is_asked.set()
        with world:
            return ["Ann"]

    with SyncClient(server.url, "id", "secret", players=players) as client:
        for turn in range(1, 4):
            with world:
                is_asked.clear()
                server.tell("heartbeat")
                assert is_asked.wait(5)  # and waits for the game's lock
                thread = threading.Thread(target=client.sign_in, args=("Ann",), daemon=True)
                thread.start()
                wait_until(
                    lambda turn=turn: len(server.events("players/sign-in")) == turn,
                    seconds=3,
                    what="the client is not locked while the game is asked",
                )
            thread.join(5)
            assert not thread.is_alive()
    beats = server.events("heartbeat")
    assert beats and all(frame["payload"] == {"players": ["Ann"]} for frame in beats)


def test_a_handler_whose_task_is_cancelled_disturbs_nobody(old_server, run_async, caplog):
    """It awaits something that was cancelled: that cancels the handler, and not those after it."""
    server = old_server()
    heard = []

    async def run():
        client = AioClient(server.url, "id", "secret", channels=["gossip"])

        @client.on(ChannelMessage)
        async def wait(said):
            if said.message == "0":
                task = asyncio.ensure_future(asyncio.Event().wait())
                asyncio.get_running_loop().call_later(0.1, task.cancel)
                await task
            heard.append(said.message)

        async with client:
            speak(server, 2)
            await asyncio.to_thread(wait_until, lambda: heard)

    run_async(run())
    assert heard == ["1"] and "a handler of ChannelMessage" in caplog.text


def test_a_handler_that_exits_disturbs_nobody(old_server, caplog):
    """`sys.exit` in a thread ends that thread alone: the others would wait for its room for ever."""
    server = old_server()
    heard = []
    client = SyncClient(server.url, "id", "secret", channels=["gossip"])

    @client.on(ChannelMessage)
    def leave(said):
        if said.message == "0":
            raise SystemExit(1)
        heard.append(said.message)

    with client, caplog.at_level(logging.ERROR):
        speak(server, 2)
        wait_until(lambda: heard)
    assert heard == ["1"]


@pytest.fixture
def deaf_server():
    """Lets a client in, and then reads nothing more."""
    is_over = threading.Event()

    def serve_one(connection):
        connection.recv()
        connection.send('{"event": "authenticate", "status": "success", "payload": {"version": "2.3.0"}}')
        is_over.wait(60)

    with serve(serve_one, "127.0.0.1", 0, max_queue=1, close_timeout=0.2) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/socket"
        is_over.set()
        server.shutdown()


@pytest.mark.parametrize("ends", ["close", "time"])
def test_a_server_that_reads_no_more_is_left(deaf_server, monkeypatch, ends):
    """Its buffers are full: whoever writes is stuck, and must not keep everyone else waiting for ever."""
    monkeypatch.setattr("gossip_client.sync._WRITE_SECONDS", 1.0 if ends == "time" else 60.0)
    client = SyncClient(deaf_server, "id", "secret", queue_limit=10_000, backoff=QUICK)
    lost = threading.Event()
    client.on(Disconnected)(lambda event: lost.set())
    client.connect()

    def fill():
        for _ in range(500):
            client.post(requests.any_request("x", {"text": "x" * 50_000}))

    writer = threading.Thread(target=fill, daemon=True)
    writer.start()
    if ends == "close":
        wait_until(client._send_lock.locked)
        writer.join(1)  # it gets stuck
        assert writer.is_alive()
        closer = threading.Thread(target=client.close, daemon=True)
        closer.start()
        closer.join(10)
        assert not closer.is_alive()
        writer.join(5)
        assert not writer.is_alive()
    else:
        assert lost.wait(10)
        client.close()


def test_a_request_from_the_callback_of_the_players_is_refused(old_server, caplog):
    """Its answer would be read by the thread that waits for it."""
    server = old_server()
    client = SyncClient(server.url, "id", "secret", players=lambda: client.players_status() or [], backoff=QUICK)
    with client:
        server.tell("heartbeat")
        wait_until(lambda: server.events("heartbeat"))
        client.sign_in("Ann")
    assert "must not wait for the server" in caplog.text


def test_a_handler_that_never_ends_does_not_keep_the_client_open(make_client, old_server, monkeypatch):
    for front in ("aio", "sync"):
        monkeypatch.setattr(f"gossip_client.{front}.CLOSE_SECONDS", 0.2)
    server = old_server()
    client = make_client(server.url, connect=False, channels=["gossip"])
    entered, is_over = threading.Event(), threading.Event()

    if client._loop is None:

        @client.on(ChannelMessage)
        def stay(said):
            entered.set()
            is_over.wait(30)
    else:

        @client.on(ChannelMessage)
        async def stay_here(said):
            entered.set()
            await asyncio.Event().wait()

    client.connect()
    speak(server, 1)
    assert entered.wait(10)
    begun = time.monotonic()
    client.close()
    assert time.monotonic() - begun < 5
    is_over.set()


def test_handlers_of_a_client_that_connects_again_run_one_after_the_other(old_server, monkeypatch):
    """Also where one of the connection before is still running."""
    monkeypatch.setattr("gossip_client.sync.CLOSE_SECONDS", 0.1)
    server = old_server()
    client = SyncClient(server.url, "id", "secret", channels=["gossip"])
    entered, is_over, order = threading.Event(), threading.Event(), []

    @client.on(ChannelMessage)
    def note(said):
        if said.message == "0":
            entered.set()
            is_over.wait(30)
        order.append((said.message, threading.current_thread()))

    client.connect()
    speak(server, 1)
    assert entered.wait(10)
    client.close()
    server.sockets.clear()
    client.connect()
    is_over.set()
    speak(server, 200, first=1)
    wait_until(lambda: len(order) == 201)
    assert len({thread for message, thread in order if message != "0"}) == 1
    client.close()


@pytest.mark.parametrize("options", [{"channels": "gossip"}, {"supports": "players"}, {"players": ["Ann"]}])
def test_a_text_is_no_list_and_a_list_is_no_function(make_client, options):
    """`channels="gossip"` would be six channels."""
    with pytest.raises(TypeError, match=next(iter(options))):
        make_client("ws://127.0.0.1:1/socket", connect=False, **options)


def test_closing_while_a_connection_is_being_made_does_not_wait_for_it():
    """Ctrl-C in a console, before a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = SyncClient(f"ws://127.0.0.1:{listener.getsockname()[1]}/socket", "id", "secret")
        begun = time.monotonic()
        with pytest.raises(ConnectFailed):
            client.connect(seconds=0.1)
        assert time.monotonic() - begun < 2
