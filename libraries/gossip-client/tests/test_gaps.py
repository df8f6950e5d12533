"""Messages missed without a connection are read from the history; with the core alone."""

from __future__ import annotations

from typing import Any

import pytest
from driver import Driver, broadcast, history_line
from gossip_client import ChannelMessage, GapRemains, requests
from hypothesis import given, settings
from hypothesis import strategies as st


def begin_with_history(**config: Any) -> Driver:
    """Return a client that received message 10 and then lost its connection."""
    driver = Driver(channels=["gossip"], **config)
    driver.open()
    (frame,) = driver.sent("channels/history")
    assert frame["payload"] == {"channel": "gossip", "limit": 1}
    driver.server_sends(
        "channels/history", {"channel": "gossip", "messages": [history_line(9)], "more": True}, ref=frame["ref"]
    )
    driver.server_sends("channels/broadcast", broadcast(10))
    driver.lose()
    driver.received.clear()
    return driver


def test_missed_messages_are_delivered_before_new_ones():
    driver = begin_with_history()
    waiting = driver.ask(requests.send("gossip", "Me", "back"))
    driver.open()
    (frame,) = driver.sent()
    assert frame["event"] == "channels/history" and frame["payload"] == {"channel": "gossip", "limit": 100, "after": 9}
    driver.server_sends("channels/broadcast", broadcast(13))
    page = {
        "channel": "gossip",
        "messages": [history_line(10), history_line(11), history_line(12), history_line(13)],
        "more": False,
    }
    driver.server_sends("channels/history", page, ref=frame["ref"])
    messages = [(event.id, event.is_missed) for event in driver.events(ChannelMessage)]
    assert messages == [(11, True), (12, True), (13, True)]
    assert not waiting.is_done and len(driver.sent("channels/send")) == 1


def test_the_history_is_read_up_to_the_page_limit():
    driver = begin_with_history(history_pages=2)
    driver.open()
    for start in (11, 111):
        (frame,) = driver.sent("channels/history")
        assert frame["payload"]["after"] == (9 if start == 11 else 110)
        messages = [history_line(number) for number in range(start, start + 100)]
        driver.server_sends(
            "channels/history", {"channel": "gossip", "messages": messages, "more": True}, ref=frame["ref"]
        )
    assert driver.sent("channels/history") == []
    assert driver.events(GapRemains) == [GapRemains("gossip", 210)]
    assert len(driver.events(ChannelMessage)) == 200


def test_pages_that_the_server_cuts_do_not_shorten_what_is_read():
    """The server cuts pages of long lines."""
    driver = begin_with_history(history_pages=1)
    driver.open()
    for start in range(11, 111, 20):
        (frame,) = driver.sent("channels/history")
        messages = [history_line(number) for number in range(start, start + 20)]
        page = {"channel": "gossip", "messages": messages, "more": start < 91}
        driver.server_sends("channels/history", page, ref=frame["ref"])
    assert driver.events(GapRemains) == []
    assert [event.id for event in driver.events(ChannelMessage)] == list(range(11, 111))


def test_the_client_s_own_lines_are_not_delivered():
    driver = begin_with_history()
    driver.open()
    (frame,) = driver.sent("channels/history")
    driver.server_sends("channels/history", {"channel": "gossip", "messages": [], "more": False}, ref=frame["ref"])
    mine = driver.ask(requests.send("gossip", "Me", "my line"))
    driver.server_sends("channels/send", ref=mine.ref, status="success")
    driver.lose()
    driver.open()
    (frame,) = driver.sent("channels/history")
    page = [history_line(11, game="Mine", name="Me", message="my line"), history_line(12)]
    driver.server_sends("channels/history", {"channel": "gossip", "messages": page, "more": False}, ref=frame["ref"])
    assert [event.id for event in driver.events(ChannelMessage)] == [12]


def test_an_unfinished_gap_is_read_at_the_next_connection():
    driver = begin_with_history()
    driver.open()
    driver.server_sends("channels/broadcast", broadcast(20))
    driver.lose()
    driver.open()
    (*_, frame) = driver.sent("channels/history")
    assert frame["payload"]["after"] == 9
    page = [history_line(number) for number in (11, 20)]
    driver.server_sends("channels/history", {"channel": "gossip", "messages": page, "more": False}, ref=frame["ref"])
    assert [event.id for event in driver.events(ChannelMessage)] == [11, 20]


@pytest.mark.parametrize("answer", ["failure", "silence"])
def test_a_gap_that_cannot_be_read_is_reported(answer):
    """The server refuses the history, or does not answer: the client delivers the held messages and reports the gap."""
    driver = begin_with_history()
    driver.open()
    (frame,) = driver.sent("channels/history")
    driver.server_sends("channels/broadcast", broadcast(20))
    if answer == "failure":
        driver.server_sends(
            "channels/history", ref=frame["ref"], status="failure", error="internal error", code="internal"
        )
    else:
        driver.wait(15)
    assert [event.id for event in driver.events(ChannelMessage)] == [20]
    assert driver.events(GapRemains) == [GapRemains("gossip", 9)]


