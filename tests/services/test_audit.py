"""The audit trail: complete with concurrent writers, protected by the database, and verified by hashes."""

from __future__ import annotations

import csv
import io
import json
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared import db
from shared.models import AuditEntry
from shared.services.authority import actors, audit
from shared.services.authority.actors import OPERATOR
from shared.services.authority.audit import Target
from shared.services.authority.permissions import Act
from shared.services.moderation import filters, sanctions

pytestmark = pytest.mark.usefixtures("any_database")

ABOUT = Target("channel", "channel:1", "gossip")


def record(*reasons: str) -> None:
    """One transaction with an entry for each reason."""
    with db.transaction() as session:
        for reason in reasons:
            audit.record(session, OPERATOR, Act.PAUSE, ABOUT, after={"paused": True}, reason=reason)


def verify() -> audit.Verification:
    with db.reading() as session:
        return audit.verify(session)


def reasons() -> list[str]:
    with db.reading() as session:
        return [entry.reason for entry in audit.entries_since(session, 0, limit=1000)]


def tamper(engine, *statements: str) -> None:
    """Change the trail as the owner of the database could: without the triggers."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            for name in connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            for table in ("audit_entries", "moderation_heads"):
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        for statement in statements:
            connection.execute(text(statement))


@pytest.fixture
def trail(engine):
    """Five entries."""
    for number in range(1, 6):
        record(f"reason {number}")
    return engine


def test_an_empty_trail_is_whole(engine):
    assert verify() == audit.Verification(0, audit.GENESIS)


def test_entries_are_chained(trail):
    result = verify()
    assert result.is_whole and result.entries == 5
    with db.reading() as session:
        entries = audit.entries_since(session, 0)
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].previous_hash == audit.GENESIS
    assert [entry.previous_hash for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    assert result.head == entries[-1].hash


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET reason = 'x' WHERE number = 2",
        "UPDATE audit_entries SET hash = hash",
        "DELETE FROM audit_entries WHERE number = 5",
        "DELETE FROM audit_entries",
        "DELETE FROM moderation_heads",
        "UPDATE moderation_heads SET number = 4",
        "UPDATE moderation_heads SET hash = 'x'",
        "sqlite: INSERT OR REPLACE INTO audit_entries SELECT * FROM audit_entries WHERE number = 2",
        "postgresql: TRUNCATE audit_entries",
        "postgresql: TRUNCATE moderation_heads",
    ],
)
def test_the_database_refuses_changes(trail, statement):
    dialect, _, only = statement.rpartition(": ")
    if dialect and dialect != trail.dialect.name:
        return
    with pytest.raises(DBAPIError, match="append-only"), trail.begin() as connection:
        connection.execute(text(only))
    assert verify().is_whole and verify().entries == 5


@pytest.mark.parametrize(
    ("statements", "broken_at", "fault"),
    [
        (["UPDATE audit_entries SET reason = 'another' WHERE number = 3"], 3, "changed"),
        (["UPDATE audit_entries SET actor_name = 'somebody' WHERE number = 1"], 1, "changed"),
        (["UPDATE audit_entries SET after = NULL WHERE number = 5"], 5, "changed"),
        (["DELETE FROM audit_entries WHERE number = 2"], 2, "missing"),
        (["DELETE FROM audit_entries WHERE number = 1"], 1, "missing"),
        (["DELETE FROM audit_entries WHERE number >= 4"], 4, "truncated"),
        (["DELETE FROM audit_entries"], 1, "truncated"),
        (
            [
                "UPDATE audit_entries SET number = 99 WHERE number = 2",
                "UPDATE audit_entries SET number = 2 WHERE number = 3",
                "UPDATE audit_entries SET number = 3 WHERE number = 99",
            ],
            2,
            "changed",
        ),
        (["UPDATE moderation_heads SET hash = 'x'"], 5, "head"),
        (["UPDATE moderation_heads SET number = 3"], 5, "head"),
    ],
)
def test_verify_names_an_entry_that_was_changed(trail, statements, broken_at, fault):
    tamper(trail, *statements)
    result = verify()
    assert (result.broken_at, result.fault) == (broken_at, fault)


def test_replacing_a_whole_entry_breaks_the_next_one(trail):
    """Its own hash is right, but the next entry's hash covers the old one."""
    with db.reading() as session:
        entry = session.get(AuditEntry, 3)
        forged = {field: getattr(entry, field) for field in audit.FIELDS} | {"reason": "forged"}
    tamper(trail, f"UPDATE audit_entries SET reason = 'forged', hash = '{audit.hash_of(forged)}' WHERE number = 3")
    result = verify()
    assert (result.broken_at, result.fault) == (4, "reordered")


