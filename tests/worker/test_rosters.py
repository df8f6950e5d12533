"""The limit on the players of a game, over all its sockets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.limits import PlayerLimit
from shared.protocol.types import player_key
from worker.network.rosters import Roster, cut_names, encoded_size

NAMES = st.lists(st.text('aAbBß"🐉é', min_size=1, max_size=3), max_size=8)


@given(st.lists(st.tuples(st.integers(0, 2), NAMES), max_size=12))
def test_a_roster_is_the_union_of_its_sockets_lists(changes: list[tuple[int, list[str]]]) -> None:
    roster, lists = Roster(), {number: list[str]() for number in range(3)}
    for number, names in changes:
        listed = list({player_key(name): name for name in names}.values())
        roster.change(lists[number], listed)
        lists[number] = listed
        assert set(roster.names) == {player_key(name) for names in lists.values() for name in names}
        assert roster.nbytes == sum(map(encoded_size, roster.names.values()))


@given(st.lists(st.tuples(st.integers(0, 2), NAMES), max_size=12))
def test_no_selection_exceeds_the_limit(changes: list[tuple[int, list[str]]]) -> None:
    limit = PlayerLimit(5, 40)
    roster, lists = Roster(), {number: dict[str, str]() for number in range(3)}
    for number, names in changes:
        selected = roster.select(names, limit, replaced=lists[number])
        roster.change(lists[number].values(), selected.values())
        lists[number] = selected
        assert len(roster.names) <= limit.count and roster.nbytes <= limit.nbytes


def test_a_socket_may_replace_its_own_players() -> None:
    limit = PlayerLimit(3, 1000)
    roster = Roster()
    roster.change((), ["a", "b", "c"])
    assert roster.select(["x", "y", "z", "w"], limit, replaced={name: name for name in "abc"}) == {
        name: name for name in "xyz"
    }
    assert not roster.has_room("x", limit) and roster.has_room("A", limit)


def test_an_answer_is_cut_to_the_limit() -> None:
    names = [f"{number:03}" for number in range(100)]
    assert cut_names(names, PlayerLimit(7, 1000)) == names[:7]
    assert cut_names(names, PlayerLimit(100, 12)) == names[:2]
    assert cut_names(names, PlayerLimit(100, 600)) == names
