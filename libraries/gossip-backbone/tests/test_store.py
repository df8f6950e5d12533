"""What events of the sync do to the tables: no sockets, on every kind of database."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import backbone
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from backbone import (
    BackboneError,
    Channel,
    DatabaseFailed,
    Game,
    HookFailed,
    Kind,
    Record,
    State,
    WrongNetwork,
    migrate,
)
from backbone import migrations as steps
from backbone.__main__ import open_database
from backbone.kinds import CHANNELS, DEFAULT_KINDS, GAMES
from backbone.migrations import reading
from backbone.records import canonical_json, digest
from backbone.store import Store
from gossip_client import SyncComplete, SyncRecords
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    CHAR,
    JSON,
    REAL,
    BigInteger,
    DateTime,
    Double,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Text,
    create_engine,
    event,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import mysql, registry
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.schema import CreateTable

POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
SERVERS = [POSTGRES, pytest.param("mariadb", marks=pytest.mark.mariadb)]


def channel(number, name="gossip", **more):
    return {"id": number, "name": name, "description": None, "hidden": False, **more}


def game(number, short="Alpha", **more):
    ways = [{"id": "b", "type": "web", "url": "https://x"}, {"id": "a", "type": "telnet", "host": "x", "port": 4000}]
    return {
        "id": number,
        "game": short,
        "display_name": f"The {short}",
        "display": True,
        "description": None,
        "homepage_url": None,
        "user_agent": None,
        "user_agent_url": None,
        "connections": ways,
        "allow_character_registration": True,
        "redirect_uris": [],
        **more,
    }


def complete(cursor, channels=(), games=(), **more):
    kinds = {"channels": channels, "games": games}
    found = {name: digest(sorted(records, key=lambda record: record["id"])) for name, records in kinds.items()}
    counts = {name: count for name, (count, _) in found.items()}
    return SyncComplete(cursor, counts, {name: value for name, (_, value) in found.items()}, **more)


def everything(store):
    with reading(store.engine) as connection:
        return {kind.name: list(store.records(connection, kind)) for kind in store.kinds.values()}


@pytest.fixture
def make_store(replica_engine):
    migrate(replica_engine)

    def make(**options):
        return Store(replica_engine, options.pop("kinds", DEFAULT_KINDS), **options)

    return make


@pytest.fixture
def store(make_store):
    """A store that is whole at 10: channel 1, games 1 and 2."""
    store = make_store()
    store.wants_changes = True
    first, second = game(1), game(2, "Beta")
    applied = store.apply(
        [
            SyncRecords("channels", [channel(1)]),
            SyncRecords("games", [first, second]),
            complete(10, [channel(1)], [first, second]),
        ]
    )
    assert applied.is_complete and applied.cursor == 10
    assert [change.action for change in applied.changes] == ["created"] * 3
    return store


def test_a_whole_state(any_store, store):
    assert everything(store) == {"channels": [channel(1)], "games": [game(1), game(2, "Beta")]}
    position = store.position()
    assert position.cursor == 10 and position.counts == {"channels": 1, "games": 2}
    with Session(store.engine) as session:
        found = session.scalars(select(Game).where(Game.game == "Alpha")).one()
        assert found.connections[0]["url"] == "https://x" and found.display is True and found.extra is None


def test_changes_move_the_cursor_and_are_told(any_store, store):
    applied = store.apply(
        [
            SyncRecords("games", [game(1, description="new")], cursor=11),
            SyncRecords("games", [game(3, "Gamma")], [2], cursor=13),
        ]
    )
    assert applied.cursor == 13 and store.since() == 13
    told = [(change.action, change.label, change.fields) for change in applied.changes]
    assert told[0] == ("updated", "Alpha", ["description"])
    assert [entry[:2] for entry in told[1:]] == [("deleted", "Beta"), ("created", "Gamma")]
    assert [record["id"] for record in everything(store)["games"]] == [1, 3]


def test_what_was_applied_before_is_not_applied_again(store):
    store.apply([SyncRecords("games", [game(1, description="new")], cursor=12)])
    old = [SyncRecords("games", [game(1, description="old")], cursor=11), SyncRecords("games", (), [1], 12)]
    applied = store.apply(old)
    assert applied.changes == [] and everything(store)["games"][0]["description"] == "new"


def test_a_whole_state_drops_what_it_left_out(any_store, store):
    second = game(2, "Beta", display=False)
    applied = store.apply([SyncRecords("games", [second]), complete(5, [], [second], is_reset=True)])
    told = [(change.action, change.label) for change in applied.changes]
    assert told == [("updated", "Beta"), ("deleted", "gossip"), ("deleted", "Alpha")]
    assert everything(store) == {"channels": [], "games": [second]} and store.since() == 5


def test_a_reset_to_an_empty_network(store):
    store.apply([complete(3, is_reset=True)])
    assert everything(store) == {"channels": [], "games": []}


def test_an_unchanged_record_is_no_change(store):
    applied = store.apply(
        [SyncRecords("channels", [channel(1)]), SyncRecords("games", [game(1), game(2, "Beta")]), complete(20)]
    )
    assert applied.changes == []


def test_what_python_takes_for_equal_is_a_change_all_the_same(any_store, store):
    """1, 1.0 and true are three texts, and three digests."""
    for cursor, value in enumerate((1, 1.0, True, [0.0], [-0.0]), 11):
        record = game(2, "Beta", later=value)
        store.apply([SyncRecords("games", [record], (), cursor)])
        assert store.apply([complete(cursor, [channel(1)], [game(1), record])]).is_complete, value


def test_an_interrupted_whole_state_has_no_cursor_and_starts_over(any_store, store):
    """A process that dies within a whole state leaves a mixture; the next one must not resume in it."""
    store.apply([SyncRecords("games", [game(2, "Beta", description="half")])])
    assert store.since() is None
    fresh = Store(store.engine, DEFAULT_KINDS)
    assert fresh.since() is None
    lacking = fresh.apply([SyncRecords("games", [game(9, "Late")], cursor=11), complete(11, [], [game(9)])])
    assert lacking.is_lacking and not lacking.is_complete and fresh.since() is None
    whole = [game(2, "Beta")]
    fresh.apply([SyncRecords("games", whole), complete(12, [], whole)])
    assert everything(fresh) == {"channels": [], "games": whole} and fresh.since() == 12


def test_a_new_connection_starts_a_whole_state_over(store):
    store.apply([SyncRecords("games", [game(7, "Old")])])
    store.start_over()
    store.apply([SyncRecords("games", [game(8, "New")]), complete(30, [], [game(8, "New")])])
    assert [record["id"] for record in everything(store)["games"]] == [8]


def test_a_difference_after_a_resume_is_noticed(any_store, store):
    """Somebody changed the table by hand: the digests tell."""
    with Session(store.engine) as session, session.begin():
        session.get(Game, 1).description = "by hand"
    applied = store.apply([complete(10, [channel(1)], [game(1), game(2, "Beta")])])
    assert applied.is_lacking and not applied.is_complete


def test_a_resume_without_a_difference(store):
    applied = store.apply([complete(10, [channel(1)], [game(1), game(2, "Beta")])])
    assert applied.is_complete and not applied.is_lacking


def test_tombstones(any_store, make_store):
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


def test_what_a_later_version_sends_is_kept(any_store, store):
    """Unknown fields, and values that no column can hold, come back as they were; the digest is that of the network."""
    later = game(1, rating=4.5, tags=["a", {"b": None}], description={"en": "x"}, display_name=7, big=10**30)
    applied = store.apply(
        [SyncRecords("games", [later], cursor=11), complete(11, [channel(1)], [later, game(2, "Beta")])]
    )
    assert applied.is_complete and everything(store)["games"][0] == later
    with Session(store.engine) as session:
        found = session.get(Game, 1)
        assert found.description is None and found.extra["description"] == {"en": "x"} and found.extra["rating"] == 4.5


def test_news_are_what_did_not_come_with_a_whole_state(make_store):
    """Whatever else is in the same transaction."""
    store = make_store()
    store.wants_changes = True
    first, second = game(1), game(2, "Beta")
    applied = store.apply(
        [SyncRecords("games", [first]), complete(10, [], [first]), SyncRecords("games", [second], (), 11)]
    )
    assert [change.id for change in applied.changes] == [1, 2] and [change.id for change in applied.news] == [2]
    applied = store.apply([SyncRecords("games", [second]), complete(12, [], [second])])
    assert [change.action for change in applied.changes] == ["deleted"] and not applied.news
    applied = store.apply([SyncRecords("games", [], [2], 13), complete(13)])
    assert [change.action for change in applied.news] == ["deleted"]


def test_who_finds_the_replica_set_back_asks_for_everything(any_store, store, make_store):
    """Mended meanwhile by another program, to a state before what this one has applied: changes in between lack."""
    other = make_store()
    store.apply([SyncRecords("games", [game(2, "Gamma")], (), 11)])
    other.apply([SyncRecords("games", [game(1), game(2, "Beta")]), complete(10, [], [game(1), game(2, "Beta")])])
    applied = store.apply([SyncRecords("games", [game(3, "Delta")], (), 12)])
    assert applied.is_lacking and store.since() is None
    state = [game(1), game(2, "Gamma"), game(3, "Delta")]
    applied = store.apply([SyncRecords("games", state), complete(12, [], state)])
    assert applied.is_complete and not applied.is_lacking and everything(store)["games"] == state
    assert not store.apply([SyncRecords("games", [game(4)], (), 13)]).is_lacking


def test_who_finds_the_replica_ahead_goes_on(store, make_store):
    """Another mirror of the same database was quicker."""
    make_store().apply([SyncRecords("games", [game(2, "Gamma")], (), 11)])
    applied = store.apply([SyncRecords("games", [game(2, "Old")], (), 11), SyncRecords("games", [game(3)], (), 12)])
    assert not applied.is_lacking and applied.cursor == 12
    assert everything(store)["games"] == [game(1), game(2, "Gamma"), game(3)]


def test_unknown_kinds_are_ignored_and_the_cursor_moves(store):
    applied = store.apply([SyncRecords("achievements", [{"id": 1, "x": 2}], [3], 11)])
    assert applied.cursor == 11 and applied.changes == []


def test_unusable_records_do_not_stop_the_sync(store, caplog):
    records = [{"game": "no id"}, "text", game(-1), game(2**70), game(3, "Gamma")]
    store.apply([SyncRecords("games", records, cursor=11)])
    assert [record["id"] for record in everything(store)["games"]] == [1, 2, 3]


def test_several_changes_of_one_record_together_are_its_last(any_store, store):
    applied = store.apply(
        [
            SyncRecords("games", [game(3, "Gamma")], cursor=11),
            SyncRecords("games", (), [3], 12),
            SyncRecords("games", [game(1, description="a")], cursor=13),
            SyncRecords("games", [game(1, description="b")], cursor=14),
        ]
    )
    assert [(change.action, change.record["description"]) for change in applied.changes] == [("updated", "b")]


def test_hooks_run_in_the_transaction(any_store, store):
    told = []

    def hook(session, change):
        told.append((change.action, change.get(session) is not None))
        if change.label == "Bad":
            raise ValueError("no")

    store.hooks = {("games", action): [hook] for action in ("created", "updated", "deleted")}
    store.apply([SyncRecords("games", [game(1, description="x"), game(3, "Gamma")], [2], 11)])
    assert told == [("deleted", False), ("updated", True), ("created", True)]
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
def test_a_hook_whose_statement_is_wrong_is_the_one_named(any_store, store, statement):
    """It is no fault of the database: trying again would not help, and no tombstones would."""

    def note_it(session, change):
        session.execute(text(statement))

    store.hooks = {("games", "updated"): [note_it]}
    with pytest.raises(HookFailed, match="the hook note_it failed"):
        store.apply([SyncRecords("games", [game(1, description="x")], cursor=11)])
    assert store.since() == 10 and everything(store)["games"][0]["description"] is None


@pytest.mark.parametrize("any_replica", ["sqlite", SERVERS[1]], indirect=True)
def test_a_lock_that_a_hook_finds_is_the_database_s(any_replica, store, replica_url):
    """It goes away: the same events are given again."""
    impatient = {"timeout": 0.1} if any_replica == "sqlite" else {"init_command": "SET innodb_lock_wait_timeout = 1"}
    engine = create_engine(replica_url, connect_args=impatient)

    def write_elsewhere(session, change):
        with engine.begin() as connection:
            connection.execute(text("UPDATE backbone_state SET counts = counts"))

    store.hooks = {("games", "updated"): [write_elsewhere]}
    with pytest.raises(DatabaseFailed, match=r"database is locked|Lock wait timeout"):
        store.apply([SyncRecords("games", [game(1, description="x")], cursor=11)])


class Base(DeclarativeBase):
    pass


class Review(Base):
    __tablename__ = "reviews"

    id: Mapped[int] = mapped_column(primary_key=True)
    game_id: Mapped[int] = mapped_column(ForeignKey(Game.id))
    game: Mapped[Game] = relationship(Game)


class Event(Record, Base):
    __tablename__ = "network_events"

    title: Mapped[str | None] = mapped_column(String(100))


def test_a_host_relates_its_own_models(any_store, store):
    """Foreign keys, joins, rows written by a hook; and a delete that they forbid is said in one line."""
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


def test_a_registered_kind_needs_the_whole_state_once(any_store, store):
    Base.metadata.create_all(store.engine)
    wider = Store(store.engine, [*DEFAULT_KINDS, Kind("events", Event)])
    assert wider.since() is None
    records = [{"id": 5, "title": "A fair", "place": "Market"}]
    counts = {"channels": 1, "games": 2, "events": 1}
    wider.apply(
        [
            SyncRecords("channels", [channel(1)]),
            SyncRecords("games", [game(1), game(2, "Beta")]),
            SyncRecords("events", records),
            SyncComplete(20, counts, {}),
        ]
    )
    assert everything(wider)["events"] == records and wider.since() == 20
    assert Store(store.engine, DEFAULT_KINDS).since() == 20


@pytest.mark.parametrize("column", [DateTime, Numeric, LargeBinary, CHAR])
def test_a_column_that_gives_nothing_back_as_it_came_is_refused(column):
    """At once, and not with every record."""

    class Base(DeclarativeBase):
        pass

    class Fair(Record, Base):
        __tablename__ = "fairs"

        when: Mapped[object | None] = mapped_column(column)

    with pytest.raises(TypeError, match=r"fairs\.when"):
        Kind("fairs", Fair)


def test_a_column_of_numbers_gives_them_back_as_they_came(any_store, replica_engine):
    class Base(DeclarativeBase):
        pass

    class Fair(Record, Base):
        __tablename__ = "fairs"

        price: Mapped[float | None] = mapped_column(Double)

    migrate(replica_engine)
    Base.metadata.create_all(replica_engine)
    store = Store(replica_engine, [Kind("fairs", Fair)])
    records = [{"id": number, "price": price} for number, price in enumerate((1.5, 2, None, 1e300, 0.1, -0.0), 1)]
    store.apply([SyncRecords("fairs", records), SyncComplete(1, {"fairs": 6}, {"fairs": digest(records)[1]})])
    assert store.apply([SyncComplete(1, {"fairs": 6}, {"fairs": digest(records)[1]})]).is_complete


def test_a_value_that_no_column_holds_is_kept_beside(any_store, replica_engine):
    """Too long, too large, or no text for every database."""

    class Base(DeclarativeBase):
        pass

    class Fair(Record, Base):
        __tablename__ = "fairs"

        title: Mapped[str | None] = mapped_column(String(10))
        visitors: Mapped[int | None] = mapped_column(Integer)
        cents: Mapped[int | None] = mapped_column(BigInteger)

    migrate(replica_engine)
    Base.metadata.create_all(replica_engine)
    store = Store(replica_engine, [Kind("fairs", Fair)])
    blank = {"title": None, "visitors": None, "cents": None}
    records = [
        {**blank, **fields, "id": number}
        for number, fields in enumerate(
            (
                {"title": "t" * 11},
                {"title": "nul\0"},
                {"title": "half \ud800"},
                {"visitors": 2**31},
                {"visitors": -(2**31) - 1},
                {"cents": 2**63},
            ),
            1,
        )
    ]
    fitting = {"id": 7, "title": "✔" * 10, "visitors": 2**31 - 1, "cents": -(2**63)}
    everything_sent = [*records, fitting]
    end = SyncComplete(1, {"fairs": 7}, {"fairs": digest(everything_sent)[1]})
    store.apply([SyncRecords("fairs", everything_sent), end])
    assert everything(store)["fairs"] == everything_sent and store.apply([end]).is_complete
    with Session(replica_engine) as session:
        assert all(session.get(Fair, record["id"]).extra for record in records)
        assert session.get(Fair, 7).extra is None


@pytest.mark.parametrize("any_replica", [SERVERS[1]], indirect=True)
def test_a_driver_that_counts_only_rows_that_change(any_replica, replica_url):
    """As those of MySQL do, unless SQLAlchemy's dialect is let tell them otherwise."""
    engine = create_engine(replica_url, connect_args={"client_flag": 0})
    migrate(engine)
    store = Store(engine, DEFAULT_KINDS)
    for cursor in (1, 2):
        assert store.apply([SyncRecords("games", [game(1)]), complete(cursor, [], [game(1)])]).cursor == cursor
    engine.dispose()


