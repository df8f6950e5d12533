"""Existing clients: each line of docs/protocol.md, §10, and recordings of them, against real workers."""

from __future__ import annotations

import json
import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest
import websocket

from tests.support.client import SocketClient
from tests.support.network import ALL_FLAGS, Network, Peer
from tests.support.waiting import wait_until

NETWORK_SETTINGS = {"RATE_LIMITS": "on"}
TRANSCRIPTS = sorted((Path(__file__).parents[1] / "transcripts").glob("*.jsonl"))


def is_alive(client: SocketClient, *, seconds: float = 5) -> bool:
    answer = client.request("channels/unsubscribe", {"channel": "nothing"}, seconds=seconds)
    return "status" in answer


def say(client: SocketClient, channel: str, message: str = "hi", name: str = "Alice") -> None:
    answer = client.request("channels/send", {"channel": channel, "name": name, "message": message})
    assert answer["status"] == "success", answer


# 1. Refs


@pytest.mark.in_process
@pytest.mark.parametrize(
    "ref", ["a word or two", "", "0f" * 16, 17, 0, -3.5, 1e300, "✔", "x" * 300, "12103f30-21ae-4e36-88c1-abc20ee60526"]
)
def test_any_ref_is_echoed_even_if_repeated(network: Network, ref: Any) -> None:
    client = network.join()
    for _ in range(2):
        client.send("channels/subscribe", {"channel": "gossip"}, ref=ref)
        assert client.wait_for("channels/subscribe", ref=ref) == {
            "event": "channels/subscribe",
            "ref": ref,
            "status": "success",
        }


@pytest.mark.in_process
def test_requests_without_a_ref_get_no_answer(network: Network) -> None:
    client = network.join(channels=["gossip"])
    client.send("channels/subscribe", {"channel": "gossip"})
    client.send("channels/subscribe", {"channel": "no good"})
    client.send_text('{"event":"channels/send","ref":null,"payload":{"channel":"gossip","name":"A","message":"hi"}}')
    client.send("tells/send", {})
    assert [frame for frame in client.settle() if frame["event"] != "heartbeat"] == []


# 2. and 3. Forms of frames


@pytest.mark.in_process
@pytest.mark.parametrize(
    "text",
    [
        '{"event":"channels/subscribe","ref":"r","ts":1512345678,"payload":{"channel":"gossip","extra":[1,{}]}}',
        '{"events":"channels/subscribe","ref":"r","payload":{"channel":"gossip"}}',
        '{\n  "event": "channels/subscribe",\n  "payload": {\n    "channel": "gossip"\n  },\n  "ref": "r"\n}',
        '{"payload":{"channel":"gossip"},"ref":"r","event":"channels/subscribe"}',
        '{"event":"channels/subscribe","ref":"r","payload":{"channel":"gossip"}}\r\n',
        '\ufeff{"event":"channels/subscribe","ref":"r","payload":{"channel":"gossip"}}',
        '{"event":"channels/subscribe","ref":"r","payload":{"channel":"GOSSIP"}}',
    ],
)
def test_frames_of_every_form_are_accepted(network: Network, text: str) -> None:
    client = network.join(channels=["gossip"])
    client.send_text(text)
    assert client.wait_for("channels/subscribe", ref="r")["status"] == "success"


def test_a_client_may_send_everything_in_lower_case(network: Network) -> None:
    network.join(channels=["Low-Case"]).drop()
    peer, other = network.game("Lower"), network.join(channels=["Low-Case"])
    client = network.open()
    for text in (
        json.dumps(
            {
                "event": "authenticate",
                "payload": {
                    "client_id": peer.client_id.upper(),
                    "client_secret": peer.client_secret,
                    "supports": ALL_FLAGS,
                    "channels": ["Low-Case"],
                },
            }
        ),
        '{"event":"channels/send","ref":"r","payload":{"channel":"Low-Case","name":"Alice","message":"HI"}}',
        json.dumps({"event": "games/status", "ref": "s", "payload": {"game": peer.short_name}}),
    ):
        client.send_text(text.lower())
    assert client.wait_for("authenticate")["status"] == "success"
    assert client.wait_for("channels/send", ref="r")["status"] == "success"
    assert client.wait_for("games/status", ref="s")["payload"]["game"] == peer.short_name
    assert other.wait_for("channels/broadcast")["payload"]["channel"] == "Low-Case"


# 4. Payloads


