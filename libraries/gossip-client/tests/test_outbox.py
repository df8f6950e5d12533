"""Sends that wait for the connection. Tests the core alone."""

from __future__ import annotations

import pytest
from driver import Driver
from gossip_client import (
    Dropped,
    RequestFailed,
    SendDropped,
    requests,
)


def test_queued_sends_go_out_in_order_one_at_a_time():
    driver = Driver()
    waiting = [driver.ask(requests.send("gossip", "Ann", str(number))) for number in range(3)]
    driver.open()
    order = []
    while frames := driver.sent("channels/send"):
        (frame,) = frames
        order.append(frame["payload"]["message"])
        driver.server_sends("channels/send", ref=frame["ref"], status="success")
    assert order == ["0", "1", "2"] and all(request.is_done and request.error is None for request in waiting)


def test_a_rate_limited_send_is_repeated_after_the_wait():
    driver = Driver()
    request = driver.ask(requests.send("gossip", "Ann", "hello"))
    driver.open()
    (frame,) = driver.sent("channels/send")
    driver.server_sends(
        "channels/send", ref=frame["ref"], status="failure", error="x", code="rate-limited", retry_after_ms=500
    )
    assert not request.is_done and driver.core.wakes_at() == driver.now + 0.5
    driver.wait(0.5)
    (frame,) = driver.sent("channels/send")
    driver.server_sends("channels/send", ref=frame["ref"], status="success")
    assert request.result() is None


@pytest.mark.parametrize("retry_after", ["1e300", "-1", "1" * 400, "true", '"soon"'])
def test_a_rate_limit_with_an_absurd_wait_is_a_failure(retry_after):
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


def test_the_queue_is_bounded_and_reports_what_it_drops():
    driver = Driver(queue_limit=2, queue_seconds=60.0)
    first, second, third = (driver.ask(requests.send("gossip", "Ann", text)) for text in "abc")
    with pytest.raises(Dropped) as dropped:
        first.result()
    assert dropped.value.reason == "queue-full" and not second.is_done
    driver.wait(60)
    assert [request.error.reason for request in (second, third)] == ["too-old", "too-old"]
    dropped_events = [(event.payload["message"], event.reason) for event in driver.events(SendDropped)]
    assert dropped_events == [("a", "queue-full"), ("b", "too-old"), ("c", "too-old")]


def test_a_send_whose_answer_was_lost_is_not_repeated():
    driver = Driver()
    driver.open()
    request = driver.ask(requests.send("gossip", "Ann", "hello"))
    driver.lose()
    assert isinstance(request.error, Dropped) and request.error.reason == "connection-lost"
    driver.open()
    assert driver.sent("channels/send") == []
    assert driver.events(SendDropped)[0].reason == "connection-lost"


def test_closing_drops_queued_sends():
    driver = Driver()
    request = driver.ask(requests.send("gossip", "Ann", "hello"))
    driver.core.shut()
    assert isinstance(request.error, Dropped) and request.error.reason == "closed"
    assert driver.core.reconnect_at is None


def test_a_queued_send_keeps_the_reader_going():
    """A handler may wait for it while the reader waits for that handler to take events."""
    driver = Driver()
    driver.ask(requests.send("gossip", "Ann", "hello"))
    driver.open()
    (frame,) = driver.sent("channels/send")
    driver.server_sends(
        "channels/send", ref=frame["ref"], status="failure", error="x", code="rate-limited", retry_after_ms=500
    )
    assert driver.core.is_waiting