@pytest.mark.parametrize("any_replica", SERVERS, indirect=True)
def test_a_connection_that_has_not_every_letter(any_replica, replica_url):
    options = {"client_encoding": "latin1"} if any_replica == "postgres" else {"charset": "latin1"}
    engine = create_engine(open_database(replica_url).url, connect_args=options)
    migrate(engine)
    store = Store(engine, DEFAULT_KINDS)
    with pytest.raises(DatabaseFailed, match=r"which has not every letter: use UTF-8"):
        store.apply([SyncRecords("games", [game(1, description="✔")]), complete(1)])
    assert store.since() is None
    engine.dispose()


@pytest.mark.parametrize("any_replica", ["sqlite", *SERVERS], indirect=True)
def test_the_time_of_the_last_change_is_utc(any_replica, replica_url):
    """Whatever zone the database's sessions have."""
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
def test_two_begin_a_replica_at_once(any_replica, make_store):
    """One is first; the other is told so, and finds it there when it tries again."""
    first, second = make_store(), make_store()
    barrier = threading.Barrier(2)

    def begin(store):
        try:
            return store.apply([SyncRecords("games", [game(1)]), complete(1, [], [game(1)])]).is_complete
        except DatabaseFailed as error:
            return str(error)

    for each in (first, second):

        def look_together(connection, look=each._kept_position):
            found = look(connection)
            barrier.wait(10)  # neither has committed when both have looked
            return found

        each._kept_position = look_together
    with ThreadPoolExecutor(2) as pool:
        told = sorted(pool.map(begin, (first, second)), key=str)
    assert told == [True, "another program has just begun a replica in this database"]


