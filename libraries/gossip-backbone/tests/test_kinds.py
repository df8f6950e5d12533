"""Registered kinds, and records as rows."""

from __future__ import annotations

import json

import pytest
from backbone import DatabaseFailed, Kind, migrate
from backbone.kinds import CHANNELS, DEFAULT_KINDS, GAMES
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
    Integer,
    LargeBinary,
    Numeric,
    String,
    Text,
    create_engine,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, mapped_column

from tests.support.backbone import Base, Event, channel, complete, everything, fair_model, game


@pytest.fixture
def make_fair_store(replica_engine):
    """Create the table of a registered kind, and return a store of this kind alone."""

    def make(model):
        migrate(replica_engine)
        model.metadata.create_all(replica_engine)
        return Store(replica_engine, [Kind("fairs", model)])

    return make


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
def test_a_column_that_cannot_give_values_back_unchanged_is_refused(column):
    with pytest.raises(TypeError, match=r"fairs\.when"):
        Kind("fairs", fair_model(when=mapped_column(column)))


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
    fair = fair_model(price=mapped_column(column))
    with pytest.raises(TypeError, match=rf"fairs\.price.*{advice}"):
        Store(create_engine(f"{database}://nobody@localhost/none"), [Kind("fairs", fair)])
    Store(create_engine("sqlite://"), [Kind("fairs", fair)])


def test_a_float_column_gives_numbers_back_unchanged(any_store, make_fair_store):
    store = make_fair_store(fair_model(price=mapped_column(Double)))
    records = [{"id": number, "price": price} for number, price in enumerate((1.5, 2, None, 1e300, 0.1, -0.0), 1)]
    end = SyncComplete(1, {"fairs": 6}, {"fairs": digest(records)[1]})
    store.apply([SyncRecords("fairs", records), end])
    assert store.apply([end]).is_complete


def test_a_value_that_does_not_fit_its_column_goes_to_extra(any_store, make_fair_store):
    """It is too long, too large, or a text that some databases refuse."""
    fair = fair_model(title=mapped_column(String(10)), visitors=mapped_column(Integer), cents=mapped_column(BigInteger))
    store = make_fair_store(fair)
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
    all_records = [*records, fitting]
    end = SyncComplete(1, {"fairs": 7}, {"fairs": digest(all_records)[1]})
    store.apply([SyncRecords("fairs", all_records), end])
    assert everything(store)["fairs"] == all_records and store.apply([end]).is_complete
    with Session(store.engine) as session:
        assert all(session.get(fair, record["id"]).extra for record in records)
        assert session.get(fair, 7).extra is None


def test_a_record_never_replaces_another_with_the_same_unique_value(any_store, make_fair_store):
    store = make_fair_store(fair_model(title=mapped_column(String(100), unique=True)))
    store.apply([SyncRecords("fairs", [{"id": 1, "title": "A"}]), SyncComplete(1, {"fairs": 1}, {})])
    with pytest.raises(DatabaseFailed, match="refuses a change"):
        store.apply([SyncRecords("fairs", [{"id": 2, "title": "A"}], (), 2)])
    assert everything(store)["fairs"] == [{"id": 1, "title": "A"}] and store.since() == 1


letters = st.characters(exclude_categories=["Cs"]) | st.sampled_from(["\0", "\ud800"])  # half of a surrogate pair

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
def test_any_records_are_read_back_unchanged(any_store, make_store, field_lists):
    """The real driver is used, and the digests are equal."""
    store = make_store()
    records = [{**game(number), **fields, "id": number} for number, fields in enumerate(field_lists, 1)]
    store.apply([SyncRecords("games", [dict(record) for record in records]), complete(1, [], records)])
    assert store.apply([complete(1, [], records)]).is_complete


def test_canonical_json_follows_the_protocol():
    record = {"b": "✔", "a": 1.0, "redirect_uris": ["z", "a"], "connections": [{"id": "2"}, {"id": "1"}]}
    assert canonical_json(record).decode() == (
        '{"a":1.0,"b":"✔","connections":[{"id":"1"},{"id":"2"}],"redirect_uris":["a","z"]}'
    )
    assert CHANNELS.label({"name": "gossip"}) == "gossip" and CHANNELS.label({}) == ""
