"""Searching a channel's history as a reader."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from shared.db import transaction
from shared.services import channel_search, history, text_search
from shared.services.authority import actors
from shared.services.history import Line
from shared.services.moderation import messages

DAY = datetime(2026, 5, 3, 12, tzinfo=UTC)


def store(channel: Any, text: str, name: str = "Ash", at: datetime = DAY) -> int:
    with transaction() as session:
        return history.store_lines(session, [Line(channel.id, "game:1", "Harbour", name, text, at)], worker="w")[0]


def test_search(any_database: Any, stored: Any) -> None:
    """By words, speaker and days; never in another channel, a redacted line or a hidden one; indexed or not."""
    gossip, other = stored.channel("gossip"), stored.channel("other")
    moderator = stored.user(role="moderator")
    first = store(gossip, "A storm at sea")
    second = store(gossip, "stormy weather", "Odo", DAY.replace(day=4))
    store(other, "a storm elsewhere", at=DAY.replace(day=4))
    redacted = store(gossip, "storm of insults", at=DAY.replace(day=4))
    pest = store(gossip, "storm sale", "Pest", DAY.replace(day=5))
    with transaction() as session:
        actor = actors.of_user(session, moderator.id)
        messages.redact(session, actor, message_id=redacted, reason="Insults")

    def find(**criteria: Any) -> list[int]:
        with transaction() as session:
            lines, _ = channel_search.search_channel(session, gossip.id, **criteria)
            return [line.id for line in lines]

    for _ in ("not indexed", "indexed"):
        assert find(words="storm") == [first, second, pest]
        assert find(words="at storm") == [first] and find(words="calm") == []
        assert find(speaker="odo") == [second] and find(speaker="Odo@Harbour") == [second]
        assert find(speaker="Odo@Elsewhere") == [] and find(words="!?") == []
        assert find(words="storm", since=date(2026, 5, 4)) == [second, pest]
        assert find(words="storm", until=date(2026, 5, 3)) == [first]
        assert find(since=date(2026, 5, 4), until=date(2026, 5, 4)) == [second]
        assert find(words="storm", is_hidden=lambda line: line.name == "Pest") == [first, second]
        assert find(words="storm", limit=2) == [second, pest]
        assert find(words="storm", limit=2, older_than=second) == [first]
        assert find(words="nul\0") == [first, second, pest]
        with transaction() as session:
            text_search.index_batch(session)


def test_lines_behind_many_hidden_ones_are_found(any_database: Any, stored: Any) -> None:
    """And whether there are older ones."""
    gossip = stored.channel("gossip")
    visible = [store(gossip, f"storm {number}") for number in range(3)]
    for _ in range(5):
        store(gossip, "storm sale", "Pest")

    def search(limit: int) -> tuple[list[int], bool]:
        with transaction() as session:
            lines, has_older = channel_search.search_channel(
                session, gossip.id, words="storm", limit=limit, is_hidden=lambda line: line.name == "Pest"
            )
            return [line.id for line in lines], has_older

    assert search(1) == (visible[2:], True)
    assert search(2) == (visible[1:], True)
    assert search(3) == (visible, False)