@pytest.mark.mariadb
def test_a_database_that_makes_null_of_an_empty_text(mariadb_server):
    """As Oracle does, and MariaDB when it is told to."""
    url = mariadb_server.create_database()
    engine = create_engine(url, connect_args={"sql_mode": "EMPTY_STRING_IS_NULL"})
    migrate(engine)
    store = Store(engine, DEFAULT_KINDS)
    records = [game(1, description=""), game(2, "Beta", redirect_uris=[""])]
    store.apply([SyncRecords("games", records), complete(1, [], records)])
    assert everything(store)["games"] == records and store.apply([complete(1, [], records)]).is_complete
    engine.dispose()
    mariadb_server.drop_database(url)


@pytest.mark.parametrize(
    ("database", "column", "advice"),
    [
        ("mysql+pymysql", Float(), "Double"),
        ("mariadb+pymysql", JSON(), "backbone.Json"),
        ("mysql+pymysql", Text(), "backbone.LongText"),
        ("postgresql+psycopg", REAL(), "Double"),
        ("postgresql+psycopg", Float(20), "Double"),
        ("postgresql+psycopg", JSON().with_variant(JSONB(), "postgresql"), "backbone.Json"),
    ],
)
def test_a_column_that_this_database_would_round_or_cut_is_refused(database, column, advice):
    class Base(DeclarativeBase):
        pass

    class Fair(Record, Base):
        __tablename__ = "fairs"

        price: Mapped[object | None] = mapped_column(column)

    with pytest.raises(TypeError, match=rf"fairs\.price.*{advice}"):
        Store(create_engine(f"{database}://nobody@localhost/none"), [Kind("fairs", Fair)])
    Store(create_engine("sqlite://"), [Kind("fairs", Fair)])


