"""The migrations run on both databases, create what the models declare, and can be reversed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, inspect, text
from sqlalchemy.exc import IntegrityError

import shared.models  # noqa: F401  registers all tables
from shared import db
from shared.models.message import is_declared
from tests.support.processes import ROOT, clean_environment
from tests.support.racing import Racer
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.usefixtures("any_database"),
    # SQLAlchemy cannot reflect SQLite's indexes on expressions; another test covers them.
    pytest.mark.filterwarnings("ignore:Skipped unsupported reflection:sqlalchemy.exc.SAWarning"),
    pytest.mark.filterwarnings("ignore:autogenerate skipping:UserWarning"),
]

MIGRATION_LOCK = int(re.search(r"MIGRATION_LOCK = ([\d_]+)", (ROOT / "migrations" / "env.py").read_text())[1])
UNIQUE_WITHOUT_CASE = [
    ("users", "username"),
    ("games", "short_name"),
    ("applications", "short_name"),
    ("channels", "name"),
]


@pytest.fixture
def flask_db(tmp_path, redis_url):
    """Run `flask db …` on a database."""

    def run(url, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", "flask", "db", *arguments],
            cwd=ROOT,
            env=clean_environment(
                DATABASE_URL=url, REDIS_URL=redis_url, INSTANCE_PATH=str(tmp_path / "instance"), RATE_LIMITS="off"
            ),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def test_the_migrations_create_what_the_models_declare(engine):
    """Fails if a model was changed without a migration."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": is_declared})
        assert compare_metadata(context, db.Base.metadata) == []


def test_tables_columns_and_checks(engine):
    """Covers what the comparison ignores: primary keys, checks, and what happens when an owner is deleted."""
    inspector = inspect(engine)
    for table in db.Base.metadata.tables.values():
        assert set(inspector.get_pk_constraint(table.name)["constrained_columns"]) == {
            c.name for c in table.primary_key
        }
        checks = {str(c.name) for c in table.constraints if isinstance(c, CheckConstraint)}
        assert {check["name"] for check in inspector.get_check_constraints(table.name)} == checks
        deletes = {key.parent.name: key.ondelete for key in (e for c in table.columns for e in c.foreign_keys)}
        assert {
            key["constrained_columns"][0]: key["options"].get("ondelete")
            for key in inspector.get_foreign_keys(table.name)
        } == deletes


def test_the_database_itself_keeps_names_unique_without_case(engine):
    """It does so even if a service does not check."""
    with engine.connect() as connection:
        for table, column in UNIQUE_WITHOUT_CASE:
            if engine.dialect.name == "sqlite":
                sql = connection.scalar(
                    text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": f"uq_{table}_{column}_lower"}
                )
            else:
                sql = connection.scalar(
                    text("SELECT indexdef FROM pg_indexes WHERE indexname = :name"),
                    {"name": f"uq_{table}_{column}_lower"},
                )
            assert sql and sql.upper().startswith("CREATE UNIQUE INDEX") and "lower(" in sql
        connection.rollback()
        insert = text("INSERT INTO channels (name, is_hidden, created_at) VALUES (:name, :hidden, '2026-01-01')")
        connection.execute(insert, {"name": "Gossip", "hidden": False})
        with pytest.raises(IntegrityError):
            connection.execute(insert, {"name": "gOSSIP", "hidden": False})


def test_game_names_are_unique_by_their_key(engine):
    assert {"uq_games_name_key"} == {
        constraint["name"]
        for constraint in inspect(engine).get_unique_constraints("games")
        if constraint["column_names"] == ["name_key"]
    }


def test_the_counters_exist(engine):
    """The hooks and the history lock these rows but never create them."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name, value, floor FROM counters ORDER BY name")).all()
    assert [tuple(row) for row in rows] == [("messages", 0, 0), ("versions", 0, 0)]


def test_ids_are_not_reused_on_sqlite(engine):
    """AUTOINCREMENT prevents the reuse of a deleted id."""
    if engine.dialect.name != "sqlite":
        return  # sequences never go back
    with engine.connect() as connection:
        for table in ("users", "games", "channels", "applications", "user_agents"):
            sql = connection.scalar(text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": table})
            assert "AUTOINCREMENT" in sql, table


def test_the_migrations_form_one_line():
    """There is one head, and every migration can be reversed."""
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    assert len(scripts.get_heads()) == 1
    assert all(hasattr(revision.module, "downgrade") for revision in scripts.walk_revisions())


def test_keys_of_names_are_rewritten_unless_they_are_taken(engine):
    """Until migration 0013, a name in full-width letters had a key of its own."""
    tables, now = db.Base.metadata.tables, db.utc_now()
    names = [("Bob", "bob"), ("\uff22ob", "\uff42ob"), ("\uff2fdo", "\uff4fdo")]
    with engine.connect() as connection:
        user = tables["users"].insert().values(username="Wren", email="a@b.example", email_key="k", password_hash="x")
        user_id = connection.execute(user.values(created_at=now)).inserted_primary_key[0]
        game = tables["games"].insert().values(name="Tea", name_key="tea", short_name="Tea", created_at=now)
        game_id = connection.execute(
            game.values(owner_id=user_id, client_id="c", client_secret_digest="d")
        ).inserted_primary_key[0]
        for name, key in names:
            character = tables["characters"].insert().values(user_id=user_id, game_id=game_id, name=name, name_key=key)
            connection.execute(character.values(state="approved", created_at=now))
        with Operations.context(MigrationContext.configure(connection)):
            ScriptDirectory(str(ROOT / "migrations")).get_revision("0013").module.upgrade()
        keys = connection.scalars(text("SELECT name_key FROM characters ORDER BY id")).all()
        connection.rollback()
    assert keys == ["bob", "\uff42ob", "odo"]


@pytest.mark.usefixtures("processes")
def test_down_and_up_again(engine, database_url, flask_db):
    """Downgrades a database with records to nothing, and upgrades it again."""
    before = _schema(engine)
    flask_db(database_url, "downgrade", "base")
    assert set(inspect(engine).get_table_names()) == {"alembic_version"}
    flask_db(database_url, "upgrade")
    assert _schema(engine) == before
    flask_db(database_url, "upgrade")
    db.check_database(engine)


def _schema(engine):
    inspector = inspect(engine)
    return {
        table: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)],
            sorted(str(index["name"]) for index in inspector.get_indexes(table)),
        )
        for table in inspector.get_table_names()
    }


@pytest.mark.usefixtures("processes")
def test_two_processes_migrate_at_the_same_time(request, tmp_path, flask_db, any_database):
    """The second waits for the first, and then has nothing to do."""
    if any_database == "sqlite":
        url = f"sqlite:///{tmp_path}/new.db"
        racers = [Racer(lambda: flask_db(url, "upgrade")) for _ in range(2)]
        for racer in racers:
            racer.join(seconds=50)
        db.check_database(db.make_engine(url))
        return

    from psycopg import connect

    server = request.getfixturevalue("postgres_server")
    url = server.create_database()
    first = connect(url)  # stands for the first process
    first.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
    second = Racer(lambda: flask_db(url, "upgrade"))

    def is_waiting():
        with connect(url) as watcher:
            waits = watcher.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
            ).fetchone()
        return waits[0] or not second.is_running

    wait_until(is_waiting, seconds=30, what="the second migrator waits")
    assert second.is_running, "it did not wait"
    first.close()
    second.join(seconds=50)
    db.check_database(db.make_engine(url.replace("postgresql://", "postgresql+psycopg://")))
    server.drop_database(url)
