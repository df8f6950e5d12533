"""Moving a network to another database: from SQLite to PostgreSQL and back, nothing lost, or nothing imported."""

from __future__ import annotations

import io
import shutil
from datetime import UTC, date, datetime

import msgspec
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import event, func, insert, select, text
from sqlalchemy.orm import Session

from shared import db
from shared.db import Base, utc_now
from shared.errors import Conflict, Invalid
from shared.models import (
    ApplicationRequest,
    AuthorizationCode,
    Character,
    CharacterSighting,
    ChatReading,
    CheckCount,
    ConnectionCheck,
    DailyPlayerCount,
    EndedSession,
    FavouriteGame,
    GameFacts,
    GamePlay,
    GameTransfer,
    Grant,
    Job,
    Message,
    PlayerCount,
    PlayWay,
    ProfileLink,
    ReservedUsername,
    SafeguardSettings,
    SigningKey,
    StaffNote,
    TellCount,
    Token,
    UserAgent,
)
from shared.services import games, text_search, users
from shared.services.authority import audit
from shared.services.authority.actors import OPERATOR
from shared.services.dumps import reader, tables, writer
from shared.services.moderation import presets
from tests.support.factory import edit_game
from tests.support.moderating import make_moderated
from tests.support.processes import ROOT

SCHEMA = str(ScriptDirectory(str(ROOT / "migrations")).get_current_head())
ODD_TEXTS = [
    "plain",
    "",
    " spaces ",
    "emoji 🐉👩‍👩‍👧 and e\u0301 é",
    "控制 \x01\x7f\x9f\ufeff\u202e\u2028",
    "quotes ' \" \\ \\N \\. $1 %s :x ?",
    "lines\r\n\ttabs",
    "NULL",
    "\U0010ffff",
]
TIMES = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]


pytestmark = pytest.mark.postgres  # every test needs one of each


@pytest.fixture(params=["sqlite", "postgres"], ids=["to postgres", "to sqlite"])
def any_database(request):
    """The database to move from."""
    return request.param


@pytest.fixture
def other_engine(any_database, request, tmp_path, _close_connections):
    """An engine on an empty, migrated database of the other kind."""
    if any_database == "postgres":
        shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), tmp_path / "other.db")
        engine = db.make_engine(f"sqlite:///{tmp_path / 'other.db'}")
        yield engine
        engine.dispose()
        return
    copies = request.getfixturevalue("_migrated_postgres")
    url = copies.take()
    engine = db.make_engine(url)
    yield engine
    engine.dispose()
    copies.put_back(url)


@pytest.fixture
def network(engine, stored):
    """A network with rows in every table, and odd values."""
    moderated = make_moderated(stored)
    stored.application("Mirror")
    way = stored.connection(moderated.game)
    with db.transaction() as session:
        wren = Character(
            user_id=moderated.player.id, game_id=moderated.game.id, name="Wrén", name_key="wrén", created_at=TIMES[1]
        )
        session.add(wren)
        session.flush()
        session.add_all(
            [
                CharacterSighting(character_id=wren.id, seen_at=TIMES[2]),
                ChatReading(user_id=moderated.player.id, channel_id=moderated.channel.id, message_id=2**62),
                CheckCount(owner_id=moderated.owner.id, port_class="other", since=utc_now(), checks=0),
                CheckCount(owner_id=moderated.owner.id, port_class="Telnet", since=utc_now(), checks=1),
                ApplicationRequest(user_id=moderated.player.id, name="Ø", short_name="O", purpose="", answer="ß"),
                ProfileLink(user_id=moderated.player.id, url="https://example.com/ü", verified_at=TIMES[0]),
                FavouriteGame(user_id=moderated.player.id, game_id=moderated.game.id),
                GamePlay(game_id=moderated.game.id, is_allowed=True),
                PlayWay(connection_id=way.id, proved_endpoint="ärgo:4000", asked_at=TIMES[1]),
                GameFacts(connection_id=way.id, due_at=TIMES[2], source="mssp", variables={"NAME": ["Ärgo", ""]}),
                ConnectionCheck(connection_id=way.id, due_at=utc_now(), outcome=None, milliseconds=2**31 - 1),
                DailyPlayerCount(
                    game_id=moderated.game.id,
                    day=date(2024, 2, 29),
                    most=1,
                    total=2**63 - 1,
                    counts=1,
                    last_at=TIMES[3],
                ),
                GameTransfer(
                    game_id=moderated.game.id, from_user_id=moderated.owner.id, to_user_id=moderated.player.id
                ),
                PlayerCount(game_id=moderated.game.id, at=TIMES[0], players=0),
                ReservedUsername(key="ghost"),
                SigningKey(kid="k", algorithm="RS256", private_pem="…", public_jwk={"n": "ß"}, retired_at=TIMES[2]),
                StaffNote(about="report:1", text="Seen\nbefore 🐉", author_id=None, author_name="operator"),
                TellCount(day=date(2026, 1, 1), peer="grapevine", tells=2**40),
                UserAgent(name="Ümläut MUD/1.0"),
                *(EndedSession(number=number, ended_at=TIMES[2]) for number in ("b", "B", "a", "-", "é", "z", "🐉")),
                Job(name="nightly", due_at=TIMES[2], lease_until=None),
            ]
        )
        grant = Grant(user_id=moderated.player.id, game_id=moderated.game.id, scopes=["openid"], used_at=TIMES[2])
        session.add(grant)
        session.flush()
        source = {"grant_id": grant.id, "scopes": ["openid"], "authenticated_at": TIMES[1]}
        session.add(AuthorizationCode(digest="d", redirect_uri="https://example.com/", created_at=TIMES[2], **source))
        session.add(
            Token(
                family="d",
                access_digest="a",
                refresh_digest="r",
                access_scopes=[],
                issued_at=TIMES[2],
                replaced_at=TIMES[2],
                **source,
            )
        )
        session.execute(
            insert(Message),
            [
                {
                    "id": 100 + number,
                    "channel_id": 1,
                    "peer": "grapevine",
                    "game": "Grapevine",
                    "name": "Wren",
                    "text": odd,
                    "worker": "w",
                    "sent_at": TIMES[number % len(TIMES)],
                }
                for number, odd in enumerate(ODD_TEXTS)
            ],
        )
        session.get_one(SafeguardSettings, 1).raid_until = TIMES[3]
        presets.delete_preset(session, OPERATOR, preset_id=1)
        session.execute(text("UPDATE counters SET value = 9223372036854775807 WHERE name = 'messages'"))
    stored.game("Gone")
    with db.transaction() as session:
        games.delete_game(session, OPERATOR, short_name="Gone")
        edit_game(session, "Harbour", description="A harbour. 🚢", homepage_url=None)
    return moderated