def test_a_record_never_takes_another_one_s_place(any_store, replica_engine):
    """Where a column of the host's is unique, and two records have the same in it."""

    class Base(DeclarativeBase):
        pass

    class Fair(Record, Base):
        __tablename__ = "fairs"

        title: Mapped[str | None] = mapped_column(String(100), unique=True)

    migrate(replica_engine)
    Base.metadata.create_all(replica_engine)
    store = Store(replica_engine, [Kind("fairs", Fair)])
    store.apply([SyncRecords("fairs", [{"id": 1, "title": "A"}]), SyncComplete(1, {"fairs": 1}, {})])
    with pytest.raises(DatabaseFailed, match="refuses a change"):
        store.apply([SyncRecords("fairs", [{"id": 2, "title": "A"}], (), 2)])
    assert everything(store)["fairs"] == [{"id": 1, "title": "A"}] and store.since() == 1


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
@pytest.mark.parametrize("any_replica", SERVERS, indirect=True)
def test_an_engine_of_another_isolation(any_replica, replica_url, level):
    """Whatever the host has chosen for itself: records and cursor are one transaction, and two writers take turns."""
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
    other = Store(engine, DEFAULT_KINDS)
    with ThreadPoolExecutor(2) as pool:
        for each in [
            pool.submit(lambda which: [which.apply([SyncRecords("games", (), (), n)]) for n in range(2, 40)], which)
            for which in (store, other)
        ]:
            each.result()
    engine.dispose()


