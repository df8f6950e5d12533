"""What was missed while away, read from the history; with the core alone."""

from __future__ import annotations

from typing import Any

import pytest
from driver import Driver, broadcast, said
from gossip_client import ChannelMessage, GapRemains, requests
from hypothesis import given, settings
from hypothesis import strategies as st


def begin_with_history(**config: Any) -> Driver:
    """A client that has heard message 10, and whose connection went."""
    driver = Driver(channels=["gossip"], **config)
    driver.open()
    (frame,) = driver.sent("channels/history")
    assert frame["payload"] == {"channel": "gossip", "limit": 1}
    driver.says("channels/history", {"channel": "gossip", "messages": [said(9)], "more": True}, ref=frame["ref"])
    driver.says("channels/broadcast", broadcast(10))
    driver.lose()
    driver.told.clear()
    return driver


def test_a_gap_is_filled_from_the_history_before_what_is_said_now():
    driver = begin_with_history()
    waiting = driver.ask(requests.send("gossip", "Me", "back"))
    driver.open()
    (frame,) = driver.sent()
    assert frame["event"] == "channels/history" and frame["payload"] == {"channel": "gossip", "limit": 100, "after": 9}
    driver.says("channels/broadcast", broadcast(13))
    page = {"channel": "gossip", "messages": [said(10), said(11), said(12), said(13)], "more": False}
    driver.says("channels/history", page, ref=frame["ref"])
    heard = [(event.id, event.is_missed) for event in driver.events(ChannelMessage)]
    assert heard == [(11, True), (12, True), (13, True)]
    assert not waiting.is_done and len(driver.sent("channels/send")) == 1


def test_pages_are_read_until_the_end_or_the_limit():
    driver = begin_with_history(history_pages=2)
    driver.open()
    for start in (11, 111):
        (frame,) = driver.sent("channels/history")
        assert frame["payload"]["after"] == (9 if start == 11 else 110)
        messages = [said(number) for number in range(start, start + 100)]
        driver.says("channels/history", {"channel": "gossip", "messages": messages, "more": True}, ref=frame["ref"])
    assert driver.sent("channels/history") == []
    assert driver.events(GapRemains) == [GapRemains("gossip", 210)]
    assert len(driver.events(ChannelMessage)) == 200


def test_one_s_own_lines_are_not_missed_ones():
    driver = begin_with_history()
    driver.open()
    (frame,) = driver.sent("channels/history")
    driver.says("channels/history", {"channel": "gossip", "messages": [], "more": False}, ref=frame["ref"])
    mine = driver.ask(requests.send("gossip", "Me", "my line"))
    driver.says("channels/send", ref=mine.ref, status="success")
    driver.lose()
    driver.open()
    (frame,) = driver.sent("channels/history")
    page = [said(11, game="Mine", name="Me", message="my line"), said(12)]
    driver.says("channels/history", {"channel": "gossip", "messages": page, "more": False}, ref=frame["ref"])
    assert [event.id for event in driver.events(ChannelMessage)] == [12]


def test_a_gap_that_was_not_closed_is_read_the_next_time():
    driver = begin_with_history()
    driver.open()
    driver.says("channels/broadcast", broadcast(20))
    driver.lose()
    driver.open()
    (*_, frame) = driver.sent("channels/history")
    assert frame["payload"]["after"] == 9
    page = [said(number) for number in (11, 20)]
    driver.says("channels/history", {"channel": "gossip", "messages": page, "more": False}, ref=frame["ref"])
    assert [event.id for event in driver.events(ChannelMessage)] == [11, 20]


@pytest.mark.parametrize("answer", ["failure", "silence"])
def test_a_gap_that_could_not_be_read_is_told(answer):
    """The server refuses the history, or does not answer: what was held is told, and that something lacks."""
    driver = begin_with_history()
    driver.open()
    (frame,) = driver.sent("channels/history")
    driver.says("channels/broadcast", broadcast(20))
    if answer == "failure":
        driver.says("channels/history", ref=frame["ref"], status="failure", error="internal error", code="internal")
    else:
        driver.wait(15)
    assert [event.id for event in driver.events(ChannelMessage)] == [20]
    assert driver.events(GapRemains) == [GapRemains("gossip", 9)]