def export() -> tuple[bytes, dict]:
    file = io.BytesIO()
    with db.reading() as session:
        result = writer.export_network(session, OPERATOR, file, schema=SCHEMA, now=utc_now())
    return file.getvalue(), result


def import_into(engine, content: bytes, progress=lambda table, rows: None) -> dict:
    with Session(engine) as session, session.begin():
        return reader.import_network(session, OPERATOR, io.BytesIO(content), schema=SCHEMA, progress=progress)


def is_empty(engine) -> bool:
    with Session(engine) as session:
        counts = {table.name: session.scalar(select(func.count()).select_from(table)) for table in tables.list_tables()}
    return {name: count for name, count in counts.items() if count} == {
        "counters": 2,
        "moderation_heads": 1,
        "reason_presets": 8,
        "safeguard_settings": 1,
    }


def test_a_whole_network_moves(network, other_engine):
    """The digests are equal, the new network works, and ids of deleted records are not used again."""
    content, exported = export()
    with db.reading() as session:
        before = tables.digest_network(session)
    empty = [name for name, digest in before["tables"].items() if not digest["rows"]]
    assert empty == [], "add rows for these tables to the fixture `network`"

    imported = import_into(other_engine, content)

    assert imported == exported
    db.bind(other_engine)
    with db.reading() as session:
        assert tables.digest_network(session) == before
        assert audit.verify(session).fault is None
        assert [m.text for m in session.scalars(select(Message).where(Message.id >= 100).order_by(Message.id))] == (
            ODD_TEXTS
        )
        assert text_search.last_indexed_id(session) == 100 + len(ODD_TEXTS) - 1
        query = text_search.make_query(words="gold")
        assert text_search.find_ids(session, query, first=1, last=1000, limit=9) == [network.message]
    assert export()[0].splitlines()[1:] == content.splitlines()[1:]
    with db.transaction() as session:
        user = users.register_user(session, OPERATOR, username="new", email="new@example.com", password="x" * 12)
        assert user.id == 6
        edit_game(session, "Harbour", name="Still works")
    with db.reading() as session:
        assert games.get_game(session, "harbour").name == "Still works"


def test_ids_of_deleted_records_are_not_used_again(network, other_engine, stored):
    content, _ = export()
    import_into(other_engine, content)
    with Session(other_engine) as session:
        assert tables.read_sequences(session)["games"] == 2
        assert session.scalar(text("SELECT max(id) FROM games")) == 1


def test_a_database_in_use_is_refused(network, other_engine):
    content, _ = export()
    with Session(other_engine) as session, session.begin():
        session.add(Job(name="someone works here", due_at=utc_now()))
    with pytest.raises(Conflict, match="is not empty: jobs has rows"):
        import_into(other_engine, content)


