"""The state machine, frame by frame: no sockets, no clock."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
from driver import Driver, broadcast
from gossip_client import (
    AuthenticationRefused,
    Backoff,
    Connected,
    Disconnected,
    Dropped,
    ErrorReported,
    GameConnected,
    NotConnected,
    RequestFailed,
    RequestTimedOut,
    Restarting,
    SendDropped,
    SyncComplete,
    SyncRecords,
    TellReceived,
    UnknownEvent,
    requests,
)
from gossip_client.core import Config
from hypothesis import given, settings
from hypothesis import strategies as st

# Being let in


def test_it_introduces_itself_with_all_that_is_known():
    driver = Driver(
        channels=["gossip"],
        supports=["tells", "players"],
        players=lambda: ["Alice"],
        user_agent="Tests 1",
        sync=lambda: {"since": 4},
    )
    frame = driver.open(refused_channels=["bad name"])
    assert frame == {
        "event": "authenticate",
        "payload": {
            "client_id": "id",
            "client_secret": "secret",
            "supports": ["channels", "players", "tells"],
            "channels": ["gossip"],
            "version": "2.4.0",
            "user_agent": "Tests 1",
            "players": ["Alice"],
            "sync": {"since": 4},
        },
    }
    assert driver.told == [Connected("2.4.0", ("bad name",))]


def test_the_secret_is_not_shown():
    assert "hush" not in repr(Config("id", "hush"))


def test_heartbeats_are_answered_with_who_is_online():
    players = ["Alice"]
    driver = Driver(players=lambda: players)
    driver.open()
    driver.says("heartbeat")
    players.append("Bob")
    driver.says("heartbeat")
    assert [frame["payload"]["players"] for frame in driver.sent("heartbeat")] == [["Alice"], ["Alice", "Bob"]]


def test_a_game_that_fails_to_say_who_is_online_still_answers():
    def fails() -> list[str]:
        raise RuntimeError("no list today")

    driver = Driver(players=fails)
    driver.open()
    driver.says("heartbeat")
    assert driver.sent("heartbeat") == [{"event": "heartbeat"}]


@pytest.mark.parametrize("code", ["invalid-credentials", None])
def test_bad_credentials_wait_long_and_longer(code):
    driver = Driver()
    waits = []
    for _ in range(6):
        driver.core.opened(driver.now)
        driver.says("authenticate", status="failure", error="invalid credentials", code=code)
        assert driver.core.close_reason == "the server refused the authentication: invalid credentials"
        waits.append(driver.lose())
    assert waits[0] >= 30 and all(later > earlier for earlier, later in pairwise(waits[:5]))
    assert driver.events(AuthenticationRefused)[0] == AuthenticationRefused(
        "invalid credentials", "invalid-credentials"
    )


def test_the_oldest_servers_are_tried_without_the_flags_they_refuse():
    driver = Driver(supports=["players"])
    driver.core.opened(driver.now)
    driver.says("authenticate", status="failure", error="unknown support: players")
    assert driver.lose() < 2
    frame = driver.open(version=None)
    assert frame["payload"]["supports"] == ["channels"]
    assert driver.core.server_version == "1.0.0" and driver.core.is_ready


def test_what_is_no_frame_is_no_server_of_the_network():
    driver = Driver()
    driver.core.opened(driver.now)
    driver.core.received("<html>", driver.now)
    assert driver.core.close_reason is not None and "does not speak this protocol" in driver.core.close_reason


def test_a_silent_server_is_left():
    driver = Driver()
    driver.core.opened(driver.now)
    driver.wait(31)
    assert driver.core.close_reason == "the server did not answer the authentication"
    driver.lose()
    driver.open()
    assert driver.core.wakes_at() == driver.now + 60
    driver.wait(61)
    assert driver.core.close_reason == "the server said nothing for 60 s"


# Coming back


def test_waits_double_with_jitter_and_start_afresh_after_a_stable_connection():
    driver = Driver()
    waits = [driver.lose() for _ in range(8)]
    assert all(0.5 * 2**n <= wait <= 2**n for n, wait in enumerate(waits[:6])) and waits[7] <= 60
    driver.open()
    driver.now += 2
    assert driver.lose() > 5  # let in and thrown out at once: not stable
    driver.open()
    driver.now += 11
    assert driver.lose() <= 1


def test_a_restart_s_downtime_is_waited_out():
    driver = Driver()
    driver.open()
    driver.says("restart", {"downtime": 15}, ref="r")
    driver.now += 3
    assert 12 <= driver.lose("restarting", 1012) <= 13
    assert driver.events(Restarting) == [Restarting(15.0)]
    assert driver.events(Disconnected)[0].code == 1012


@pytest.mark.parametrize("downtime", ["1e300", "1" * 400, "-5", '"soon"', '"inf"', "[]"])
def test_a_downtime_that_makes_no_sense_does_not_keep_it_away(downtime):
    driver = Driver()
    driver.open()
    driver.core.received(f'{{"event": "restart", "payload": {{"downtime": {downtime}}}}}', driver.now)
    assert driver.lose() <= 3601


def test_what_is_wanted_while_it_is_let_in_is_subscribed_to():
    """The list went with the authentication; what changed since is asked for after it."""
    driver = Driver(channels=["gossip"], fills_gaps=False)
    driver.core.opened(driver.now)
    assert driver.sent("authenticate")[0]["payload"]["channels"] == ["gossip"]
    wanted, unwanted = driver.ask(requests.subscribe("testing")), driver.ask(requests.unsubscribe("GOSSIP"))
    driver.says("authenticate", {"version": "2.4.0"}, status="success")
    sent = {frame["event"]: frame["payload"]["channel"] for frame in driver.sent()}
    assert sent == {"channels/subscribe": "testing", "channels/unsubscribe": "gossip"}
    assert wanted.is_done and unwanted.is_done and driver.core.channels == ["testing"]


def test_a_subscription_on_its_way_when_the_connection_goes_is_taken_up_again():
    driver = Driver()
    driver.open()
    request = driver.ask(requests.subscribe("testing"))
    driver.lose()
    assert request.is_done and request.error is None
    assert driver.open()["payload"]["channels"] == ["testing"]


def test_it_subscribes_again_to_what_it_wants_now():
    driver = Driver(channels=["gossip", "testing"])
    driver.open("2.3.0")
    driver.ask(requests.unsubscribe("GOSSIP"))
    new = driver.ask(requests.subscribe("moria"))
    driver.says("channels/subscribe", ref=new.ref, status="success")
    bad = driver.ask(requests.subscribe("bad name"))
    driver.says("channels/subscribe", ref=bad.ref, status="failure", error="Could not subscribe to 'bad name'")
    with pytest.raises(RequestFailed) as failure:
        bad.result()
    assert failure.value.code == "channel-refused"
    driver.lose()
    away = driver.ask(requests.subscribe("away"))
    assert away.is_done and away.error is None
    assert driver.open()["payload"]["channels"] == ["testing", "moria", "away"]


# Requests


def test_an_answer_belongs_to_its_ref():
    driver = Driver()
    driver.open()
    first, second = driver.ask(requests.sign_in("Ann")), driver.ask(requests.sign_in("Bob"))
    driver.says("players/sign-in", ref=second.ref, status="success")
    assert second.is_done and not first.is_done
    driver.says(
        "players/sign-in", ref=first.ref, status="failure", error="slow down", code="rate-limited", retry_after_ms=1500
    )
    with pytest.raises(RequestFailed) as failure:
        first.result()
    assert (failure.value.code, failure.value.text, failure.value.retry_after) == ("rate-limited", "slow down", 1.5)


def test_a_request_without_an_answer_times_out():
    driver = Driver()
    driver.open()
    request = driver.ask(requests.sign_in("Ann"))
    driver.wait(15)
    with pytest.raises(RequestTimedOut):
        request.result()
    driver.says("players/sign-in", ref=request.ref, status="success")  # too late: nobody is told
    assert driver.told == [Connected("2.4.0")]


def test_the_end_of_a_list_is_marked_by_the_answer_to_a_second_request():
    driver = Driver()
    driver.open()
    request = driver.ask(requests.players_status())
    first, second = driver.sent("players/status")
    assert "payload" not in first and second["payload"] == {"game": "Grapevine"}
    for game in ("One", "Two", "Grapevine"):
        driver.says("players/status", {"game": game, "players": [game]}, ref=first["ref"])
    assert not request.is_done
    driver.says("players/status", {"game": "Grapevine", "players": []}, ref=second["ref"])
    assert [status.game for status in request.result()] == ["One", "Two", "Grapevine"]


def test_the_end_of_a_list_of_an_older_server_is_silence():
    driver = Driver(quiet_seconds=1.0)
    driver.open("2.3.0")
    request = driver.ask(requests.games_status())
    (sent,) = driver.sent("games/status")
    driver.says("games/status", {"game": "One", "player_online_count": 3, "user_agent_repo_url": "x"}, ref=sent["ref"])
    driver.wait(0.9)
    driver.says("games/status", {"game": "Two", "news": 1}, ref=sent["ref"])
    driver.wait(0.9)
    assert not request.is_done
    driver.wait(0.2)
    one, two = request.result()
    assert (one.players_online_count, one.user_agent_url, one.extra) == (3, "x", {})
    assert two.extra == {"news": 1}
    none = driver.ask(requests.players_status())
    driver.wait(2.0)
    assert none.result() == []


def test_what_is_not_queued_fails_at_once_without_a_connection():
    driver = Driver()
    request = driver.ask(requests.players_status())
    with pytest.raises(NotConnected):
        request.result()


# Sends while away


def test_sends_wait_and_go_out_in_order_one_at_a_time():
    driver = Driver()
    waiting = [driver.ask(requests.send("gossip", "Ann", str(number))) for number in range(3)]
    driver.open()
    order = []
    while frames := driver.sent("channels/send"):
        (frame,) = frames
        order.append(frame["payload"]["message"])
        driver.says("channels/send", ref=frame["ref"], status="success")
    assert order == ["0", "1", "2"] and all(request.is_done and request.error is None for request in waiting)


def test_a_rate_limit_is_waited_out():
    driver = Driver()
    request = driver.ask(requests.send("gossip", "Ann", "hello"))
    driver.open()
    (frame,) = driver.sent("channels/send")
    driver.says("channels/send", ref=frame["ref"], status="failure", error="x", code="rate-limited", retry_after_ms=500)
    assert not request.is_done and driver.core.wakes_at() == driver.now + 0.5
    driver.wait(0.5)
    (frame,) = driver.sent("channels/send")
    driver.says("channels/send", ref=frame["ref"], status="success")
    assert request.result() is None


@pytest.mark.parametrize("retry_after", ["1e300", "-1", "1" * 400, "true", '"soon"'])
def test_a_rate_limit_whose_time_makes_no_sense_is_a_failure(retry_after):
    driver = Driver()
    request = driver.ask(requests.send("gossip", "Ann", "hello"))
    driver.open()
    (frame,) = driver.sent("channels/send")
    driver.core.received(
        f'{{"event": "channels/send", "ref": "{frame["ref"]}", "status": "failure", "error": "x", '
        f'"code": "rate-limited", "retry_after_ms": {retry_after}}}',
        driver.now,
    )
    with pytest.raises(RequestFailed) as failure:
        request.result()
    assert failure.value.retry_after is None


@pytest.mark.parametrize("version", ["9" * 5000, "two", "", "2.x", "2²"])
def test_a_version_that_makes_no_sense_lets_it_in(version):
    driver = Driver(channels=["gossip"])
    driver.open(version)
    assert driver.core.is_ready and not driver.core.has_history


def test_the_queue_is_bounded_and_says_what_it_dropped():
    driver = Driver(queue_limit=2, queue_seconds=60.0)
    first, second, third = (driver.ask(requests.send("gossip", "Ann", text)) for text in "abc")
    with pytest.raises(Dropped) as dropped:
        first.result()
    assert dropped.value.reason == "queue-full" and not second.is_done
    driver.wait(60)
    assert [request.error.reason for request in (second, third)] == ["too-old", "too-old"]
    told = [(event.payload["message"], event.reason) for event in driver.events(SendDropped)]
    assert told == [("a", "queue-full"), ("b", "too-old"), ("c", "too-old")]


def test_a_send_whose_answer_was_lost_is_not_repeated():
    driver = Driver()
    driver.open()
    request = driver.ask(requests.send("gossip", "Ann", "hello"))
    driver.lose()
    assert isinstance(request.error, Dropped) and request.error.reason == "connection-lost"
    driver.open()
    assert driver.sent("channels/send") == []
    assert driver.events(SendDropped)[0].reason == "connection-lost"


def test_closing_drops_what_waits():
    driver = Driver()
    request = driver.ask(requests.send("gossip", "Ann", "hello"))
    driver.core.shut()
    assert isinstance(request.error, Dropped) and request.error.reason == "closed"
    assert driver.core.reconnect_at is None


# The view


def test_the_view_follows_notices_and_answers():
    driver = Driver(supports=["players", "games"], keeps_view=True)
    driver.open()
    games, _, players, _ = frames = driver.sent()
    driver.says("games/status", {"game": "One", "display_name": "The One"}, ref=games["ref"])
    driver.says("players/status", {"game": "One", "players": ["Ann"]}, ref=players["ref"])
    for sentinel in frames[1::2]:
        driver.says(sentinel["event"], {"game": "Grapevine", "players": []}, ref=sentinel["ref"])
    view = driver.core.view
    assert [game.display_name for game in view.games()] == ["The One"] and view.everyone() == {"One": ["Ann"]}
    driver.says("players/sign-in", {"game": "one", "name": "Bob"}, ref="x")
    driver.says("games/connect", {"game": "Two"}, ref="y")
    asked = driver.sent()
    assert [(frame["event"], frame["payload"]) for frame in asked] == [
        ("games/status", {"game": "Two"}),
        ("players/status", {"game": "Two"}),
    ]
    driver.says("games/status", {"game": "Two", "display_name": "The Two"}, ref=asked[0]["ref"], status="success")
    driver.says("players/sign-out", {"game": "One", "name": "ANN"}, ref="z")
    assert view.players("ONE") == ["Bob"] and view.is_online("One", "bob") and not view.is_online("One", "Ann")
    assert [game.display_name for game in view.games()] == ["The One", "The Two"]
    driver.says("games/disconnect", {"game": "One"}, ref="w")
    assert not view.is_online("One") and view.game("two") is not None
    driver.lose()
    assert view.games() == [] and view.everyone() == {}


def test_everyone_is_asked_for_again_now_and_then():
    driver = Driver(supports=["players"], keeps_view=True, silence_seconds=1e6)
    driver.open()
    driver.sent()
    driver.wait(301)
    assert len(driver.sent("players/status")) == 2


# Events


def test_events_are_typed():
    driver = Driver()
    driver.open("2.3.0")
    driver.told.clear()
    tell = {"from_game": "A", "from_name": "b", "to_name": "c", "message": "d", "sent_at": "2026-11-23T06:15:44.5Z"}
    driver.says("tells/receive", tell, ref="1")
    driver.says("games/connect", {"game": "A"}, ref="2")
    driver.says("error", ref="3", status="failure", error="not JSON", code="not-json")
    driver.says("moderation/pause", {"channel": "gossip"}, ref="4")
    driver.says("sync/games", {"games": [{"id": 1}], "deleted": [2], "cursor": 3}, ref="5")
    driver.says("sync/complete", {"cursor": 3, "counts": {"games": 1}, "digests": {}, "reset": True}, ref="6")
    received, connected, error, unknown, records, complete = driver.told
    assert isinstance(received, TellReceived) and received.sent_at.microsecond == 500_000
    assert connected == GameConnected("A") and error == ErrorReported("not JSON", "not-json")
    assert unknown == UnknownEvent("moderation/pause", {"channel": "gossip"}, "4")
    assert records == SyncRecords("games", [{"id": 1}], [2], 3, "5")
    assert complete == SyncComplete(3, {"games": 1}, {}, True, "6")


def test_a_sync_ends_with_its_complete():
    driver = Driver()
    driver.open()
    request = driver.ask(requests.sync(7))
    driver.says("sync/games", {"games": []}, ref=request.ref)
    assert not request.is_done
    driver.says("sync/complete", {"cursor": 9, "counts": {}, "digests": {}}, ref=request.ref)
    assert request.result().cursor == 9 and len(driver.events(SyncRecords)) == 1


def test_a_closed_client_hears_nothing_more():
    driver = Driver(channels=["gossip"])
    driver.open()
    driver.core.shut()
    driver.told += driver.core.events()
    driver.says("channels/broadcast", broadcast(1))
    driver.says("heartbeat")
    assert isinstance(driver.told[-1], Disconnected) and driver.sent("heartbeat") == []


def test_a_list_that_is_never_ended_leaves_nothing_behind():
    driver = Driver(supports=["players"])
    driver.open()
    for _ in range(3):
        driver.ask(requests.players_status())
        driver.wait(20)
        driver.says("heartbeat")
    assert not driver.core._pending._end_marks


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
def test_no_frame_breaks_it(frames):
    """Whatever a server sends, the core neither raises nor stops to answer heartbeats."""
    driver = Driver(supports=["players", "games"], keeps_view=True, channels=["gossip"])
    driver.core.opened(driver.now)
    for event, payload, ref, status in frames:
        frame = {"event": event, "payload": payload, "ref": ref, "status": status}
        driver.core.received(json.dumps(frame), driver.now)
    driver.wait(5)
    driver.sent()
    driver.says("heartbeat")
    assert driver.sent("heartbeat") == [{"event": "heartbeat"}]


def test_a_backoff_never_waits_for_nothing():
    backoff, rng = Backoff(), random.Random(2)
    assert all(0.5 <= backoff.lost(rng) <= 60 for _ in range(100))
    assert all(30 <= backoff.refused(rng) <= 720 for _ in range(100))


def test_a_list_that_breaks_off_is_a_failure():
    """The server marks the end, and it did not come: what is there is not everyone, and the view keeps what it had."""
    driver = Driver(supports=["players"], keeps_view=True, silence_seconds=1e6)
    driver.open()
    first, sentinel = driver.sent("players/status")
    driver.says("players/status", {"game": "One", "players": ["Ann"]}, ref=first["ref"])
    driver.says("players/status", {"game": "Grapevine", "players": []}, ref=sentinel["ref"])
    driver.wait(301)
    assert len(driver.sent("players/status")) == 2
    request = driver.ask(requests.players_status())
    driver.wait(10)
    driver.says("players/status", {"game": "Two", "players": []}, ref=request.ref)
    driver.wait(10)
    assert not request.is_done  # they are still coming
    driver.wait(5)
    with pytest.raises(RequestTimedOut):
        request.result()
    assert driver.core.view.everyone() == {"One": ["Ann"]}


def test_whatever_waits_for_a_turn_keeps_the_reading_going():
    """A handler that waits for it would else wait for ever, where the reader waits for the handler to take events."""
    driver = Driver()
    driver.ask(requests.send("gossip", "Ann", "hello"))
    driver.open()
    (frame,) = driver.sent("channels/send")
    driver.says("channels/send", ref=frame["ref"], status="failure", error="x", code="rate-limited", retry_after_ms=500)
    assert driver.core.is_waiting


def test_a_channel_wanted_while_away_and_refused_is_told():
    """Whoever subscribed had no answer to wait for."""
    driver = Driver()
    driver.core.opened(driver.now)
    driver.ask(requests.subscribe("bad name"))
    driver.sent()
    driver.says("authenticate", {"version": "2.3.0"}, status="success")
    (frame,) = driver.sent("channels/subscribe")
    failure = "Could not subscribe to 'bad name'"
    driver.says("channels/subscribe", ref=frame["ref"], status="failure", error=failure, code="channel-refused")
    assert driver.events(ErrorReported) == [ErrorReported(failure, "channel-refused")]
    assert driver.core.channels == []
