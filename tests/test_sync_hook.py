"""The log of changes: what the session's hooks write, however a record is changed, and what they refuse."""

from __future__ import annotations

import json
import threading

import pytest
from sqlalchemy import delete, insert, select, text, update

from shared import db
from shared.bus import take_announcements
from shared.models import Channel, Counter, Game, GameConnection, UserAgent, Version
from shared.protocol.sync import canonical_json
from shared.services import channels, game_clients, games, versions
from shared.services.authority.actors import OPERATOR
from shared.services.game_clients import ClientSoftware
from shared.signals import VersionsLogged
from shared.sync import BulkWriteRefused, synced_tables
from tests.support.passwords import use_quick_passwords
from tests.support.racing import Racer, wait_until_blocked

both = pytest.mark.usefixtures("any_database")


@pytest.fixture(autouse=True)
def _quick_passwords(monkeypatch):
    use_quick_passwords(monkeypatch)


def log(after=0):
    """Return each version after a cursor as (cursor, action, kind, id, record), read on a separate connection."""
    with db.reading() as session:
        return [
            (v.id, v.action, v.kind, v.record_id, None if v.record is None else json.loads(v.record))
            for v in session.scalars(select(Version).where(Version.id > after).order_by(Version.id))
        ]


def actions(after=0):
    return [(action, kind, record_id) for _, action, kind, record_id, _ in log(after)]


@pytest.fixture
def game(make, session):
    """A game that is version 1 of the log."""
    game = make.game("Tea")
    session.commit()
    assert actions() == [("created", "games", game.id)]
    return game


# What is written


@both
def test_create_update_delete(session):
    channel = channels.create_channel(session, OPERATOR, name="gossip")
    session.commit()
    channels.update_channel(session, OPERATOR, name="gossip", description="Talk.")
    session.commit()
    channels.delete_channel(session, OPERATOR, name="gossip")
    session.commit()
    record = {"id": channel.id, "name": "gossip", "description": None, "hidden": False}
    assert log() == [
        (1, "created", "channels", channel.id, record),
        (2, "updated", "channels", channel.id, {**record, "description": "Talk."}),
        (3, "deleted", "channels", channel.id, None),
    ]


@both
def test_only_the_newest_version_is_not_superseded(session):
    channels.create_channel(session, OPERATOR, name="gossip")
    session.commit()
    for hidden in (True, False):
        channels.update_channel(session, OPERATOR, name="gossip", is_hidden=hidden)
        session.commit()
    rows = session.execute(select(Version.id, Version.superseded_by).order_by(Version.id)).all()
    assert [tuple(row) for row in rows] == [(1, 2), (2, 3), (3, None)]


