"""The core as a whole: events, closing, and arbitrary frames."""

from __future__ import annotations

import json

from driver import Driver, broadcast
from gossip_client import (
    Disconnected,
    ErrorReported,
    GameConnected,
    SyncComplete,
    SyncRecords,
    TellReceived,
    UnknownEvent,
)
from hypothesis import given, settings
from hypothesis import strategies as st


def test_events_are_typed():
    driver = Driver()
    driver.open("2.3.0")
    driver.received.clear()
    tell = {"from_game": "A", "from_name": "b", "to_name": "c", "message": "d", "sent_at": "2026-11-23T06:15:44.5Z"}
    driver.server_sends("tells/receive", tell, ref="1")
    driver.server_sends("games/connect", {"game": "A"}, ref="2")
    driver.server_sends("error", ref="3", status="failure", error="not JSON", code="not-json")
    driver.server_sends("moderation/pause", {"channel": "gossip"}, ref="4")
    driver.server_sends("sync/games", {"games": [{"id": 1}], "deleted": [2], "cursor": 3}, ref="5")
    driver.server_sends("sync/complete", {"cursor": 3, "counts": {"games": 1}, "digests": {}, "reset": True}, ref="6")
    received, connected, error, unknown, records, complete = driver.received
    assert isinstance(received, TellReceived) and received.sent_at.microsecond == 500_000
    assert connected == GameConnected("A") and error == ErrorReported("not JSON", "not-json")
    assert unknown == UnknownEvent("moderation/pause", {"channel": "gossip"}, "4")
    assert records == SyncRecords("games", [{"id": 1}], [2], 3, "5")
    assert complete == SyncComplete(3, {"games": 1}, {}, True, "6")


def test_a_closed_client_ignores_frames():
    driver = Driver(channels=["gossip"])
    driver.open()
    driver.core.shut()
    driver.received += driver.core.events()
    driver.server_sends("channels/broadcast", broadcast(1))
    driver.server_sends("heartbeat")
    assert isinstance(driver.received[-1], Disconnected) and driver.sent("heartbeat") == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    [
        "authenticate", "heartbeat", "restart", "error", "channels/broadcast", "channels/send", "channels/history",
        "players/sign-in", "players/status", "tells/receive", "games/connect", "games/status", "sync/games",
        "sync/complete", "sync/", "x",
    ]
)  # fmt: skip
payloads = anything | st.fixed_dictionaries(
    {},
    optional={
        name: anything
        for name in ("game", "name", "channel", "message", "id", "players", "downtime", "cursor", "games", "version")
    },
)


@settings(deadline=None)
@given(st.lists(st.tuples(names, payloads, anything, st.sampled_from(["success", "failure", None, 5])), max_size=8))
def test_no_frame_breaks_the_core(frames):
    """Whatever a server sends, the core does not raise, and still answers heartbeats."""
    driver = Driver(supports=["players", "games"], keeps_view=True, channels=["gossip"])
    driver.core.opened(driver.now)
    for event, payload, ref, status in frames:
        frame = {"event": event, "payload": payload, "ref": ref, "status": status}
        driver.core.received(json.dumps(frame), driver.now)
    driver.wait(5)
    driver.sent()
    driver.server_sends("heartbeat")
    assert driver.sent("heartbeat") == [{"event": "heartbeat"}]