@pytest.mark.parametrize("any_database", ["sqlite"], indirect=True, ids=["to postgres"])
def test_a_database_that_others_write_to_is_refused(network, other_engine):
    """SQLite has a lock for every transaction that writes."""
    content, _ = export()
    with Session(other_engine) as others, Session(other_engine) as session, session.begin():
        others.execute(text("LOCK TABLE users IN ROW EXCLUSIVE MODE"))
        session.execute(text("SET LOCAL lock_timeout = '50ms'"))
        with pytest.raises(Conflict, match="stop the site and all workers first"):
            reader.import_network(session, OPERATOR, io.BytesIO(content), schema=SCHEMA)


def test_another_schema_is_refused(network, other_engine):
    content, _ = export()
    with pytest.raises(Conflict, match=f"the file has schema 0013, and this code needs {SCHEMA}"):
        import_into(other_engine, content.replace(f'"schema":"{SCHEMA}"'.encode(), b'"schema":"0013"', 1))
    with pytest.raises(Conflict, match="the file has version 2 of the format, and this code reads 1"):
        import_into(other_engine, content.replace(b'"version":1', b'"version":2', 1))
    with Session(other_engine) as session, session.begin():
        session.execute(text("UPDATE alembic_version SET version_num = '0013'"))
    with pytest.raises(Conflict, match="the database is at schema 0013"):
        import_into(other_engine, content)


def damaged_files(content: bytes) -> dict[str, bytes]:
    lines = content.splitlines(keepends=True)
    user = next(number for number, line in enumerate(lines) if b'"table":"users"' in line) + 1
    end = next(number for number, line in enumerate(lines) if number > user and line.startswith(b"{"))
    return {
        "the file is not an export": b"hello\n",
        "not an export": b"",
        "ends in the middle of a line": content[:-5],
        "ends within": b"".join(lines[: user + 1]),
        "the digest of users is wrong": content.replace(b"wright", b"wrong.", 1),
        "digest of users is wrong": b"".join(lines[:user] + lines[user + 1 :]),
        "the table users is missing": b"".join(lines[: user - 1] + lines[end + 1 :]),
        "users, row 1: it has 1 values": b"".join([*lines[:user], b"[1]\n", *lines[user:]]),
        "users, row 1: id cannot be 'x'": b"".join([*lines[:user], b'["x"' + lines[user][2:], *lines[user + 1 :]]),
        "its end is not": b"".join(lines[:-1]),
        "end is not": content + b"{}\n",
        "damaged": content.replace(b'["', b'["\xff', 1),
    }


def test_a_damaged_file_imports_nothing(network, other_engine):
    content, _ = export()
    for message, damaged in damaged_files(content).items():
        with pytest.raises(Invalid, match=message):
            import_into(other_engine, damaged)
        assert is_empty(other_engine), message


def test_a_row_that_the_database_refuses_is_named(network, other_engine):
    """With the right digests, so that only the database notices."""
    content, _ = export()
    lines = content.splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if b'"table":"users"' in line) + 1
    end = next(number for number, line in enumerate(lines) if number > start and line.startswith(b"{"))
    twice = lines[start : start + 1]
    digest = tables.Digest()
    for line in lines[start:end] + twice:
        digest.add(line[:-1])
    sums = msgspec.json.encode({"rows": digest.result().rows, "sha256": digest.result().sha256}) + b"\n"
    with pytest.raises(Invalid, match=r"users, row 6: the database refuses it"):
        import_into(other_engine, b"".join(lines[:end] + twice + [sums] + lines[end + 1 :]))
    assert is_empty(other_engine)


def test_exporting_and_importing_take_bounded_memory(network, other_engine, any_database):
    """Rows are fetched and inserted a few at a time, however many there are."""
    with db.transaction() as session:
        session.execute(
            insert(Message),
            [
                {"id": 1000 + n, "channel_id": 1, "peer": "game:1", "game": "X", "name": "Wren", "text": "x",
                 "worker": "w", "sent_at": TIMES[2]}
                for n in range(3 * tables.ROWS_AT_ONCE)
            ],
        )  # fmt: skip
    batches = []
    event.listen(
        other_engine,
        "before_cursor_execute",
        lambda c, cu, statement, parameters, context, many: batches.append(len(parameters) if many else 1),
    )
    seen = []
    content, _ = export()
    import_into(other_engine, content, lambda table, rows: seen.append((table, rows)))
    assert max(batches) == tables.ROWS_AT_ONCE
    assert ("messages", 3 * tables.ROWS_AT_ONCE) in seen


def test_every_counted_table_has_a_sequence(any_database, engine):
    """PostgreSQL counts the ids of the same tables as SQLite, so no sequence is forgotten."""
    with Session(engine) as session:
        if engine.dialect.name == "postgresql":
            columns = session.execute(
                text("SELECT table_name FROM information_schema.columns WHERE column_default LIKE 'nextval%'")
            )
        else:
            columns = session.execute(text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'"))
        counted = set(columns.scalars())
    assert counted == {table.name for table in tables.numbered_tables()}
    assert Base.metadata.tables.keys() == {table.name for table in tables.list_tables()}