@both
def test_the_record_is_canonical_and_whole(session, game):
    games.add_connection(session, OPERATOR, short_name="Tea", type="telnet", host="a.example.com", port=1)
    game.redirect_uris = ["https://b.example.com", "https://a.example.com"]
    game.description = "Ünïcode ☃"
    session.commit()
    stored = session.scalar(select(Version.record).where(Version.id == 2))
    assert stored == json.dumps(json.loads(stored), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert stored.encode() == canonical_json(game.sync_payload())
    assert set(json.loads(stored)) == {
        "id", "game", "display_name", "display", "description", "homepage_url", "user_agent", "user_agent_url",
        "connections", "allow_character_registration", "redirect_uris",
    }  # fmt: skip
    assert json.loads(stored)["redirect_uris"] == ["https://a.example.com", "https://b.example.com"]


@both
def test_several_changes_of_one_transaction_are_one_version(session):
    channel = channels.create_channel(session, OPERATOR, name="gossip")
    session.flush()
    channel.description = "one"
    session.flush()
    channel.description = "two"
    session.commit()
    assert [(number, action, record["description"]) for number, action, _, _, record in log()] == [
        (1, "created", "two")
    ]


@both
def test_channels_come_before_games_in_one_transaction(make, session):
    make.game("Tea")
    make.channel("gossip")
    session.commit()
    assert [kind for _, kind, _ in actions()] == ["channels", "games"]


@both
@pytest.mark.parametrize("count", [1, 501])
def test_many_records_in_one_transaction(session, count):
    session.add_all(
        Channel(name="c" + "".join(chr(97 + int(digit)) for digit in f"{number:04}")) for number in range(count)
    )
    session.commit()
    numbers = [number for number, *_ in log()]
    assert numbers == list(range(1, count + 1))
    assert versions.last_cursor(session) == count


# What leaves no version


@both
@pytest.mark.parametrize("column", ["protocol_version", "credentials", "owner", "same value"])
def test_a_change_of_an_unsynced_column_leaves_no_version(make, session, game, column):
    if column == "protocol_version":
        game.protocol_version = "2.3.0"
    elif column == "credentials":
        games.regenerate_credentials(session, OPERATOR, short_name="Tea")
    elif column == "owner":
        game.owner_id = make.user().id
    else:
        game.description, game.redirect_uris = "", []
        session.flush()
        game.description = None
    session.commit()
    assert actions(after=1) == []
    assert versions.last_cursor(session) == 1


@both
def test_a_record_deleted_in_the_transaction_that_created_it_leaves_no_version(session):
    channel = Channel(name="gossip")
    session.add(channel)
    session.flush()
    session.delete(channel)
    session.commit()
    assert log() == []
    assert versions.last_cursor(session) == 0


@both
def test_a_change_reverted_in_the_same_transaction_leaves_no_version(session, game):
    game.name = "Other"
    session.flush()
    game.name = "The Tea"
    session.commit()
    assert actions(after=1) == []


@both
def test_a_rolled_back_transaction_leaves_no_version_then_or_later(session, game):
    game.name = "Other"
    session.flush()
    session.rollback()
    assert "sync_touched" not in session.info
    session.commit()
    channels.create_channel(session, OPERATOR, name="gossip")
    session.commit()
    assert actions(after=1) == [("created", "channels", 1)]


@both
def test_a_transaction_that_only_reads_locks_nothing(session, game, engine):
    """Only a transaction with something to log locks the counter row."""
    games.get_game(session, "Tea")
    statements = []
    from sqlalchemy import event

    event.listen(engine, "before_cursor_execute", lambda c, cu, statement, *rest: statements.append(statement))
    session.commit()
    assert not any("counters" in statement for statement in statements)


# Savepoints


@both
def test_a_rolled_back_savepoint(session, game):
    nested = session.begin_nested()
    game.name = "Other"
    session.add(Channel(name="gossip"))
    session.flush()
    nested.rollback()
    session.commit()
    assert actions(after=1) == []


@both
def test_a_savepoint_rolled_back_after_a_change_outside_it(session, game):
    game.description = "Stays."
    nested = session.begin_nested()
    game.description = "Goes."
    session.flush()
    nested.rollback()
    session.commit()
    assert [record["description"] for *_, record in log(after=1)] == ["Stays."]


@both
def test_a_released_savepoint(session, game):
    """The release writes nothing, the commit one version."""
    with session.begin_nested():
        game.name = "Other"
        session.flush()
    assert session.scalar(select(Counter.value).where(Counter.name == "versions")) == 1
    assert session.scalars(select(Version.id)).all() == [1]
    game.description = "More."
    session.commit()
    assert [(record["display_name"], record["description"]) for *_, record in log(after=1)] == [("Other", "More.")]


@both
def test_a_commit_with_an_open_savepoint(session, game):
    session.begin_nested()
    game.name = "Other"
    session.begin_nested()
    session.add(Channel(name="gossip"))
    session.commit()
    if session.in_transaction():
        session.commit()
    session.close()
    assert sorted(actions(after=1)) == [("created", "channels", 1), ("updated", "games", game.id)]
    assert [number for number, *_ in log()] == [1, 2, 3]


@both
def test_savepoints_in_a_transaction_block(session, game):
    session.commit()
    with db.transaction() as own:
        same_game = own.get(Game, game.id)
        with own.begin_nested():
            same_game.name = "Other"
            with own.begin_nested():
                same_game.description = "More."
        try:
            with own.begin_nested():
                own.delete(same_game)
                own.flush()
                raise RuntimeError
        except RuntimeError:
            pass
    assert actions(after=1) == [("updated", "games", game.id)]


# Rows that belong to a record


@both
def test_adding_changing_and_removing_a_way_to_connect(session, game):
    way = games.add_connection(session, OPERATOR, short_name="Tea", type="telnet", host="a.example.com", port=1)
    session.commit()
    games.update_connection(session, OPERATOR, connection_id=way.id, type="web", url="https://tea.example.com")
    session.commit()
    games.delete_connection(session, OPERATOR, connection_id=way.id)
    session.commit()
    assert actions(after=1) == [("updated", "games", game.id)] * 3
    assert [record["connections"] for *_, record in log(after=1)] == [
        [{"id": way.id, "type": "telnet", "host": "a.example.com", "port": 1}],
        [{"id": way.id, "type": "web", "url": "https://tea.example.com"}],
        [],
    ]


@both
@pytest.mark.parametrize("how", ["by id", "by relation"])
def test_moving_a_way_to_connect_changes_both_games(make, session, game, how):
    other = make.game("Coffee")
    way = make.connection(game)
    session.commit()
    before = versions.last_cursor(session)
    if how == "by id":
        session.get(GameConnection, way.id).game_id = other.id
    else:
        way.game = other
    session.commit()
    assert sorted(actions(after=before)) == [("updated", "games", game.id), ("updated", "games", other.id)]
    assert {record["game"]: len(record["connections"]) for *_, record in log(after=before)} == {"Tea": 0, "Coffee": 1}


@both
def test_deleting_a_way_to_connect_without_loading_its_game(make, session, game):
    way_id = make.connection(game).id
    session.commit()
    session.close()
    with db.transaction() as own:
        own.delete(own.get(GameConnection, way_id))
    assert [record["connections"] for *_, record in log(after=2)] == [[]]


@both
def test_ways_to_connect_are_sorted_by_id(make, session, game):
    for _ in range(5):
        make.connection(game)
    session.commit()
    ids = [way["id"] for way in log(after=1)[0][4]["connections"]]
    assert ids == sorted(ids) and len(ids) == 5


@both
def test_a_new_address_of_a_user_agent_changes_every_game_that_runs_it(make, session):
    tea, coffee, other = make.game("Tea"), make.game("Coffee"), make.game("Other")
    for each in (tea, coffee):
        game_clients.remember_clients(session, {each.id: ClientSoftware("ExVenture", "2.3.0")})
    session.commit()
    before = versions.last_cursor(session)
    agent = session.scalar(select(UserAgent))
    agent.repository_url = "https://example.com/exventure"
    session.commit()
    assert actions(after=before) == [("updated", "games", tea.id), ("updated", "games", coffee.id)]
    assert {record["user_agent_url"] for *_, record in log(after=before)} == {"https://example.com/exventure"}
    assert other.id not in [record_id for *_, record_id in actions(after=before)]


@both
def test_deleting_a_game_is_one_version(make, session, game):
    make.connection(game)
    session.commit()
    games.delete_game(session, OPERATOR, short_name="Tea")
    session.commit()
    assert actions(after=2) == [("deleted", "games", game.id)]


# Several transactions


@pytest.mark.postgres
@pytest.mark.parametrize("any_database", ["postgres"], indirect=True)
def test_two_transactions_on_one_record(any_database, engine, stored):
    """Each changes a different field. The second version includes the first change, since it is read after the lock."""
    game = stored.game("Tea")
    stored.connection(game)
    started, go_on = threading.Event(), threading.Event()

    def second():
        with db.transaction() as other:
            # Reads the record before the first has committed, and changes a row that the first does not lock.
            way = other.get(Game, game.id).connections[0]
            way.port = 7
            other.flush()
            started.set()
            assert go_on.wait(10)

    racer = Racer(second)
    assert started.wait(10)
    with db.transaction() as session:
        session.get(Game, game.id).description = "By the first."
    assert [record["connections"][0]["port"] for *_, record in log(after=2)] == [4000]
    go_on.set()
    racer.join()
    last = log(after=3)
    assert len(last) == 1
    assert (last[0][4]["description"], last[0][4]["connections"][0]["port"]) == ("By the first.", 7)


@pytest.mark.postgres
@pytest.mark.parametrize("any_database", ["postgres"], indirect=True)
def test_versions_appear_in_the_order_of_their_numbers(any_database, engine, monkeypatch):
    """A transaction that has a number but has not committed blocks the next: no reader sees 2 without 1."""
    has_number, may_commit = threading.Event(), threading.Event()

    def slow():
        with db.SessionFactory() as session:
            session.add(Channel(name="slow"))
            from sqlalchemy import event

            @event.listens_for(session, "before_commit")
            def wait(_session):  # runs after the hook that writes the versions
                has_number.set()
                assert may_commit.wait(10)

            session.commit()

    def quick():
        with db.transaction() as session:
            session.add(Channel(name="quick"))

    first = Racer(slow)
    assert has_number.wait(10)
    second = Racer(quick)
    wait_until_blocked(engine, second)
    assert second.is_running
    with db.reading() as reader:
        assert versions.last_cursor(reader) == 0
        assert versions.since(reader, 0) == []
    may_commit.set()
    first.join()
    second.join()
    assert [(number, record["name"]) for number, *_, record in log()] == [(1, "slow"), (2, "quick")]


@both
def test_a_reader_at_n_has_everything_up_to_n(engine):
    """While four writers commit, the log never has a gap, and what a reader has seen never changes."""
    writers, each = 4, 12
    start = threading.Barrier(writers)

    def write(writer):
        def run():
            start.wait(10)
            for number in range(each):
                name = f"{'abcd'[writer]}-{'abcdefghijklmnop'[number]}-x"
                with db.transaction() as session:
                    session.add(Channel(name=name))
                    session.flush()
                    if number % 3 == 0:
                        session.add(Channel(name=name + "-two"))

        return run

    racers = [Racer(write(writer)) for writer in range(writers)]
    total = writers * (each + each // 3)
    seen: list[int] = []
    is_over = False
    while not is_over:
        is_over = not any(racer.is_running for racer in racers)  # then read one last time
        with db.reading() as session:
            last = versions.last_cursor(session)
            new = [change.cursor for change in versions.since(session, len(seen), limit=10_000)]
        seen += new
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) == last
    for racer in racers:
        racer.join()
    assert len(seen) == total


# Signals


@both
def test_the_new_cursor_is_announced_after_the_commit(session):
    channels.ensure_channel(session, name="gossip")
    channels.ensure_channel(session, name="testing")
    session.commit()
    assert take_announcements(session) == [VersionsLogged(2)]
    session.get(Channel, 1).description = None
    session.commit()
    assert take_announcements(session) == []


# Writes that the hooks cannot see are refused


@both
@pytest.mark.parametrize(
    "statement",
    [
        insert(Channel).values(name="gossip", is_hidden=True),
        insert(Channel.__table__).values(name="gossip", is_hidden=True),
        update(Channel).values(description="x"),
        update(Game).where(Game.id == 1).values(name="x"),
        update(Game.__table__).values(name="x"),
        delete(Channel),
        delete(GameConnection.__table__),
        update(GameConnection).values(port=1),
        update(UserAgent).values(repository_url="x"),
        delete(Game).execution_options(synchronize_session=False),
        delete(Channel).returning(Channel.id),
    ],
    ids=str,
)
def test_bulk_writes_through_the_session_are_refused(session, statement):
    with pytest.raises(BulkWriteRefused, match="through its models"):
        session.execute(statement)


@pytest.mark.parametrize(
    "write",
    [
        lambda session: session.query(Channel).update({"description": "x"}),
        lambda session: session.query(Game).delete(),
        lambda session: session.execute(insert(Channel), [{"name": "abc"}, {"name": "def"}]),
        lambda session: session.scalars(insert(Channel).returning(Channel), [{"name": "abc"}]),
    ],
)
def test_other_forms_of_bulk_writes_are_refused_too(session, write):
    with pytest.raises(BulkWriteRefused):
        write(session)


def test_unsynced_tables_can_be_written_in_bulk(session):
    session.execute(update(Counter).where(Counter.name == "messages").values(value=5))
    session.execute(delete(Version))
    session.commit()


def test_which_tables_are_synced():
    """The search through the code (`test_unlogged_writes.py`) relies on this list."""
    assert synced_tables() == {"channels", "games", "game_connections", "user_agents"}


def test_the_hooks_do_not_see_raw_sql(session):
    """This is why the search through the code is needed."""
    session.execute(text("INSERT INTO channels (name, is_hidden, created_at) VALUES ('raw', 1, '2026-01-01')"))
    session.commit()
    assert log() == []
