"""What `python -m backbone mirror` prints, without a network."""

from __future__ import annotations

import io

import pytest
from backbone.kinds import GAMES
from backbone.progress import Progress
from backbone.store import Applied, Change
from gossip_client import Connected, Disconnected, SyncComplete


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


COMPLETE = SyncComplete(9, {"channels": 0, "games": 400}, {})


def part(records: int) -> Applied:
    return Applied([], None, is_complete=False, is_lacking=False, records=records)


def whole() -> Applied:
    return Applied([], 9, is_complete=True, is_lacking=False, records=0, complete=COMPLETE)


@pytest.fixture
def printed():
    out, err = io.StringIO(), Terminal()
    progress = Progress(0, out, err)

    def last_bar() -> str:
        return err.getvalue().rpartition("\r")[2]

    return progress, out, last_bar


def test_the_bar_of_the_first_sync_has_a_total(printed):
    """The server says how much is coming."""
    progress, out, last_bar = printed
    progress.heard(Connected("2.4.0", counts={"channels": 100, "games": 300}))
    progress.applied(part(100))
    assert last_bar() == f"syncing [{'#' * 7}{' ' * 23}] 100 of about 400 records"
    progress.applied(part(300))
    assert last_bar() == f"syncing [{'#' * 30}] 400 of about 400 records"
    progress.applied(whole())
    assert last_bar() == "" and "in sync at 9: 0 channels, 400 games" in out.getvalue()


def test_a_server_that_does_not_say_how_much_is_coming(printed):
    progress, _, last_bar = printed
    progress.heard(Connected("2.4.0"))
    progress.applied(part(100))
    assert last_bar().endswith("###" + " " * 26 + "] 100 records")


def test_a_state_that_begins_again_is_counted_from_its_beginning(printed):
    """After a drop in the middle; and a second one after the first was whole."""
    progress, _, last_bar = printed
    for _ in range(2):
        progress.heard(Connected("2.4.0", counts={"games": 400}))
        progress.applied(part(100))
        assert "] 100 of about 400" in last_bar()
        progress.heard(Disconnected("lost", None, 1.0))
    progress.applied(whole())
    progress.applied(part(100))
    assert "] 100 of about 400" in last_bar()


def test_changes_are_lines_also_beside_a_complete(printed):
    """Those after a reconnect come in one transaction with the end of the resume."""
    progress, out, _ = printed
    change = Change(GAMES, "updated", 7, {"game": "Tea", "description": "x"}, {"game": "Tea", "description": None})
    progress.applied(
        Applied([change], 9, is_complete=True, is_lacking=False, records=1, complete=COMPLETE, news=[change])
    )
    assert "updated games 7 Tea: description\n" in out.getvalue()