def test_a_rate_limit_on_the_history_is_waited_out():
    driver = begin_with_history()
    driver.open()
    (frame,) = driver.sent("channels/history")
    driver.says(
        "channels/history",
        ref=frame["ref"],
        status="failure",
        error="rate limit exceeded",
        code="rate-limited",
        retry_after_ms=2000,
    )
    driver.says("channels/broadcast", broadcast(12))
    assert driver.sent("channels/history") == [] and driver.core.wakes_at() == driver.now + 2
    driver.wait(2)
    (frame,) = driver.sent("channels/history")
    driver.says("channels/history", {"channel": "gossip", "messages": [said(11)], "more": False}, ref=frame["ref"])
    assert [event.id for event in driver.events(ChannelMessage)] == [11, 12]
    assert driver.events(GapRemains) == []


@pytest.mark.parametrize("ends", ["page", "drop"])
def test_a_channel_left_while_its_gap_is_filled_holds_nothing_up(ends):
    """Sends wait for the gaps to be filled: a gap that nobody wants filled any more must not keep them for ever."""
    driver = begin_with_history()
    driver.open()
    (frame,) = driver.sent("channels/history")
    driver.ask(requests.unsubscribe("gossip"))
    if ends == "page":
        page = {"channel": "gossip", "messages": [said(11)], "more": True}
        driver.says("channels/history", page, ref=frame["ref"])
    else:
        driver.lose()
        driver.open()
    driver.sent()
    driver.ask(requests.send("other", "Me", "hello"))
    assert len(driver.sent("channels/send")) == 1
    assert driver.events(ChannelMessage) == [] and driver.events(GapRemains) == []


@pytest.mark.parametrize("messages", [["text"], "text", [None], 5, [{"id": 1}]])
def test_a_history_that_cannot_be_read_holds_nothing_up(messages):
    driver = begin_with_history()
    driver.open()
    (frame,) = driver.sent("channels/history")
    page = {"channel": "gossip", "messages": messages, "more": False}
    driver.says("channels/history", page, ref=frame["ref"])
    assert driver.events(GapRemains) == [GapRemains("gossip", 9)]
    driver.ask(requests.send("gossip", "Me", "hello"))
    assert len(driver.sent("channels/send")) == 1


def test_older_servers_are_asked_for_no_history():
    driver = Driver(channels=["gossip"])
    driver.open("2.3.0")
    driver.lose()
    driver.open("2.3.0")
    assert driver.sent() == []


@settings(deadline=None)
@given(st.data())
def test_no_message_is_lost_or_told_twice(data):
    """Whatever comes in whatever order over several drops: each of the history is told once, as long as it lasts."""
    driver = Driver(channels=["gossip"])
    driver.open()
    (frame,) = driver.sent("channels/history")
    driver.says("channels/history", {"channel": "gossip", "messages": [], "more": False}, ref=frame["ref"])
    history: list[int] = []
    is_open = True
    pending: list[dict[str, Any]] = []
    for _ in range(data.draw(st.integers(1, 30))):
        act = data.draw(st.sampled_from(["say", "say", "drop", "answer"]))
        if act == "say":
            history.append(len(history) + 1)
            if is_open:
                driver.says("channels/broadcast", broadcast(history[-1]))
        elif act == "drop":
            if is_open:
                driver.lose()
            pending.clear()
            driver.open()
            is_open = data.draw(st.booleans())
            pending += driver.sent("channels/history")
            if not is_open:
                driver.lose()
                pending.clear()
                driver.core.frames()
        elif pending:
            answer(driver, pending.pop(0), history)
            pending += driver.sent("channels/history")
    if not is_open:
        driver.open()
        pending += driver.sent("channels/history")
    while pending:
        answer(driver, pending.pop(0), history)
        pending += driver.sent("channels/history")
    heard = [event.id for event in driver.events(ChannelMessage)]
    assert heard == history


def answer(driver: Driver, frame: dict[str, Any], history: list[int]) -> None:
    after = frame["payload"].get("after", 0)
    found = [number for number in history if number > after]
    messages = [said(number) for number in found[:100]]
    payload = {"channel": "gossip", "messages": messages, "more": len(found) > 100}
    driver.says("channels/history", payload, ref=frame["ref"])
