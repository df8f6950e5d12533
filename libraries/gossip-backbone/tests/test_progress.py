"""The output of `python -m backbone mirror`, without a network."""

from __future__ import annotations

import io

import pytest
from backbone.changes import Applied, Change
from backbone.kinds import GAMES
from backbone.progress import Progress
from gossip_client import Connected, Disconnected, SyncComplete


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


COMPLETE = SyncComplete(9, {"channels": 0, "games": 400}, {})


def part(records: int) -> Applied:
    return Applied([], None, is_complete=False, needs_whole_state=False, records=records)


def whole() -> Applied:
    return Applied([], 9, is_complete=True, needs_whole_state=False, records=0, complete=COMPLETE)


@pytest.fixture
def printed():
    out, err = io.StringIO(), Terminal()
    progress = Progress(0, out, err)

    def last_bar() -> str:
        return err.getvalue().rpartition("\r")[2]

    return progress, out, last_bar


def test_the_bar_of_the_first_sync_has_a_total(printed):
    """The server announces how many records it has."""
    progress, out, last_bar = printed
    progress.show_event(Connected("2.4.0", counts={"channels": 100, "games": 300}))
    progress.show_applied(part(100))
    assert last_bar() == f"syncing [{'#' * 7}{' ' * 23}] 100 of about 400 records"
    progress.show_applied(part(300))
    assert last_bar() == f"syncing [{'#' * 30}] 400 of about 400 records"
    progress.show_applied(whole())
    assert last_bar() == "" and "in sync at 9: 0 channels, 400 games" in out.getvalue()


def test_without_an_announced_total_a_block_moves(printed):
    progress, _, last_bar = printed
    progress.show_event(Connected("2.4.0"))
    progress.show_applied(part(100))
    assert last_bar().endswith("###" + " " * 26 + "] 100 records")


def test_the_bar_starts_again_with_each_whole_state(printed):
    """A second one comes after a lost connection, or after the first was complete."""
    progress, _, last_bar = printed
    for _ in range(2):
        progress.show_event(Connected("2.4.0", counts={"games": 400}))
        progress.show_applied(part(100))
        assert "] 100 of about 400" in last_bar()
        progress.show_event(Disconnected("lost", None, 1.0))
    progress.show_applied(whole())
    progress.show_applied(part(100))
    assert "] 100 of about 400" in last_bar()


def test_changes_in_the_transaction_of_a_complete_are_lines_too(printed):
    """After a reconnect both arrive together."""
    progress, out, _ = printed
    change = Change(GAMES, "updated", 7, {"game": "Tea", "description": "x"}, {"game": "Tea", "description": None})
    progress.show_applied(
        Applied(
            [change], 9, is_complete=True, needs_whole_state=False, records=1, complete=COMPLETE, live_changes=[change]
        )
    )
    assert "updated games 7 Tea: description\n" in out.getvalue()