def test_replacing_the_last_entry_breaks_the_head(trail):
    with db.reading() as session:
        entry = session.get(AuditEntry, 5)
        forged = {field: getattr(entry, field) for field in audit.FIELDS} | {"reason": "forged"}
    tamper(trail, f"UPDATE audit_entries SET reason = 'forged', hash = '{audit.hash_of(forged)}' WHERE number = 5")
    assert verify().fault == "head"


def test_the_command_names_the_first_broken_entry(trail, run_flask):
    done = run_flask("moderation", "verify-log")
    assert done.returncode == 0
    assert json.loads(done.stdout)["ok"] is True and json.loads(done.stdout)["entries"] == 5
    tamper(trail, "UPDATE audit_entries SET reason = 'x' WHERE number = 4")
    done = run_flask("moderation", "verify-log")
    assert done.returncode == 1
    [line] = done.stdout.splitlines()
    assert json.loads(line) | {"head": ""} == {
        "ok": False,
        "entries": 3,
        "head": "",
        "broken_at": 4,
        "fault": "changed",
    }


def test_a_rollback_leaves_no_entry(engine):
    record("kept")
    with pytest.raises(RuntimeError), db.transaction() as session:
        audit.record(session, OPERATOR, Act.PAUSE, ABOUT, reason="lost")
        raise RuntimeError
    with db.transaction() as session:
        audit.record(session, OPERATOR, Act.PAUSE, ABOUT, reason="before")
        with pytest.raises(RuntimeError), session.begin_nested():
            audit.record(session, OPERATOR, Act.PAUSE, ABOUT, reason="in a savepoint")
            with session.begin_nested():
                audit.record(session, OPERATOR, Act.PAUSE, ABOUT, reason="in one within")
            raise RuntimeError
        with session.begin_nested():
            audit.record(session, OPERATOR, Act.PAUSE, ABOUT, reason="in one that is kept")
    assert reasons() == ["kept", "before", "in one that is kept"]
    assert verify().is_whole


def test_concurrent_writers_make_one_chain(engine):
    """All write at the same time on their own connections, some several entries at once."""
    start = threading.Barrier(8)
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        start.wait()
        try:
            for number in range(15):
                record(*[f"{writer} {number}"] * (1 + number % 3))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    result = verify()
    assert result.is_whole and result.entries == 8 * 30
    for writer in range(8):
        own = [int(reason.split()[1]) for reason in reasons() if reason.startswith(f"{writer} ")]
        assert own == sorted(own)


def test_an_act_and_its_entry_are_one_transaction(make, session):
    game = make.game("Tea")
    sanctions.sanction(
        session, OPERATOR, kind="mute", target_kind="player", target="Bob@Tea", seconds=60, reason="flooding"
    )
    session.commit()
    [entry] = audit.entries_since(session, 0)
    assert (entry.act, entry.target, entry.target_id) == ("sanction", "Bob@Tea", f"game:{game.id}/bob")
    assert (entry.actor_kind, entry.actor_role, entry.reason) == ("system", "operator", "flooding")
    assert json.loads(entry.after)["kind"] == "mute" and entry.before is None