def test_a_rate_limited_read_of_the_history_is_repeated():
    driver = begin_with_history()
    driver.open()
    (frame,) = driver.sent("channels/history")
    driver.server_sends(
        "channels/history",
        ref=frame["ref"],
        status="failure",
        error="rate limit exceeded",
        code="rate-limited",
        retry_after_ms=2000,
    )
    driver.server_sends("channels/broadcast", broadcast(12))
    assert driver.sent("channels/history") == [] and driver.core.wakes_at() == driver.now + 2
    driver.wait(2)
    (frame,) = driver.sent("channels/history")
    driver.server_sends(
        "channels/history", {"channel": "gossip", "messages": [history_line(11)], "more": False}, ref=frame["ref"]
    )
    assert [event.id for event in driver.events(ChannelMessage)] == [11, 12]
    assert driver.events(GapRemains) == []


@pytest.mark.parametrize("ends", ["page", "drop"])
def test_unsubscribing_ends_the_filling_of_a_gap(ends):
    """Sends wait until all gaps are filled, so an abandoned gap must not block them forever."""
    driver = begin_with_history()
    driver.open()
    (frame,) = driver.sent("channels/history")
    driver.ask(requests.unsubscribe("gossip"))
    if ends == "page":
        page = {"channel": "gossip", "messages": [history_line(11)], "more": True}
        driver.server_sends("channels/history", page, ref=frame["ref"])
    else:
        driver.lose()
        driver.open()
    driver.sent()
    driver.ask(requests.send("other", "Me", "hello"))
    assert len(driver.sent("channels/send")) == 1
    assert driver.events(ChannelMessage) == [] and driver.events(GapRemains) == []


@pytest.mark.parametrize("messages", [["text"], "text", [None], 5, [{"id": 1}]])
def test_a_malformed_history_does_not_block_sends(messages):
    driver = begin_with_history()
    driver.open()
    (frame,) = driver.sent("channels/history")
    page = {"channel": "gossip", "messages": messages, "more": False}
    driver.server_sends("channels/history", page, ref=frame["ref"])
    assert driver.events(GapRemains) == [GapRemains("gossip", 9)]
    driver.ask(requests.send("gossip", "Me", "hello"))
    assert len(driver.sent("channels/send")) == 1


def test_lines_of_another_worker_that_were_held_up_are_not_skipped():
    """The client's worker hears its own sockets, but not the other worker's. Then it dies, 8 seconds later.

    At 40 lines a second the lost lines are far behind the newest id, with many known ids in between.
    """
    driver = begin_with_history()
    driver.open()
    answer_all(driver, history := list(range(1, 11)))
    driver.received.clear()
    for number in range(11, 3_011):  # 75 seconds, of which the last 8 without the other worker
        driver.now += 0.025
        history.append(number)
        if number % 2 or number < 2_690:
            driver.server_sends("channels/broadcast", broadcast(number))
    driver.lose()
    driver.open()
    answer_all(driver, history)
    messages = [event.id for event in driver.events(ChannelMessage)]
    assert sorted(messages) == list(range(11, 3_011))
    assert [event.id for event in driver.events(ChannelMessage) if event.is_missed] == list(range(2_690, 3_011, 2))
    assert driver.events(GapRemains) == []


def test_only_the_last_minute_is_read_again():
    driver = begin_with_history()
    driver.open()
    answer_all(driver, history := list(range(1, 11)))
    for number in range(11, 311):
        driver.now += 1
        history.append(number)
        driver.server_sends("channels/broadcast", broadcast(number))
    driver.lose()
    driver.open()
    (frame,) = driver.sent("channels/history")
    assert 245 <= frame["payload"]["after"] <= 250


def answer_all(driver: Driver, history: list[int]) -> None:
    while pending := driver.sent("channels/history"):
        for frame in pending:
            answer(driver, frame, history)


def test_older_servers_are_not_asked_for_history():
    driver = Driver(channels=["gossip"])
    driver.open("2.3.0")
    driver.lose()
    driver.open("2.3.0")
    assert driver.sent() == []


@settings(deadline=None)
@given(st.data())
def test_every_message_is_delivered_once(data):
    """Whatever happens in whatever order over several connections, each message is delivered exactly once."""
    driver = Driver(channels=["gossip"])
    driver.open()
    (frame,) = driver.sent("channels/history")
    driver.server_sends("channels/history", {"channel": "gossip", "messages": [], "more": False}, ref=frame["ref"])
    history: list[int] = []
    is_open = True
    pending: list[dict[str, Any]] = []
    for _ in range(data.draw(st.integers(1, 30))):
        act = data.draw(st.sampled_from(["say", "say", "drop", "answer"]))
        if act == "say":
            history.append(len(history) + 1)
            if is_open:
                driver.server_sends("channels/broadcast", broadcast(history[-1]))
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
    messages = [event.id for event in driver.events(ChannelMessage)]
    assert messages == history


def answer(driver: Driver, frame: dict[str, Any], history: list[int]) -> None:
    after = frame["payload"].get("after", 0)
    later = [number for number in history if number > after]
    messages = [history_line(number) for number in later[:100]]
    payload = {"channel": "gossip", "messages": messages, "more": len(later) > 100}
    driver.server_sends("channels/history", payload, ref=frame["ref"])