def test_one_database_holds_one_network(store):
    with pytest.raises(WrongNetwork):
        Store(store.engine, DEFAULT_KINDS, network="other").position()


# Records and rows

letters = st.characters(exclude_categories=["Cs"]) | st.sampled_from(["\0", "\ud800"])  # half of a pair
texts = st.text(letters, max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*GAMES.columns, "later", "extra", "deleted_at"]), values))
def test_a_row_gives_its_record_back(fields):
    record = {**dict.fromkeys(GAMES.columns), **fields, "id": 1}
    row = GAMES.row(record)
    assert GAMES.record(json.loads(json.dumps(row))) == record


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.sampled_from([*GAMES.columns, "later"]), values), min_size=1, max_size=5))
def test_any_records_are_stored_and_equal(any_store, make_store, several):
    """Through the real driver: what is read is what was written, digest and all."""
    store = make_store()
    records = [{**game(number), **fields, "id": number} for number, fields in enumerate(several, 1)]
    store.apply([SyncRecords("games", [dict(record) for record in records]), complete(1, [], records)])
    assert store.apply([complete(1, [], records)]).is_complete


def test_canonical_json_is_that_of_the_protocol():
    record = {"b": "✔", "a": 1.0, "redirect_uris": ["z", "a"], "connections": [{"id": "2"}, {"id": "1"}]}
    assert canonical_json(record).decode() == (
        '{"a":1.0,"b":"✔","connections":[{"id":"1"},{"id":"2"}],"redirect_uris":["a","z"]}'
    )
    assert CHANNELS.label({"name": "gossip"}) == "gossip" and CHANNELS.label({}) == ""


