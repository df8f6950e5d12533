"""The channels a client subscribes to, over several connections; with the core alone."""

from __future__ import annotations

import pytest
from driver import Driver
from gossip_client import (
    ErrorReported,
    RequestFailed,
    requests,
)


def test_subscriptions_made_during_the_authentication_are_sent_after_it():
    """`authenticate` named the channels; the client sends what has changed since."""
    driver = Driver(channels=["gossip"], fills_gaps=False)
    driver.core.opened(driver.now)
    assert driver.sent("authenticate")[0]["payload"]["channels"] == ["gossip"]
    subscription, unsubscription = driver.ask(requests.subscribe("testing")), driver.ask(requests.unsubscribe("GOSSIP"))
    driver.server_sends("authenticate", {"version": "2.4.0"}, status="success")
    sent = {frame["event"]: frame["payload"]["channel"] for frame in driver.sent()}
    assert sent == {"channels/subscribe": "testing", "channels/unsubscribe": "gossip"}
    assert subscription.is_done and unsubscription.is_done and driver.core.channels == ["testing"]


def test_an_unanswered_subscription_is_repeated_at_the_next_connection():
    driver = Driver()
    driver.open()
    request = driver.ask(requests.subscribe("testing"))
    driver.lose()
    assert request.is_done and request.error is None
    assert driver.open()["payload"]["channels"] == ["testing"]


def test_a_reconnect_names_the_current_channels():
    driver = Driver(channels=["gossip", "testing"])
    driver.open("2.3.0")
    driver.ask(requests.unsubscribe("GOSSIP"))
    new = driver.ask(requests.subscribe("moria"))
    driver.server_sends("channels/subscribe", ref=new.ref, status="success")
    bad = driver.ask(requests.subscribe("bad name"))
    driver.server_sends("channels/subscribe", ref=bad.ref, status="failure", error="Could not subscribe to 'bad name'")
    with pytest.raises(RequestFailed) as failure:
        bad.result()
    assert failure.value.code == "channel-refused"
    driver.lose()
    away = driver.ask(requests.subscribe("away"))
    assert away.is_done and away.error is None
    assert driver.open()["payload"]["channels"] == ["testing", "moria", "away"]


def test_a_refused_subscription_without_a_caller_is_reported():
    """The caller did not wait for the answer."""
    driver = Driver()
    driver.core.opened(driver.now)
    driver.ask(requests.subscribe("bad name"))
    driver.sent()
    driver.server_sends("authenticate", {"version": "2.3.0"}, status="success")
    (frame,) = driver.sent("channels/subscribe")
    failure = "Could not subscribe to 'bad name'"
    driver.server_sends("channels/subscribe", ref=frame["ref"], status="failure", error=failure, code="channel-refused")
    assert driver.events(ErrorReported) == [ErrorReported(failure, "channel-refused")]
    assert driver.core.channels == []
