"""A client that keeps reading receives every answer, however much others have stored."""

from __future__ import annotations

import json
import uuid

import pytest

from shared import db
from shared.db import utc_now
from shared.services import channels, history
from tests.support.client import Frame, SocketClient
from tests.support.network import Network

ANSWER_BYTES = 256 * 1024
LARGEST_TEXT = "\U0001f409" * 4000  # 16 kB

pytestmark = pytest.mark.one_worker


def store_lines(channel: str, count: int, text: str = LARGEST_TEXT) -> list[int]:
    """Store lines of a game's players, and return their ids."""
    with db.transaction() as session:
        channel_id = channels.get_channel(session, channel).id
        line = history.Line(channel_id, "game:1", "Loud", "Dragon", text, utc_now())
        return history.store_lines(session, [line] * count, worker="test")


def size_of(frame: Frame) -> int:
    return len(json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode())


def read_page(client: SocketClient, channel: str, **where: int) -> tuple[list[int], bool]:
    answer = client.request("channels/history", {"channel": channel, "limit": 100, **where})
    assert size_of(answer) <= ANSWER_BYTES
    return [line["id"] for line in answer["payload"]["messages"]], answer["payload"]["more"]


def test_a_page_of_the_longest_lines_is_cut_and_later_pages_have_the_rest(network: Network) -> None:
    channel = network.factory.channel().name
    ids = store_lines(channel, 100)
    reader = network.join(channels=[channel], version="2.4.0")

    forward: list[int] = []
    more = True
    while more:
        page, more = read_page(reader, channel, after=forward[-1] if forward else 0)
        assert page, "a page without a line would end a client's search"
        forward += page
    assert forward == ids

    page, more = read_page(reader, channel)
    backward = page
    while more:
        page, more = read_page(reader, channel, before=backward[0])
        assert page
        backward = page + backward
    assert backward == ids


def test_many_requests_at_once_are_answered_as_fast_as_the_client_reads(network: Network) -> None:
    channel = network.factory.channel().name
    store_lines(channel, 20)
    reader = network.join(channels=[channel], version="2.4.0")
    refs = [str(uuid.uuid4()) for _ in range(50)]
    for ref in refs:
        reader.send("channels/history", {"channel": channel, "limit": 100}, ref=ref)
    for ref in refs:
        assert reader.wait_for("channels/history", ref=ref, seconds=20)["status"] == "success"