@pytest.mark.in_process
@pytest.mark.parametrize(
    ("payload", "players"),
    [
        ("", ["Kept"]),
        (',"payload":null', ["Kept"]),
        (',"payload":{}', ["Kept"]),
        (',"payload":{"players":null}', ["Kept"]),
        (',"payload":["Alice","Bob"]', ["Alice", "Bob"]),
        (',"payload":{"players":["Alice",""," ","alice","Alice@Game",null,7]}', ["Alice", "Alice@Game"]),
        (',"payload":{"players":["none"]}', []),
        (',"payload":{"players":"none"}', []),
        (',"payload":{"players":[]}', []),
    ],
)
def test_heartbeats_of_every_form_are_accepted(network: Network, payload: str, players: list[str]) -> None:
    client = network.join(players=["Kept"], answers_heartbeats=False)
    client.send_text('{"event":"heartbeat"' + payload + "}")
    network.wait_game(client.peer, lambda status: status["players_online_count"] == len(players))
    names = client.request("players/status", {"game": client.peer.short_name})["payload"]["players"]
    assert names == players


@pytest.mark.in_process
@pytest.mark.parametrize("channels", [None, [""], "null", [], ["", None]])
def test_channel_lists_of_every_form_are_accepted(network: Network, channels: Any) -> None:
    peer, client = network.game(), network.open()
    client.send(
        "authenticate",
        {
            "client_id": peer.client_id,
            "client_secret": peer.client_secret,
            "supports": ["channels"],
            "channels": channels,
            "players": None,
        },
    )
    answer = client.wait_for("authenticate")
    assert answer["status"] == "success" and "refused_channels" not in answer["payload"]


@pytest.mark.in_process
@pytest.mark.parametrize("event", ["players/status", "games/status"])
@pytest.mark.parametrize("payload", ["", ',"payload":null', ',"payload":{}'])
def test_a_status_without_a_payload_covers_all_games(network: Network, event: str, payload: str) -> None:
    client = network.join()
    client.send_text(f'{{"event":"{event}","ref":5{payload}}}')
    assert client.wait_for(event, ref=5, payload={"game": "Grapevine"})


# 5. Several sockets


def test_sockets_of_one_game_can_share_channels(network: Network) -> None:
    game, other = network.game(), network.join(channels=["several"])
    sockets = [network.join(game, channels=["several"]) for _ in range(3)]

    say(sockets[0], "several", "from the first")
    say(sockets[1], "several", "from the second")
    say(other, "several", "from the other")

    for client in sockets:
        client.wait_for("channels/broadcast", payload={"message": "from the other"})
    network.flush(other, *sockets)
    for client in sockets:
        lines = [frame["payload"]["message"] for frame in client.events("channels/broadcast")]
        assert [line for line in lines if line.startswith("from")] == ["from the other"]
    messages = [frame["payload"]["message"] for frame in other.events("channels/broadcast")]
    assert sorted(messages[:2]) == ["from the first", "from the second"] and messages.count("from the first") == 1


# 6. The transport


@pytest.mark.one_worker
@pytest.mark.parametrize(
    "options",
    [
        {"origin": "http://127.0.0.1"},
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
        {"suppress_origin": True},
        {"host": "grapevine.example.com"},
        {"host": "127.0.0.1"},
        {"host": "example.com:99999"},
        {"header": ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]},
        {"header": ["X-Forwarded-Proto: https", "X-Forwarded-For: 203.0.113.9"]},
        {"header": ["User-Agent: AutobahnPython/20.12.3", "Pragma: no-cache", "Cache-Control: no-cache"]},
    ],
    ids=str,
)
def test_handshakes_of_every_form_are_accepted(network: Network, options: dict[str, Any]) -> None:
    peer, client = network.game(), network.open(**options)
    answer = client._socket.getheaders()
    assert "sec-websocket-extensions" not in {name.lower() for name in answer}
    client.authenticate(peer.client_id, peer.client_secret)
    assert is_alive(client)


