"""How sync events change the tables, without a network, on every kind of database."""

from __future__ import annotations

import pytest
from backbone import Game, WrongNetwork
from backbone.kinds import DEFAULT_KINDS
from backbone.store import Store
from gossip_client import SyncRecords
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.support.backbone import channel, complete, everything, game


def test_a_whole_state_is_stored(any_store, store):
    assert everything(store) == {"channels": [channel(1)], "games": [game(1), game(2, "Beta")]}
    position = store.position()
    assert position.cursor == 10 and position.counts == {"channels": 1, "games": 2}
    with Session(store.engine) as session:
        alpha = session.scalars(select(Game).where(Game.game == "Alpha")).one()
        assert alpha.connections[0]["url"] == "https://x" and alpha.display is True and alpha.extra is None


def test_changes_move_the_cursor_and_are_returned(any_store, store):
    applied = store.apply(
        [
            SyncRecords("games", [game(1, description="new")], cursor=11),
            SyncRecords("games", [game(3, "Gamma")], [2], cursor=13),
        ]
    )
    assert applied.cursor == 13 and store.since() == 13
    changes = [(change.action, change.label, change.fields) for change in applied.changes]
    assert changes[0] == ("updated", "Alpha", ["description"])
    assert [change[:2] for change in changes[1:]] == [("deleted", "Beta"), ("created", "Gamma")]
    assert [record["id"] for record in everything(store)["games"]] == [1, 3]


def test_an_event_is_not_applied_twice(store):
    store.apply([SyncRecords("games", [game(1, description="new")], cursor=12)])
    old = [SyncRecords("games", [game(1, description="old")], cursor=11), SyncRecords("games", (), [1], 12)]
    applied = store.apply(old)
    assert applied.changes == [] and everything(store)["games"][0]["description"] == "new"


def test_a_whole_state_deletes_the_records_it_does_not_contain(any_store, store):
    second = game(2, "Beta", display=False)
    applied = store.apply([SyncRecords("games", [second]), complete(5, [], [second], is_reset=True)])
    assert [(change.action, change.label) for change in applied.changes] == [
        ("updated", "Beta"),
        ("deleted", "gossip"),
        ("deleted", "Alpha"),
    ]
    assert everything(store) == {"channels": [], "games": [second]} and store.since() == 5


def test_a_reset_to_an_empty_network_deletes_everything(store):
    store.apply([complete(3, is_reset=True)])
    assert everything(store) == {"channels": [], "games": []}


def test_an_unchanged_record_is_not_a_change(store):
    applied = store.apply(
        [SyncRecords("channels", [channel(1)]), SyncRecords("games", [game(1), game(2, "Beta")]), complete(20)]
    )
    assert applied.changes == []


def test_values_that_only_python_takes_for_equal_are_a_change(any_store, store):
    """1, 1.0 and true are different JSON texts with different digests."""
    for cursor, value in enumerate((1, 1.0, True, [0.0], [-0.0]), 11):
        record = game(2, "Beta", later=value)
        store.apply([SyncRecords("games", [record], (), cursor)])
        assert store.apply([complete(cursor, [channel(1)], [game(1), record])]).is_complete, value


def test_an_interrupted_whole_state_has_no_cursor_and_starts_over(any_store, store):
    """A process that dies during a whole state leaves a mixture, which the next process must not resume."""
    store.apply([SyncRecords("games", [game(2, "Beta", description="half")])])
    assert store.since() is None
    fresh = Store(store.engine, DEFAULT_KINDS)
    assert fresh.since() is None
    resumed = fresh.apply([SyncRecords("games", [game(9, "Late")], cursor=11), complete(11, [], [game(9)])])
    assert resumed.needs_whole_state and not resumed.is_complete and fresh.since() is None
    whole = [game(2, "Beta")]
    fresh.apply([SyncRecords("games", whole), complete(12, [], whole)])
    assert everything(fresh) == {"channels": [], "games": whole} and fresh.since() == 12


def test_a_new_connection_starts_the_whole_state_over(store):
    store.apply([SyncRecords("games", [game(7, "Old")])])
    store.start_over()
    store.apply([SyncRecords("games", [game(8, "New")]), complete(30, [], [game(8, "New")])])
    assert [record["id"] for record in everything(store)["games"]] == [8]


def test_digests_show_a_difference_after_a_resume(any_store, store):
    """For example, somebody has changed the table by hand."""
    with Session(store.engine) as session, session.begin():
        session.get(Game, 1).description = "by hand"
    applied = store.apply([complete(10, [channel(1)], [game(1), game(2, "Beta")])])
    assert applied.needs_whole_state and not applied.is_complete


