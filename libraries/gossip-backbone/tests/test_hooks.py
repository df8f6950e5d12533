"""Hooks and models of the host application."""

from __future__ import annotations

import pytest
from backbone import DatabaseFailed, Game, HookFailed
from gossip_client import SyncRecords
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from tests.support.backbone import Base, Review, everything, game

MARIADB = pytest.param("mariadb", marks=pytest.mark.mariadb)


def test_hooks_run_in_the_transaction_of_the_change(any_store, store):
    calls = []

    def hook(session, change):
        calls.append((change.action, change.get(session) is not None))
        if change.label == "Bad":
            raise ValueError("no")

    store.hooks = {("games", action): [hook] for action in ("created", "updated", "deleted")}
    store.apply([SyncRecords("games", [game(1, description="x"), game(3, "Gamma")], [2], 11)])
    assert calls == [("deleted", False), ("updated", True), ("created", True)]
    with pytest.raises(HookFailed, match="the hook hook failed"):
        store.apply([SyncRecords("games", [game(4, "Bad")], cursor=12)])
    assert store.since() == 11 and len(everything(store)["games"]) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO backbone_games (id) VALUES (1)",
        "SELECT * FROM no_such_table",
        "INSERT INTO backbone_state DEFAULT VALUES",
        "UPDATE backbone_state SET no_such_column = 1",
    ],
)
def test_a_hook_with_a_wrong_statement_is_named(any_store, store, statement):
    """The error does not blame the database, and does not suggest tombstones: neither would help."""

    def note_it(session, change):
        session.execute(text(statement))

    store.hooks = {("games", "updated"): [note_it]}
    with pytest.raises(HookFailed, match="the hook note_it failed"):
        store.apply([SyncRecords("games", [game(1, description="x")], cursor=11)])
    assert store.since() == 10 and everything(store)["games"][0]["description"] is None


@pytest.mark.parametrize("any_replica", ["sqlite", MARIADB], indirect=True)
def test_a_lock_that_a_hook_meets_is_a_failure_of_the_database(any_replica, store, replica_url):
    """A lock goes away, so the replica may try the same events again."""
    impatient = {"timeout": 0.1} if any_replica == "sqlite" else {"init_command": "SET innodb_lock_wait_timeout = 1"}
    engine = create_engine(replica_url, connect_args=impatient)

    def write_elsewhere(session, change):
        with engine.begin() as connection:
            connection.execute(text("UPDATE backbone_state SET counts = counts"))

    store.hooks = {("games", "updated"): [write_elsewhere]}
    with pytest.raises(DatabaseFailed, match=r"database is locked|Lock wait timeout"):
        store.apply([SyncRecords("games", [game(1, description="x")], cursor=11)])


def test_a_host_relates_its_models_to_games(any_store, store):
    """Foreign keys, joins and rows written by a hook work. A forbidden delete is an error that suggests tombstones."""
    Base.metadata.create_all(store.engine)
    store.hooks = {("games", "created"): [lambda session, change: session.add(Review(game=change.get(session)))]}
    store.apply([SyncRecords("games", [game(3, "Gamma")], cursor=11)])
    with Session(store.engine) as session:
        query = select(Game.display_name).join(Review, Review.game_id == Game.id)
        assert session.scalars(query).all() == ["The Gamma"]
    if any_store != "sqlite":
        with pytest.raises(DatabaseFailed, match="tombstones"):
            store.apply([SyncRecords("games", (), [3], 12)])
        assert store.since() == 11
        store.deletes = "tombstones"
        assert store.apply([SyncRecords("games", (), [3], 12)]).cursor == 12
