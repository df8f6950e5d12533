"""Clients receive only what they requested: every failure, with and without a ref (docs/protocol.md, §2)."""

from __future__ import annotations

from typing import Any

import pytest

from shared.protocol.codes import Code
from tests.support.network import Network

NETWORK_SETTINGS = {
    "RATE_LIMITS": "on",
    "LIMITS": "channels/send:player=1/0.01,games/status:socket=1/0.01,players/status:socket=1/0.01,"
    "tells/send:player=1/0.01",
}
TELL = {"from_name": "Alice", "to_game": "Grapevine", "to_name": "system", "message": "hi"}
LINE = {"channel": "gossip", "name": "Alice", "message": "hi"}
ALL = ["channels", "players", "tells", "games"]

# Code, the socket's flags, event, payload, and how many requests to send. The last request fails.
FAILURES: list[tuple[Code, list[str], str, Any, int]] = [
    (Code.INVALID, ALL, "channels/send", {"channel": "gossip"}, 1),
    (Code.INVALID, ALL, "channels/subscribe", {}, 1),
    (Code.INVALID, ALL, "channels/unsubscribe", [], 1),
    (Code.INVALID, ALL, "channels/history", {"channel": "gossip", "limit": 1000}, 1),
    (Code.INVALID, ALL, "players/sign-in", None, 1),
    (Code.INVALID, ALL, "players/sign-out", {"name": ""}, 1),
    (Code.INVALID, ALL, "players/status", {"game": 1}, 1),
    (Code.INVALID, ALL, "games/status", {"game": 1}, 1),
    (Code.INVALID, ALL, "tells/send", {**TELL, "message": ""}, 1),
    (Code.UNKNOWN_EVENT, ALL, "achievements/sync", None, 1),
    (Code.UNKNOWN_EVENT, ALL, "channels/no-such", {}, 1),
    (Code.UNKNOWN_EVENT, ALL, "reports/create", {}, 1),  # exists since version 2.4.0
    (Code.MISSING_SUPPORT, ["channels"], "players/sign-in", {"name": "A"}, 1),
    (Code.MISSING_SUPPORT, ["channels"], "players/sign-out", {"name": "A"}, 1),
    (Code.MISSING_SUPPORT, ["channels"], "players/status", None, 1),
    (Code.MISSING_SUPPORT, ["channels"], "games/status", None, 1),
    (Code.MISSING_SUPPORT, ["channels"], "tells/send", TELL, 1),
    (Code.NOT_SUBSCRIBED, ALL, "channels/send", {**LINE, "channel": "elsewhere"}, 1),
    (Code.NOT_SUBSCRIBED, ALL, "channels/history", {"channel": "elsewhere"}, 1),
    (Code.CHANNEL_REFUSED, ALL, "channels/subscribe", {"channel": "no good name"}, 1),
    (Code.RATE_LIMITED, ALL, "channels/send", LINE, 2),
    (Code.RATE_LIMITED, ALL, "tells/send", TELL, 2),
    (Code.RATE_LIMITED, ALL, "games/status", None, 2),
    (Code.RATE_LIMITED, ALL, "players/status", None, 2),
    (Code.UNKNOWN_GAME, ALL, "players/status", {"game": "NoSuch"}, 1),
    (Code.UNKNOWN_GAME, ALL, "games/status", {"game": "NoSuch"}, 1),
    (Code.GAME_OFFLINE, ALL, "tells/send", {**TELL, "to_game": "NoSuch"}, 1),
    (Code.PLAYER_OFFLINE, ALL, "tells/send", {**TELL, "to_name": "Nobody"}, 1),
    (Code.NOT_AN_APPLICATION, ALL, "sync", {}, 1),
    (Code.NOT_AN_APPLICATION, ALL, "moderation/pause", {}, 1),
    (Code.NOT_AN_APPLICATION, ALL, "moderation/resume", {}, 1),
    (Code.NOT_AN_APPLICATION, ALL, "moderation/sanction", {}, 1),
    (Code.NOT_AN_APPLICATION, ALL, "moderation/lift", {}, 1),
    (Code.NOT_AN_APPLICATION, ALL, "moderation/redact", {}, 1),
]
ELSEWHERE = {
    Code.NOT_JSON,  # frames that cannot be read: test_frames_refused.py
    Code.INTERNAL,
    Code.UNAUTHENTICATED,  # test_authenticate.py
    Code.ALREADY_AUTHENTICATED,
    Code.INVALID_CREDENTIALS,
    Code.NOT_SUPPORTED,  # test_tells.py
    Code.CHANNEL_PAUSED,  # moderation
    Code.MUTED,
    Code.BANNED,
    Code.MISSING_SCOPE,
    Code.FILTERED,
    Code.NOT_FOUND,
    Code.FORBIDDEN,
    Code.CONFLICT,
}


def test_every_code_is_tested() -> None:
    assert {code for code, *_ in FAILURES} | ELSEWHERE == set(Code)


@pytest.mark.in_process
@pytest.mark.parametrize(("code", "supports", "event", "payload", "times"), FAILURES)
def test_a_failure_with_a_ref_gets_exactly_one_answer(
    network: Network, code: Code, supports: list[str], event: str, payload: Any, times: int
) -> None:
    client = network.join(supports=supports, channels=["gossip"], players=["Alice"])
    for number in range(times):
        client.send(event, payload, ref=number)
    client.settle()
    answers = [frame for frame in client.frames if frame.get("ref") == times - 1]
    assert len(answers) == 1
    assert (answers[0]["event"], answers[0]["status"], answers[0]["code"]) == (event, "failure", code)
    assert answers[0]["error"] and "payload" not in answers[0]


@pytest.mark.in_process
@pytest.mark.parametrize(("code", "supports", "event", "payload", "times"), FAILURES)
def test_a_failure_without_a_ref_is_silent_or_an_error_event(
    network: Network, code: Code, supports: list[str], event: str, payload: Any, times: int
) -> None:
    client = network.join(supports=supports, channels=["gossip"], players=["Alice"])
    for _ in range(times):
        client.send(event, payload)
    client.settle()
    received = [
        frame for frame in client.frames if frame["event"] not in ("authenticate", "heartbeat", "tells/receive")
    ]
    expected = ["error"] if code == Code.UNKNOWN_EVENT else []
    assert [frame["event"] for frame in received if frame["event"] != "channels/unsubscribe"] == expected
    if expected:
        assert (received[0]["status"], received[0]["code"]) == ("failure", code) and len(received[0]["ref"]) == 36