def test_exports(make, session):
    user = make.user("mody", role="moderator")
    actor = actors.of_user(session, user.id)
    for reason in ("=1+1", "+1", "-1", "@SUM(A1)", " =1", "plain, with a comma", 'with "quotes"'):
        audit.record(session, actor, Act.PAUSE, Target("channel", "channel:1", "=evil"), reason=reason)
    session.commit()
    rows = list(csv.DictReader(io.StringIO("".join(audit.export_csv(session)))))
    assert [row["reason"] for row in rows] == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@SUM(A1)",
        "' =1",
        "plain, with a comma",
        'with "quotes"',
    ]
    assert {row["target"] for row in rows} == {"'=evil"} and rows[0]["actor_name"] == "mody"
    assert not any(value[:1] in ("=", "+", "-", "@") for row in rows for value in row.values())
    exported = json.loads("".join(audit.export_json(session)))
    assert [entry["number"] for entry in exported] == list(range(1, 8))
    assert exported[0]["reason"] == "=1+1" and exported[0]["hash"] == rows[0]["hash"]


@pytest.mark.parametrize(
    "reason",
    [
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20SUM(A1)",
        "\ufe661",
        "\u22121",
        "\u200b=1",
        "\ufeff\u00a0=1",
        "\u3164=1",
        "\u0301=1",
    ],
    ids=ascii,
)
def test_formulas_are_escaped_behind_invisible_and_in_full_width(make, session, reason):
    actor = actors.of_user(session, make.user("mody", role="moderator").id)
    audit.record(session, actor, Act.PAUSE, Target("channel", "channel:1", "evil"), reason=reason)
    session.commit()
    [row] = csv.DictReader(io.StringIO("".join(audit.export_csv(session))))
    assert row["reason"] == f"'{reason}"


def test_forms_are_objects_in_json_and_text_in_csv(session):
    target = Target("channel", "channel:1", "den")
    audit.record(session, OPERATOR, Act.SLOW, target, before=None, after={"slow_seconds": 3})
    session.commit()
    [entry] = json.loads("".join(audit.export_json(session)))
    assert entry["before"] is None and entry["after"] == {"slow_seconds": 3}
    [row] = csv.DictReader(io.StringIO("".join(audit.export_csv(session))))
    assert row["before"] == "" and row["after"] == '{"slow_seconds":3}'
    assert audit.verify(session).is_whole


def test_entries_are_found_by_names_and_ids(session):
    """Also acts from when the target had another name."""
    about = [("channel", "channel:1", "den"), ("channel", "channel:1", "lair"), ("player", "game:2/bob", "Bob@AshFall")]
    for target in (*about, ("game", "game:2", "AshFall"), ("user", "user:3", "bob")):
        audit.record(session, OPERATOR, Act.SLOW, Target(*target))
    session.commit()

    def numbers(about):
        return [entry.number for entry in audit.list_entries(session, about=about).items]

    assert numbers("LAIR") == numbers("channel:1") == [2, 1]
    assert numbers("bob@ashfall") == numbers("game:2/Bob") == [3]
    assert numbers("ashfall") == [4, 3] and numbers(" Bob ") == [5, 3]
    assert numbers("game:2") == [4] and numbers("b%b") == []


def test_the_public_trail_says_what_happened_to_a_filter(session):
    word_filter = filters.create_filter(session, OPERATOR, kind="word", action="mask", text="darn")
    for is_on in (True, False):
        filters.switch_filter(session, OPERATOR, filter_id=word_filter.id, is_on=is_on)
    filters.update_filter(session, OPERATOR, filter_id=word_filter.id, kind="word", action="mask", text="drat")
    filters.delete_filter(session, OPERATOR, filter_id=word_filter.id)
    session.commit()
    changes = [act.detail["change"] for act in audit.list_public(session).items]
    assert changes == ["removed", "changed", "switched off", "switched on", "made"]


def test_the_public_trail_names_nobody(make, session):
    moderator = make.user("mody", role="moderator")
    make.game("Tea")
    sanctions.sanction(
        session,
        actors.of_user(session, moderator.id),
        kind="ban",
        target_kind="player",
        target="Bob@Tea",
        reason="flooding",
    )
    session.commit()
    [act] = audit.list_public(session).items
    assert (act.act, act.role, act.reason, act.detail["kind"]) == ("sanction", "moderator", "flooding", "ban")
    assert "Bob" not in repr(act) and "mody" not in repr(act)