# Migrations


def test_the_migrations_make_what_the_models_say(any_store, replica_engine):
    assert migrate(replica_engine) == len(steps.STEPS)
    assert migrate(replica_engine) == 0
    found = inspect(replica_engine)
    for model in (Channel, Game, State):
        assert {column["name"] for column in found.get_columns(model.__tablename__)} == set(
            model.__table__.columns.keys()
        )
    assert all(name.startswith("backbone_") for name in found.get_table_names())


def test_alembic_writes_and_compares_tables_of_kinds(any_replica, replica_engine):
    """A migration of a host's tables runs; after it nothing is proposed, least of all for the tables of the library."""
    migrate(replica_engine)

    def include_name(name, type_, parent_names):
        return not (type_ == "table" and name.startswith("backbone_"))

    with replica_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": include_name})
        written = produce_migrations(context, Base.metadata)
        code = render_python_code(written.upgrade_ops, migration_context=context)
        names = {"op": Operations(context), "sa": sqlalchemy, "mysql": mysql, "backbone": backbone}
        exec(f"if True:\n    {code}", names)
        assert {"reviews", "network_events"} <= set(inspect(connection).get_table_names())
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize("dialect", ["mssql", "oracle"])
@pytest.mark.parametrize("model", [Channel, Game, State])
def test_the_tables_can_be_said_in(dialect, model):
    """Of databases that no test runs on: every column has a type there, and what is indexed has a length."""
    known = registry.load(dialect)()
    CreateTable(model.__table__).compile(dialect=known)
    for column in model.__table__.columns:
        if column.index or column.primary_key:
            assert isinstance(column.type, Integer) or "255" in column.type.compile(dialect=known)