@pytest.mark.parametrize("upgrade", ["WebSocket", "websocket", "WEBSOCKET"])
def test_the_upgrade_header_ignores_case(network: Network, upgrade: str) -> None:
    with socket.create_connection(("127.0.0.1", network.workers[0].port), timeout=5) as raw:
        raw.sendall(
            f"GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: {upgrade}\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: o8mCy7yiCOGmrCeH8GB6Og==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert raw.recv(1000).startswith(b"HTTP/1.1 101")


@pytest.mark.one_worker
def test_a_ping_is_answered_and_the_worker_sends_none(network: Network) -> None:
    client = network.join()
    client.send_raw(b"are you there?", opcode=websocket.ABNF.OPCODE_PING)
    opcode, data = client._socket.recv_data(control_frame=True)
    while opcode == websocket.ABNF.OPCODE_TEXT:
        opcode, data = client._socket.recv_data(control_frame=True)
    assert (opcode, data) == (websocket.ABNF.OPCODE_PONG, b"are you there?")


@pytest.mark.one_worker
def test_a_close_without_a_code_is_answered(network: Network) -> None:
    client = network.join()
    client.send_raw(b"", opcode=websocket.ABNF.OPCODE_CLOSE)
    assert client.wait_closed() is None
    network.wait_offline(client.peer)


@pytest.mark.one_worker
@pytest.mark.parametrize("code", [1000, 1001, 3000])
def test_a_close_is_echoed_with_its_code(network: Network, code: int) -> None:
    client = network.join()
    client.send_raw(struct.pack("!H", code), opcode=websocket.ABNF.OPCODE_CLOSE)
    assert client.wait_closed() == code


def test_vanished_sockets_are_forgotten(network: Network) -> None:
    gone, reset = network.join(players=["Alice"]), network.join(players=["Bob"])
    gone.drop()
    reset.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reset.raw.close()
    reset.is_closed = True
    for client in (gone, reset):
        network.wait_offline(client.peer)


# 7. Early frames


@pytest.mark.one_worker
def test_frames_sent_before_the_answer_to_authenticate_are_handled(network: Network) -> None:
    peer, client = network.game(), network.open()
    client.send(
        "authenticate",
        {
            "client_id": peer.client_id,
            "client_secret": peer.client_secret,
            "supports": ALL_FLAGS,
            "channels": ["gossip"],
        },
    )
    client.send("channels/send", {"channel": "gossip", "name": "Alice", "message": "early"}, ref=1)
    client.send("players/sign-in", {"name": "Alice"}, ref=2)
    client.send("games/status", {"game": peer.short_name}, ref=3)
    client.wait_for("games/status", ref=3)
    assert [frame["event"] for frame in client.frames if frame["event"] != "channels/send"] == [
        "authenticate",
        "heartbeat",
        "players/sign-in",
        "games/status",
    ]
    assert client.wait_for("channels/send", ref=1)["status"] == "success"


# 8. Retries forever


def test_a_client_that_keeps_retrying_is_slowed_down_and_can_still_connect(network: Network) -> None:
    peer = network.game()
    for _ in range(5):
        client = network.open(worker=0)
        answer = client.authenticate(peer.client_id, "wrong", check=False)
        assert answer["error"] == "invalid credentials"
        assert client.wait_closed() == 4000 and client.close_reason
    client = network.open(worker=0)
    client.authenticate(peer.client_id, peer.client_secret)
    assert is_alive(client)


# 9. Many requests at once


@pytest.mark.one_worker
def test_clients_may_request_both_lists_at_every_notice(network: Network) -> None:
    """200 games connect at once, and ten of them request both lists at each notice.

    Each request is answered with the list or with `rate limit exceeded`, and no socket is closed.
    """
    games = [network.game("Storm") for _ in range(200)]
    clients = [network.open(skip_utf8_validation=True) for _ in games]
    for number, (client, game) in enumerate(zip(clients, games, strict=True)):
        client.send(
            "authenticate",
            {"client_id": game.client_id, "client_secret": game.client_secret, "supports": ALL_FLAGS, "channels": []},
        )
        if number < 10:
            client.wait_for("authenticate")
    asking = {client: 0 for client in clients[:10]}
    deadline = time.monotonic() + 40
    while min(asking.values()) < 190:
        assert time.monotonic() < deadline
        for client, told in asking.items():
            for _ in range(500):
                if not client._read(0.01):
                    break
            asking[client] = len(client.events("games/connect"))
            for notice in range(told, asking[client]):
                client.send("games/status", ref=f"games {notice}")
                client.send("players/status", ref=f"players {notice}")
    for client in clients:
        assert is_alive(client, seconds=30)
    for client, told in asking.items():
        answers = [frame for frame in client.frames if frame["event"].endswith("/status")]
        assert len({frame["ref"] for frame in answers}) == 2 * told
        assert {frame["code"] for frame in answers if frame.get("status") == "failure"} == {"rate-limited"}
        whole = [frame for frame in answers if frame["ref"] == "games 9"]
        assert len(whole) >= 100


# 10. Both lists


@pytest.mark.one_worker
def test_both_lists_can_be_requested_together(network: Network) -> None:
    client = network.join()
    for number in range(4):
        client.send(("games/status", "players/status")[number % 2], ref=number)
    client.settle()
    refs = [frame["ref"] for frame in client.frames if frame["event"].endswith("/status")]
    assert refs == sorted(refs) and set(refs) == {0, 1, 2, 3}


# 11. Tells


@pytest.mark.parametrize("sent_at", [None, "2026-11-23T06:20:50.849Z", "2026-11-23T06:20:50Z"])
def test_tells_of_every_form_are_accepted(network: Network, sent_at: str | None) -> None:
    sender, receiver = network.join(players=["Alice"]), network.join(players=["Bob"])
    name = receiver.peer.short_name
    tell = {"from_name": "Alice", "to_game": f"{name[:2]} {name[2:]}".upper(), "to_name": "bob", "message": "hi"}
    if sent_at:
        tell["sent_at"] = sent_at
    assert sender.request("tells/send", tell)["status"] == "success"
    assert receiver.wait_for("tells/receive")["payload"]["from_game"] == sender.peer.short_name


# 12. A burst


@pytest.mark.one_worker
def test_a_burst_right_after_connecting_is_answered(network: Network) -> None:
    peer, client = network.game(), network.open()
    client.send(
        "authenticate", {"client_id": peer.client_id, "client_secret": peer.client_secret, "supports": ["channels"]}
    )
    names = [f"burst-{a}{b}" for a in "abcde" for b in "abcdefghij"]
    for name in names:
        client.send("channels/subscribe", {"channel": name}, ref=name)
    for number in range(50):
        client.send("achievements/create", {"title": "First blood", "points": number}, ref=number)
    for name in names:
        assert client.wait_for("channels/subscribe", ref=name, seconds=20)["status"] == "success"
    for number in range(50):
        assert client.wait_for("achievements/create", ref=number)["code"] in ("unknown-event", "missing-support")
    assert is_alive(client)


# The recordings


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_recorded_client_is_served(network: Network, path: Path) -> None:
    """Replays every frame in order. Each ref is answered, nothing else is sent, and no socket is closed."""
    steps = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    peer = network.game("Replay")
    companion = network.join(peer_of(network), players=["Peer"], channels=["gossip", "elixirtest"])
    handshake = next(step for step in steps if step["dir"] == "client" and step["kind"] == "handshake")
    kept = ("user-agent", "sec-websocket-extensions", "pragma", "cache-control")
    client = network.open(
        header=[f"{name}: {value}" for name, value in handshake["headers"] if name.lower() in kept],
        host=next(value for name, value in handshake["headers"] if name == "Host"),
        answers_heartbeats=False,
    )
    asked: list[tuple[str, Any]] = []
    for step in steps:
        if step["dir"] != "client" or step["kind"] != "text":
            continue
        frame = json.loads(step["data"])
        text, event = step["data"], frame.get("event") or frame.get("events")
        if event == "authenticate":
            text = text.replace(frame["payload"]["client_id"], peer.client_id)
            text = text.replace(frame["payload"]["client_secret"], peer.client_secret)
        client.send_text(text)
        if event == "authenticate":
            assert client.wait_for("authenticate")["status"] == "success"
        elif "ref" in frame:
            asked.append((event, frame["ref"]))
            client.wait_for(event, ref=frame["ref"])
    client.send("channels/unsubscribe", {"channel": "nothing"}, ref="the end")
    client.wait_for("channels/unsubscribe", ref="the end")

    assert not client.is_closed
    allowed = {"authenticate", "heartbeat", "channels/broadcast", "games/connect", "games/disconnect", "tells/receive"}
    known = {ref for _, ref in asked} | {"the end"}
    for frame in client.frames:
        assert frame["event"] in allowed | {"players/sign-in", "players/sign-out"} or frame["ref"] in known, frame
    assert {ref for _, ref in asked} <= {frame.get("ref") for frame in client.frames}
    for event, ref in asked:
        answers = [frame for frame in client.frames if frame.get("ref") == ref]
        assert all(frame["event"] == event for frame in answers)
        if not event.endswith("/status"):
            assert len(answers) == 1
    spoken = [
        json.loads(step["data"])["payload"]
        for step in steps
        if step["dir"] == "client" and step["kind"] == "text" and '"channels/send"' in step["data"]
    ]
    assert spoken
    for payload in spoken:
        companion.wait_for("channels/broadcast", payload={"channel": payload["channel"], "name": payload["name"]})


_peers: dict[int, Peer] = {}


def peer_of(network: Network) -> Peer:
    """Return the game `Peer` that the recorded clients talk to."""
    if id(network) not in _peers:
        game, credentials = network.factory.game_with_credentials("Peer", name="Peer")
        _peers[id(network)] = Peer("Peer", credentials.client_id, credentials.client_secret, f"game:{game.id}")
    wait_until(lambda: network.online_sockets(_peers[id(network)]) == 0, what="the last test's sockets are gone")
    return _peers[id(network)]
