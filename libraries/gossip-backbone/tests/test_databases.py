"""Databases, drivers and engines that behave differently, and a database that fails."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from backbone import DatabaseFailed, Game, HookFailed, batch, migrate
from backbone.__main__ import open_database
from backbone.kinds import DEFAULT_KINDS
from backbone.store import Store
from gossip_client import SyncRecords
from sqlalchemy import create_engine, event, func, select, text
from sqlalchemy.orm import Session

from tests.support.backbone import complete, everything, game

POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
MARIADB = pytest.param("mariadb", marks=pytest.mark.mariadb)
SERVERS = [POSTGRES, MARIADB]


@pytest.mark.parametrize("any_replica", [MARIADB], indirect=True)
def test_a_driver_may_count_only_changed_rows(any_replica, replica_url):
    """The drivers of MySQL do, unless SQLAlchemy sets a client flag."""
    engine = create_engine(replica_url, connect_args={"client_flag": 0})
    migrate(engine)
    store = Store(engine, DEFAULT_KINDS)
    for cursor in (1, 2):
        assert store.apply([SyncRecords("games", [game(1)]), complete(cursor, [], [game(1)])]).cursor == cursor
    engine.dispose()


@pytest.mark.parametrize("any_replica", SERVERS, indirect=True)
def test_a_connection_that_cannot_encode_every_character_is_an_error(any_replica, replica_url):
    options = {"client_encoding": "latin1"} if any_replica == "postgres" else {"charset": "latin1"}
    engine = create_engine(open_database(replica_url).url, connect_args=options)
    migrate(engine)
    store = Store(engine, DEFAULT_KINDS)
    with pytest.raises(DatabaseFailed, match=r"which cannot encode every character: use UTF-8"):
        store.apply([SyncRecords("games", [game(1, description="✔")]), complete(1)])
    assert store.since() is None
    engine.dispose()


@pytest.mark.parametrize("any_replica", ["sqlite", *SERVERS], indirect=True)
def test_the_time_of_the_last_change_is_utc(any_replica, replica_url):
    """Whatever the time zone of the database's sessions is."""
    engine = open_database(replica_url)
    if any_replica == "postgres":
        engine = create_engine(engine.url, connect_args={"options": "-c timezone=America/New_York"})
    elif any_replica == "mariadb":
        engine = create_engine(engine.url, connect_args={"init_command": "SET time_zone = '-05:00'"})
    migrate(engine)
    store = Store(engine, DEFAULT_KINDS)
    before = datetime.now(UTC)
    store.apply([complete(1)])
    changed_at = store.position().changed_at
    assert before <= changed_at <= datetime.now(UTC) and changed_at.tzname() == "UTC"
    engine.dispose()


@pytest.mark.parametrize("any_replica", SERVERS, indirect=True)
def test_of_two_programs_that_start_a_replica_at_once_one_fails(any_replica, make_store, monkeypatch):
    """The other finds the replica there when it tries again."""
    barrier = threading.Barrier(2)
    find_position = batch.find_position

    def find_together(connection, network):
        position = find_position(connection, network)
        barrier.wait(10)  # both have looked before either commits
        return position

    monkeypatch.setattr(batch, "find_position", find_together)

    def begin(store):
        try:
            return store.apply([SyncRecords("games", [game(1)]), complete(1, [], [game(1)])]).is_complete
        except DatabaseFailed as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        results = sorted(pool.map(begin, (make_store(), make_store())), key=str)
    assert results == [True, "another program has just started a replica in this database"]


@pytest.mark.mariadb
def test_a_database_may_turn_an_empty_text_into_null(mariadb_server):
    """MariaDB does, with a setting."""
    url = mariadb_server.create_database()
    engine = create_engine(url, connect_args={"sql_mode": "EMPTY_STRING_IS_NULL"})
    migrate(engine)
    store = Store(engine, DEFAULT_KINDS)
    records = [game(1, description=""), game(2, "Beta", redirect_uris=[""])]
    store.apply([SyncRecords("games", records), complete(1, [], records)])
    assert everything(store)["games"] == records and store.apply([complete(1, [], records)]).is_complete
    engine.dispose()
    mariadb_server.drop_database(url)


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
@pytest.mark.parametrize("any_replica", SERVERS, indirect=True)
def test_the_isolation_level_of_the_engine_does_not_matter(any_replica, replica_url, level):
    """Records and cursor are one transaction, and two writers take turns."""
    engine = create_engine(open_database(replica_url).url, isolation_level=level)
    migrate(engine)
    store = Store(engine, DEFAULT_KINDS)
    store.apply([SyncRecords("games", [game(1)]), complete(1, [], [game(1)])])

    def fails(session, change):
        raise ValueError("no")

    store.hooks = {("games", "updated"): [fails]}
    with pytest.raises(HookFailed):
        store.apply([SyncRecords("games", [game(1, description="x")], cursor=2)])
    assert everything(store)["games"] == [game(1)] and store.since() == 1
    store.hooks = {}

    def apply_many(writer):
        for cursor in range(2, 40):
            writer.apply([SyncRecords("games", (), (), cursor)])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(apply_many, (store, Store(engine, DEFAULT_KINDS))))
    engine.dispose()


def test_a_locked_database_is_an_error_of_one_line(store, replica_url):
    engine = create_engine(replica_url, connect_args={"timeout": 0.1})
    quick = Store(engine, DEFAULT_KINDS)
    with store.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseFailed, match="database is locked") as failure:
            quick.apply([SyncRecords("games", [game(3, "Gamma")], cursor=11)])
        connection.rollback()
    assert "\n" not in str(failure.value)
    assert quick.apply([SyncRecords("games", [game(3, "Gamma")], cursor=11)]).cursor == 11


def test_an_engine_may_begin_its_own_transactions(replica_url):
    """Hosts that follow SQLAlchemy's recipe for SQLite emit BEGIN themselves."""
    engine = create_engine(replica_url)

    @event.listens_for(engine, "connect")
    def connect(connection, record):
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN")

    migrate(engine)
    store = Store(engine, DEFAULT_KINDS)
    store.apply([SyncRecords("games", [game(1)]), complete(1, [], [game(1)])])
    assert store.counts() == {"channels": 0, "games": 1}


def test_the_host_may_write_at_the_same_time(any_store, store):
    """Neither the replica nor the host gets an error."""
    errors = []

    def write():
        try:
            for number in range(30):
                with Session(store.engine) as session, session.begin():
                    session.execute(text("UPDATE backbone_state SET counts = counts"))
                    session.scalar(select(func.count()).select_from(Game))
                assert number >= 0
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    for cursor in range(11, 41):
        store.apply([SyncRecords("games", [game(1, description=str(cursor))], cursor=cursor)])
    thread.join(30)
    assert errors == [] and store.since() == 40