def test_several_may_migrate_at_once(any_store, replica_url):
    """Each on an engine of its own: the database cannot tell threads from processes."""
    barrier = threading.Barrier(4)

    def migrate_there(_):
        engine = open_database(replica_url)
        barrier.wait(10)
        try:
            return migrate(engine)
        finally:
            engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(migrate_there, range(4))) == [0, 0, 0, len(steps.STEPS)]


@pytest.mark.parametrize("any_replica", ["sqlite", POSTGRES], indirect=True)
def test_a_failed_step_leaves_nothing(any_replica, replica_engine, monkeypatch):
    """Where the tables of a transaction are taken back with it."""

    def fails(connection):
        connection.execute(text("CREATE TABLE backbone_half (id INTEGER)"))
        connection.execute(text("SELECT * FROM no_such_table"))

    migrate(replica_engine)
    monkeypatch.setattr(steps, "STEPS", (*steps.STEPS, fails))
    with pytest.raises(DatabaseFailed):
        migrate(replica_engine)
    assert "backbone_half" not in inspect(replica_engine).get_table_names()


def test_a_step_that_was_cut_off_is_taken_again(any_store, replica_engine):
    """Where they are not taken back."""
    migrate(replica_engine)
    with replica_engine.begin() as connection:
        State.__table__.drop(connection)
        next(iter(Channel.__table__.indexes)).drop(connection)
        connection.execute(text("DELETE FROM backbone_migrations"))
    assert migrate(replica_engine) == len(steps.STEPS)
    found = inspect(replica_engine)
    assert [index["column_names"] for index in found.get_indexes("backbone_channels")] == [["name"]]
    assert found.has_table("backbone_state")


def test_tables_of_a_later_version_are_left_alone(replica_engine, monkeypatch):
    migrate(replica_engine)
    monkeypatch.setattr(steps, "STEPS", ())
    with pytest.raises(BackboneError, match="later gossip-backbone"):
        migrate(replica_engine)


# A database that fails


def test_a_database_that_cannot_be_reached_is_asked_once(monkeypatch):
    """A host that does not answer would take the driver's patience ten times over."""
    engine = create_engine("mariadb+pymysql://nobody@127.0.0.1:1/none")
    asked = []
    event.listen(engine, "do_connect", lambda *arguments: asked.append(arguments))
    with pytest.raises(DatabaseFailed, match="cannot be reached"):
        migrate(engine)
    assert len(asked) == 1


def test_a_locked_database_is_said_in_one_line(store, replica_url):
    engine = create_engine(replica_url, connect_args={"timeout": 0.1})
    quick = Store(engine, DEFAULT_KINDS)
    with store.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseFailed, match="database is locked") as failure:
            quick.apply([SyncRecords("games", [game(3, "Gamma")], cursor=11)])
        connection.rollback()
    assert "\n" not in str(failure.value)
    assert quick.apply([SyncRecords("games", [game(3, "Gamma")], cursor=11)]).cursor == 11


def test_an_engine_that_begins_its_own_transactions(replica_url):
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


def test_a_host_that_writes_too(any_store, store):
    """The replica and the host write at the same time; nobody is turned away."""
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
