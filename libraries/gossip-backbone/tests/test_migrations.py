"""Migrations of the library's tables, alone and beside the host's own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import backbone
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from backbone import BackboneError, Channel, DatabaseFailed, Game, State, migrate
from backbone import migrations as steps
from backbone.__main__ import open_database
from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.dialects import mysql

from tests.support.backbone import Base

POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


def test_the_migrations_create_the_tables_of_the_models(any_store, replica_engine):
    assert migrate(replica_engine) == len(steps.STEPS)
    assert migrate(replica_engine) == 0
    inspector = inspect(replica_engine)
    for model in (Channel, Game, State):
        assert {column["name"] for column in inspector.get_columns(model.__tablename__)} == set(
            model.__table__.columns.keys()
        )
    assert all(name.startswith("backbone_") for name in inspector.get_table_names())


def test_alembic_handles_the_tables_of_registered_kinds(any_replica, replica_engine):
    """Its migration of a host's tables runs. Afterwards it proposes nothing, not even for the library's tables."""
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


def test_several_processes_may_migrate_at_once(any_store, replica_url):
    """Uses a thread and an engine for each: the database cannot tell threads from processes."""
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
def test_a_failed_step_is_rolled_back(any_replica, replica_engine, monkeypatch):
    """On databases where CREATE TABLE is part of the transaction."""

    def fails(connection):
        connection.execute(text("CREATE TABLE backbone_half (id INTEGER)"))
        connection.execute(text("SELECT * FROM no_such_table"))

    migrate(replica_engine)
    monkeypatch.setattr(steps, "STEPS", (*steps.STEPS, fails))
    with pytest.raises(DatabaseFailed):
        migrate(replica_engine)
    assert "backbone_half" not in inspect(replica_engine).get_table_names()


def test_an_interrupted_step_is_applied_again(any_store, replica_engine):
    """On the others it finds some of its tables already there."""
    migrate(replica_engine)
    with replica_engine.begin() as connection:
        State.__table__.drop(connection)
        next(iter(Channel.__table__.indexes)).drop(connection)
        connection.execute(text("DELETE FROM backbone_migrations"))
    assert migrate(replica_engine) == len(steps.STEPS)
    inspector = inspect(replica_engine)
    assert [index["column_names"] for index in inspector.get_indexes("backbone_channels")] == [["name"]]
    assert inspector.has_table("backbone_state")


def test_tables_of_a_later_version_are_left_alone(replica_engine, monkeypatch):
    migrate(replica_engine)
    monkeypatch.setattr(steps, "STEPS", ())
    with pytest.raises(BackboneError, match="later gossip-backbone"):
        migrate(replica_engine)


def test_an_unreachable_database_is_tried_once(monkeypatch):
    """With a host that does not answer, ten attempts would take ten times the driver's timeout."""
    engine = create_engine("mariadb+pymysql://nobody@127.0.0.1:1/none")
    attempts = []
    event.listen(engine, "do_connect", lambda *arguments: attempts.append(arguments))
    with pytest.raises(DatabaseFailed, match="cannot be reached"):
        migrate(engine)
    assert len(attempts) == 1