def test_a_resume_without_a_difference_is_complete(store):
    applied = store.apply([complete(10, [channel(1)], [game(1), game(2, "Beta")])])
    assert applied.is_complete and not applied.needs_whole_state


def test_a_delete_can_leave_a_tombstone(any_store, make_store):
    store = make_store(deletes="tombstones")
    store.wants_changes = True
    store.apply([SyncRecords("games", [game(1)]), complete(1, [], [game(1)])])
    store.apply([SyncRecords("games", (), [1], 2)])
    with Session(store.engine) as session:
        assert session.get(Game, 1).deleted_at is not None
    assert everything(store)["games"] == [] and store.counts()["games"] == 0
    again = store.apply([SyncRecords("games", (), [1], 3)])
    assert again.changes == []
    assert store.apply([complete(3)]).is_complete


def test_fields_of_a_later_protocol_are_kept(any_store, store):
    """Unknown fields and values that fit no column come back unchanged, so the digests match."""
    later = game(1, rating=4.5, tags=["a", {"b": None}], description={"en": "x"}, display_name=7, big=10**30)
    applied = store.apply(
        [SyncRecords("games", [later], cursor=11), complete(11, [channel(1)], [later, game(2, "Beta")])]
    )
    assert applied.is_complete and everything(store)["games"][0] == later
    with Session(store.engine) as session:
        stored = session.get(Game, 1)
        assert stored.description is None and stored.extra["description"] == {"en": "x"}
        assert stored.extra["rating"] == 4.5


def test_live_changes_are_those_outside_a_whole_state(make_store):
    """Even if both kinds are in the same transaction."""
    store = make_store()
    store.wants_changes = True
    first, second = game(1), game(2, "Beta")
    applied = store.apply(
        [SyncRecords("games", [first]), complete(10, [], [first]), SyncRecords("games", [second], (), 11)]
    )
    assert [change.id for change in applied.changes] == [1, 2] and [change.id for change in applied.live_changes] == [2]
    applied = store.apply([SyncRecords("games", [second]), complete(12, [], [second])])
    assert [change.action for change in applied.changes] == ["deleted"] and not applied.live_changes
    applied = store.apply([SyncRecords("games", [], [2], 13), complete(13)])
    assert [change.action for change in applied.live_changes] == ["deleted"]


def test_a_replica_that_was_set_back_needs_the_whole_state(any_store, store, make_store):
    """Another program has mended it to an earlier state: the changes in between are missing."""
    other = make_store()
    store.apply([SyncRecords("games", [game(2, "Gamma")], (), 11)])
    other.apply([SyncRecords("games", [game(1), game(2, "Beta")]), complete(10, [], [game(1), game(2, "Beta")])])
    applied = store.apply([SyncRecords("games", [game(3, "Delta")], (), 12)])
    assert applied.needs_whole_state and store.since() is None
    state = [game(1), game(2, "Gamma"), game(3, "Delta")]
    applied = store.apply([SyncRecords("games", state), complete(12, [], state)])
    assert applied.is_complete and not applied.needs_whole_state and everything(store)["games"] == state
    assert not store.apply([SyncRecords("games", [game(4)], (), 13)]).needs_whole_state


def test_a_replica_that_another_mirror_moved_ahead_needs_nothing(store, make_store):
    make_store().apply([SyncRecords("games", [game(2, "Gamma")], (), 11)])
    applied = store.apply([SyncRecords("games", [game(2, "Old")], (), 11), SyncRecords("games", [game(3)], (), 12)])
    assert not applied.needs_whole_state and applied.cursor == 12
    assert everything(store)["games"] == [game(1), game(2, "Gamma"), game(3)]


def test_unknown_kinds_are_ignored_and_the_cursor_moves(store):
    applied = store.apply([SyncRecords("achievements", [{"id": 1, "x": 2}], [3], 11)])
    assert applied.cursor == 11 and applied.changes == []


def test_records_without_a_usable_id_are_skipped(store, caplog):
    records = [{"game": "no id"}, "text", game(-1), game(2**70), game(3, "Gamma")]
    store.apply([SyncRecords("games", records, cursor=11)])
    assert [record["id"] for record in everything(store)["games"]] == [1, 2, 3]


def test_several_changes_of_one_record_in_a_batch_become_one(any_store, store):
    applied = store.apply(
        [
            SyncRecords("games", [game(3, "Gamma")], cursor=11),
            SyncRecords("games", (), [3], 12),
            SyncRecords("games", [game(1, description="a")], cursor=13),
            SyncRecords("games", [game(1, description="b")], cursor=14),
        ]
    )
    assert [(change.action, change.record["description"]) for change in applied.changes] == [("updated", "b")]


def test_one_database_holds_one_network(store):
    with pytest.raises(WrongNetwork):
        Store(store.engine, DEFAULT_KINDS, network="other").position()
