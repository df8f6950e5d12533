"""Both clients against a server of the protocols 1.0 to 2.3."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from gossip_client import (
    AuthenticationFailed,
    Backoff,
    ChannelMessage,
    Connected,
    ConnectFailed,
    Disconnected,
    Dropped,
    GameConnected,
    NotConnected,
    RequestFailed,
    TellReceived,
)

QUICK = Backoff(first=0.02, longest=0.05)


def test_everything_works_on_an_older_server(make_client, old_server):
    """Flags from handlers, requests and failures, lists that end with silence, and the view."""
    server = old_server("2.3.0")
    client = make_client(server.url, connect=False, channels=["gossip"], players=lambda: ["Me"], quiet_seconds=0.1)
    client.on(TellReceived)(lambda tell: None)
    client.on(GameConnected)(lambda game: None)
    client.connect()
    sent = server.events("authenticate")[0]["payload"]
    assert sent["supports"] == ["channels", "games", "players", "tells"] and sent["players"] == ["Me"]

    assert client.send("gossip", "Me", "hi") is None
    assert [status.game for status in client.players_status()] == ["Riverbend", "Hollow"]
    assert client.games_status("Hollow")[0].display_name == "The Hollow"
    with pytest.raises(RequestFailed) as failure:
        client.tell("Me", "Nowhere", "Nobody", "hello")
    assert failure.value.code == "game-offline"
    with pytest.raises(RequestFailed):
        client.subscribe("bad name")
    client.until(lambda: client.view.players("riverbend") == ["Ann", "Bert"])
    client.until(lambda: server.events("heartbeat"))
    assert server.events("heartbeat")[0]["payload"] == {"players": ["Me"]}

    server.tell("channels/broadcast", {"channel": "gossip", "game": "Hollow", "name": "Cy", "message": "hello"})
    assert client.wait_for(ChannelMessage) == ChannelMessage("gossip", "Hollow", "Cy", "hello")


def test_the_oldest_server_refuses_flags(make_client, old_server):
    server = old_server("1.0.0")
    client = make_client(server.url, supports=["players", "tells"], backoff=QUICK)
    assert client.server_version == "1.0.0"
    assert [frame["payload"]["supports"] for frame in server.events("authenticate")] == [
        ["channels", "players", "tells"],
        ["channels"],
    ]


def test_the_client_reconnects_and_sends_what_is_queued(make_client, old_server):
    server = old_server()
    client = make_client(server.url, channels=["gossip"], backoff=Backoff(first=0.3, longest=0.3))
    client.subscribe("testing")
    server.drop()
    client.wait_for(Disconnected)
    with pytest.raises(NotConnected):
        client.sign_in("Ann")
    client.send("gossip", "Ann", "queued")  # returns once it has been sent
    assert client.wait_for(Connected, is_again=True)
    assert server.events("authenticate")[1]["payload"]["channels"] == ["gossip", "testing"]
    assert [frame["payload"]["message"] for frame in server.events("channels/send")] == ["queued"]


def test_an_unanswered_send_is_dropped_with_the_connection(make_client, old_server):
    server = old_server(answers=False)
    client = make_client(server.url, backoff=QUICK)
    results = []

    def say() -> None:
        try:
            client.send("gossip", "Ann", "hello?")
        except Dropped as dropped:
            results.append(dropped.reason)

    thread = threading.Thread(target=say)
    thread.start()
    client.until(lambda: server.events("channels/send"))
    server.drop()
    thread.join(30)
    assert results == ["connection-lost"]


def test_wrong_credentials_raise_at_the_first_connect(make_client, old_server):
    server = old_server()
    client = make_client(server.url, secret="wrong", connect=False)
    with pytest.raises(AuthenticationFailed) as failure:
        client.connect()
    assert failure.value.code == "invalid-credentials"
    assert len(server.events("authenticate")) == 1


@pytest.mark.parametrize("kind", ["http", "garbage", "nobody", "silent"])
def test_other_servers_are_explained(make_client, kind):
    """`connect` raises one clear sentence for each, at once if trying again would not help."""

    class Page(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    if kind == "http":
        listener.close()
        http = HTTPServer(("127.0.0.1", port), Page)
        threading.Thread(target=http.serve_forever, daemon=True).start()
    elif kind == "nobody":
        listener.close()
    elif kind == "garbage":

        def greet() -> None:
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(b"220 mail.example.com ESMTP\r\n")
            connection.close()

        threading.Thread(target=greet, daemon=True).start()
    client = make_client(f"ws://127.0.0.1:{port}/socket", connect=False, backoff=QUICK)
    with pytest.raises(ConnectFailed) as failure:
        client.connect(seconds=30 if kind in ("http", "garbage") else 0.5)
    expected = {
        "http": "answered HTTP 404 instead of opening a WebSocket",
        "garbage": "is not a WebSocket server",
        "nobody": "connection refused",
        "silent": "no connection within 0.5 s",
    }
    assert expected[kind] in str(failure.value) and "\n" not in str(failure.value)
    if kind == "http":
        http.shutdown()
        http.server_close()
    listener.close()


@pytest.mark.parametrize("url", ["http://x/socket", "ws://", "ws://host:99999/", "example.com"])
def test_invalid_addresses_are_refused(make_client, url):
    with pytest.raises(ConnectFailed):
        make_client(url)


def test_a_closed_client_may_connect_again(make_client, old_server):
    server = old_server()
    client = make_client(server.url)
    client.close()
    client.close()
    client.wait_for(Disconnected, reason="closed")
    with pytest.raises(NotConnected):
        client.sign_in("Ann")
    client.connect()
    assert client.is_connected


def test_an_error_in_a_handler_is_logged(make_client, old_server, caplog):
    server = old_server()
    client = make_client(server.url, connect=False, channels=["gossip"])

    @client.on(ChannelMessage)
    def fails(line: ChannelMessage) -> None:
        raise RuntimeError("a bug of the game")

    client.connect()
    for text in ("one", "two"):
        server.tell("channels/broadcast", {"channel": "gossip", "game": "A", "name": "b", "message": text})
    client.wait_for(ChannelMessage, message="two")
    assert "a handler of ChannelMessage failed" in caplog.text


def test_handlers_with_a_flag_must_be_registered_before_connecting(make_client, old_server):
    client = make_client(old_server().url)
    with pytest.raises(RuntimeError, match="before the client connects"):
        client.on(TellReceived)
