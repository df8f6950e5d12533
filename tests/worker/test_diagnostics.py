"""What owners see about their game's connections, with real sockets and without."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from shared import diagnostics
from shared.db import transaction
from shared.diagnostics import Diagnostics
from shared.services.authority.actors import OPERATOR
from shared.services.moderation import messages
from tests.support.network import Network, Peer
from tests.support.waiting import wait_until
from worker.diagnostics.recorder import HIDDEN, expected, mask

NETWORK_SETTINGS = {"RATE_LIMITS": "on"}
NETWORK_CONSTANTS = {"worker.diagnostics.recorder.FLUSH_SECONDS": 0.1}


def read(network: Network, peer: Peer) -> Diagnostics:
    with redis.Redis.from_url(network.valkey.url) as client:
        return diagnostics.read(client, peer.key)


def events(found: Diagnostics, way: str) -> list[str]:
    return [json.loads(frame.frame)["event"] for frame in found.frames if frame.way == way]


def test_frames_are_recorded_in_both_directions(network: Network) -> None:
    client, other = network.join(channels=["diag"], players=["Alice"]), network.join(channels=["diag"])
    client.request("channels/send", {"channel": "diag", "name": "Alice", "message": "from me"})
    other.request("channels/send", {"channel": "diag", "name": "Bob", "message": "from the other"})
    other.request("players/sign-in", {"name": "Bob"})
    client.wait_for("players/sign-in")

    diagnostics = wait_until(
        lambda: "players/sign-in" in events(read(network, client.peer), "out") and read(network, client.peer)
    )

    assert events(diagnostics, "in")[:1] == ["authenticate"] and "channels/send" in events(diagnostics, "in")
    out = events(diagnostics, "out")
    assert out[:2] == ["authenticate", "heartbeat"]
    assert out.count("channels/broadcast") == out.count("players/sign-in") == out.count("games/connect") == 1
    text = "".join(frame.frame for frame in diagnostics.frames)
    assert "from the other" in text
    assert client.peer.client_id not in text and client.peer.client_secret not in text
    assert [frame.at for frame in diagnostics.frames] == sorted(frame.at for frame in diagnostics.frames)


def test_the_text_of_tells_is_not_recorded(network: Network) -> None:
    sender, receiver = network.join(players=["Alice"]), network.join(players=["Bob"])
    payload = {
        "from_name": "Alice",
        "to_game": receiver.peer.short_name,
        "to_name": "Bob",
        "message": "between us",
    }
    sender.request("tells/send", payload)
    sender.send_text(json.dumps({"event": "tells/send", "ref": 1, "payload": payload}).replace("/", "\\/"))
    sender.send_text(json.dumps({"event": "tells/send", "payload": payload})[:-1])
    receiver.wait_for("tells/receive")
    for peer, event in ((sender.peer, "tells/send"), (receiver.peer, "tells/receive")):
        wait_until(lambda peer=peer, event=event: event in str(read(network, peer).frames))
    with redis.Redis.from_url(network.valkey.url) as client:
        for key in client.scan_iter("gossip:diag*"):
            kind = client.type(key)
            values: Any = client.lrange(key, 0, -1) if kind == b"list" else client.hvals(key)
            assert b"between us" not in b"".join(values)


def test_redacted_text_is_removed_from_the_frames(network: Network) -> None:
    sender, listener = network.join(channels=["diag"]), network.join(channels=["diag"])
    reader = network.join(channels=["diag"], version="2.4.0")
    sender.request("channels/send", {"channel": "diag", "name": "Alice", "message": "my street and number"})
    listener.wait_for("channels/broadcast", payload={"message": "my street and number"})
    said = reader.request("channels/history", {"channel": "diag", "limit": 1})["payload"]["messages"][0]
    assert said["message"] == "my street and number"
    for peer, event in (
        (sender.peer, "channels/send"),
        (listener.peer, "channels/broadcast"),
        (reader.peer, "channels/history"),
    ):
        wait_until(lambda peer=peer, event=event: event in str(read(network, peer).frames), what="the frames")

    with transaction() as session:
        messages.redact(session, OPERATOR, message_id=said["id"], reason="private")

    def is_gone() -> bool:
        return not any(
            "my street" in str(read(network, peer).frames) for peer in (sender.peer, listener.peer, reader.peer)
        )

    wait_until(is_gone, what="the text is on no owner's page")


@pytest.mark.one_worker
def test_refusals_say_what_is_wrong_and_what_is_expected(network: Network) -> None:
    client = network.join(supports=["channels"])
    client.request("channels/send", {"channel": "nowhere", "name": "A", "message": "hi"})
    client.request("channels/subscribe", {})
    client.request("players/sign-in", {"name": "Alice"})
    client.request("no/such")
    client.send_text("{not json")
    client.send("channels/subscribe", {"channel": "no good"})

    refusals = wait_until(lambda: len(r := read(network, client.peer).refusals) == 6 and r)

    assert [refusal.code for refusal in refusals] == [
        "not-subscribed",
        "invalid",
        "missing-support",
        "unknown-event",
        "not-json",
        "channel-refused",
    ]
    assert all(refusal.error and refusal.expected for refusal in refusals)
    assert '"channel"' in refusals[1].error and json.loads(refusals[1].expected)["event"] == "channels/subscribe"
    assert '"players"' in refusals[2].expected


@pytest.mark.one_worker
def test_the_owner_sees_an_authenticate_that_failed_for_its_flags(network: Network) -> None:
    peer, client = network.game(), network.open()
    client.authenticate(peer.client_id, peer.client_secret, supports=[], check=False)
    refusals = wait_until(lambda: read(network, peer).refusals)
    assert refusals[0].error == "missing supports" and peer.client_secret not in refusals[0].frame


def test_disconnects_are_recorded_with_their_cause(network: Network) -> None:
    game = network.game()
    network.join(game).close(1001)
    network.join(game).drop()
    client = network.join(game)
    client.send_raw(b"x", opcode=2)
    client.wait_closed()

    disconnects = wait_until(lambda: len(d := read(network, game).disconnects) == 3 and d)

    assert sorted(str(disconnect.code) for disconnect in disconnects) == ["1001", "1003", "None"]
    assert all(0 <= disconnect.seconds < 60 for disconnect in disconnects)


@pytest.mark.one_worker
def test_the_remaining_rate_limits_are_shown(network: Network) -> None:
    client = network.join(channels=["diag"])
    for _ in range(12):
        client.request("channels/send", {"channel": "diag", "name": "Alice", "message": "hi"})
    found = wait_until(
        lambda: (
            (limits := {limit.limit: limit for limit in read(network, client.peer).limits})
            and "channels/send:player" in limits
            and limits
        )
    )
    player = found["channels/send:player"]
    assert player.of == "alice" and player.left < player.burst == 10
    assert found["channels/send:game"].burst == 100 and found["events:socket"].burst == 400


@pytest.mark.one_worker
def test_records_are_bounded_and_expire(network: Network) -> None:
    client = network.join()
    for number in range(130):
        client.send("no/such", ref=number)
    client.settle()
    diagnostics = wait_until(lambda: len((d := read(network, client.peer)).frames) == 100 and d)
    assert len(diagnostics.refusals) == 50
    with redis.Redis.from_url(network.valkey.url) as connection:
        keys = list(connection.scan_iter("gossip:diag*"))
        assert keys and all(0 < connection.ttl(key) <= 86_400 for key in keys)


@pytest.mark.parametrize(
    "text",
    [
        '{"event":"authenticate","payload":{"client_id":"SECRET","client_secret":"SECRET"}}',
        '{"events":"authenticate","payload":{"client_id":"SECRET","client_secret":"SECRET"}}',
        '{"event":"authenticate","payload":{"Client_Secret":"SECRET"}}',
        '{"event":"heartbeat","client_secret":"SECRET"}',
        '{"event":"authenticate","payload":{"client_\\u0073ecret":"SECRET"}}',
        '{"event":"tells/send","payload":{"message":"SECRET"}}',
        '{"event":"tells\\/send","payload":{"message":"SECRET"}}',
        '{"event":"TELLS/send","message":"SECRET"}',
        '{"event":"authenticate","payload":{"client_secret":"SECRET"',
        '{"event":"tells/send","payload":{"message":"SECRET"',
        '\ufeff{"event":"tells/send","payload":{"message":"SECRET"}}',
        '{"event":"x","payload":{"a":[{"password":"SECRET"}]}}',
    ],
)
def test_secrets_are_not_recorded(text: str) -> None:
    masked = mask(text.encode())
    assert "SECRET" not in masked and HIDDEN in masked


@pytest.mark.parametrize("text", ['{"event":"channels/send","payload":{"message":"hi"}}', "garbage", "[1,2]", "✔"])
def test_other_frames_are_recorded_unchanged(text: str) -> None:
    assert mask(text.encode()) == text


def test_long_frames_are_cut_off() -> None:
    assert len(mask(b'{"event":"x","payload":"' + b"y" * 5000 + b'"}')) == 1024


def test_every_code_has_an_expectation() -> None:
    for code in ("invalid", "unknown-event", "not-json", "unauthenticated", "not-subscribed", "rate-limited"):
        assert expected("channels/send" if code != "unknown-event" else "x", code)
