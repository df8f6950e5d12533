"""Requests and their answers; with the core alone."""

from __future__ import annotations

import pytest
from driver import Driver
from gossip_client import (
    Connected,
    NotConnected,
    RequestFailed,
    RequestTimedOut,
    SyncRecords,
    requests,
)


def test_answers_are_matched_by_ref():
    driver = Driver()
    driver.open()
    first, second = driver.ask(requests.sign_in("Ann")), driver.ask(requests.sign_in("Bob"))
    driver.server_sends("players/sign-in", ref=second.ref, status="success")
    assert second.is_done and not first.is_done
    driver.server_sends(
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
    driver.server_sends("players/sign-in", ref=request.ref, status="success")  # too late: no event
    assert driver.received == [Connected("2.4.0")]


def test_a_list_ends_with_the_answer_to_a_second_request():
    driver = Driver()
    driver.open()
    request = driver.ask(requests.players_status())
    first, second = driver.sent("players/status")
    assert "payload" not in first and second["payload"] == {"game": "Grapevine"}
    for game in ("One", "Two", "Grapevine"):
        driver.server_sends("players/status", {"game": game, "players": [game]}, ref=first["ref"])
    assert not request.is_done
    driver.server_sends("players/status", {"game": "Grapevine", "players": []}, ref=second["ref"])
    assert [status.game for status in request.result()] == ["One", "Two", "Grapevine"]


def test_a_list_of_an_older_server_ends_with_silence():
    driver = Driver(quiet_seconds=1.0)
    driver.open("2.3.0")
    request = driver.ask(requests.games_status())
    (sent,) = driver.sent("games/status")
    driver.server_sends(
        "games/status", {"game": "One", "player_online_count": 3, "user_agent_repo_url": "x"}, ref=sent["ref"]
    )
    driver.wait(0.9)
    driver.server_sends("games/status", {"game": "Two", "news": 1}, ref=sent["ref"])
    driver.wait(0.9)
    assert not request.is_done
    driver.wait(0.2)
    one, two = request.result()
    assert (one.players_online_count, one.user_agent_url, one.extra) == (3, "x", {})
    assert two.extra == {"news": 1}
    none = driver.ask(requests.players_status())
    driver.wait(2.0)
    assert none.result() == []


def test_requests_without_a_connection_fail_at_once():
    driver = Driver()
    request = driver.ask(requests.players_status())
    with pytest.raises(NotConnected):
        request.result()


def test_a_list_that_never_ends_is_forgotten():
    driver = Driver(supports=["players"])
    driver.open()
    for _ in range(3):
        driver.ask(requests.players_status())
        driver.wait(20)
        driver.server_sends("heartbeat")
    assert not driver.core._pending._end_marks


def test_an_incomplete_list_is_a_failure():
    """The list is incomplete if its end mark does not arrive; the view then keeps what it had."""
    driver = Driver(supports=["players"], keeps_view=True, silence_seconds=1e6)
    driver.open()
    first, sentinel = driver.sent("players/status")
    driver.server_sends("players/status", {"game": "One", "players": ["Ann"]}, ref=first["ref"])
    driver.server_sends("players/status", {"game": "Grapevine", "players": []}, ref=sentinel["ref"])
    driver.wait(301)
    assert len(driver.sent("players/status")) == 2
    request = driver.ask(requests.players_status())
    driver.wait(10)
    driver.server_sends("players/status", {"game": "Two", "players": []}, ref=request.ref)
    driver.wait(10)
    assert not request.is_done  # they are still coming
    driver.wait(5)
    with pytest.raises(RequestTimedOut):
        request.result()
    assert driver.core.view.everyone() == {"One": ["Ann"]}


def test_a_sync_ends_with_sync_complete():
    driver = Driver()
    driver.open()
    request = driver.ask(requests.sync(7))
    driver.server_sends("sync/games", {"games": []}, ref=request.ref)
    assert not request.is_done
    driver.server_sends("sync/complete", {"cursor": 9, "counts": {}, "digests": {}}, ref=request.ref)
    assert request.result().cursor == 9 and len(driver.events(SyncRecords)) == 1
