"""Each test on PostgreSQL gets a database in the state that the migrations leave."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from shared import db
from tests.support.factory import Factory

pytestmark = pytest.mark.postgres


def contents(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of all tables, and the values of the sequences."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        state = {
            str(table): connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).fetchall()
            for (table,) in tables
        }
        state["sequences"] = connection.execute(
            "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"
        ).fetchall()
    return state


@pytest.fixture
def copies(_migrated_postgres):
    return _migrated_postgres


def test_a_copy_is_restored_before_it_is_reused(copies):
    url = copies.take()
    before = contents(url)
    engine = db.make_engine(url)
    db.bind(engine)
    stored = Factory(db.transaction)
    stored.game(owner=stored.user())
    assert contents(url) != before
    with psycopg.connect(url) as left_open:
        left_open.execute("UPDATE counters SET value = 1000000")
        copies.put_back(url)
        with pytest.raises(psycopg.OperationalError):
            left_open.execute("SELECT 1")
    engine.dispose()
    assert copies.take() == url
    assert contents(url) == before
    copies.put_back(url)


def test_a_copy_with_a_changed_schema_is_not_reused(copies):
    url = copies.take()
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
    copies.put_back(url)
    again = copies.take()
    assert again != url
    copies.put_back(again)
