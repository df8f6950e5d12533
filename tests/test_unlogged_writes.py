"""No code writes synced tables without the hooks that write the log."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.processes import ROOT

SYNCED_CLASSES = {"Channel", "Game", "GameConnection", "UserAgent"}
BULK_METHODS = {"bulk_save_objects", "bulk_insert_mappings", "bulk_update_mappings"}
WRITES_IN_SQL = re.compile(
    r"\b(?:insert\s+(?:or\s+\w+\s+)?into|replace\s+into|update|delete\s+from|merge\s+into|truncate(?:\s+table)?)"
    r"\s+[\"`]?(?:channels|games|game_connections|user_agents)\b",
    re.IGNORECASE,
)


def writes_behind_the_hooks(source: str) -> list[str]:
    """Return each bulk, Core or raw SQL write to a synced table in a file, as `line: statement`."""
    writes = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and WRITES_IN_SQL.search(node.value):
            writes.append(f"{node.lineno}: SQL")
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in BULK_METHODS:
            writes.append(f"{node.lineno}: {called}")
        elif called in ("insert", "update", "delete"):
            of_table = node.func.value if isinstance(node.func, ast.Attribute) else None
            names = {
                name.id
                for part in (of_table, *node.args[:1])
                if part is not None and not (part is of_table and isinstance(part, ast.Name))
                for name in ast.walk(part)
                if isinstance(name, ast.Name)
            } | {
                part.attr
                for part in ast.walk(node.args[0] if node.args else ast.Constant(None))
                if isinstance(part, ast.Attribute)
            }
            statement_of_session = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") in (
                "session",
                "own",
            )
            if names & SYNCED_CLASSES and not statement_of_session:
                writes.append(f"{node.lineno}: {called}")
        if called == "query" and any(isinstance(arg, ast.Name) and arg.id in SYNCED_CLASSES for arg in node.args):
            writes.append(f"{node.lineno}: query (its update and delete bypass the hooks)")
    return writes


def test_no_code_writes_synced_tables_without_the_hooks():
    """Apart from the hooks themselves and the migrations, all code changes records through their models."""
    files = [
        path
        for folder in ("app", "worker", "shared", "launcher", "bench")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != ROOT / "shared" / "sync.py"
    ] + [ROOT / "wsgi.py"]
    assert len(files) > 50
    writes = [
        f"{path.relative_to(ROOT)}:{line}" for path in files for line in writes_behind_the_hooks(path.read_text())
    ]
    assert writes == []


@pytest.mark.parametrize(
    "source",
    [
        "session.execute(update(Game).where(Game.id == 1))",
        "session.connection().execute(insert(Game.__table__), rows)",
        "session.execute(sqlalchemy.delete(models.Channel))",
        "connection.execute(Game.__table__.insert())",
        "session.bulk_save_objects([game])",
        "session.query(Game).delete()",
        'session.execute(text("UPDATE games SET name = :name"))',
        'connection.exec_driver_sql("""\n  delete  from "channels" where 1""")',
        'f"INSERT OR REPLACE INTO user_agents VALUES ({x})"',
    ],
)
def test_the_search_finds_every_form_of_write(source):
    assert writes_behind_the_hooks(source)


@pytest.mark.parametrize(
    "source",
    [
        "session.delete(game)",
        "session.delete(get_channel(session, name))",
        "update(Counter).values(value=1)",
        "names.update(found)",
        '"update the games you own"',
        'session.execute(text("SELECT * FROM games"))',
    ],
)
def test_the_search_ignores_other_statements(source):
    assert not writes_behind_the_hooks(source)


def test_migrations_that_write_records_are_listed():
    """Migrations run without the hooks, so one that changes a synced table's rows must write the log itself."""
    for path in sorted((ROOT / "migrations" / "versions").glob("*.py")):
        source = path.read_text()
        for write in writes_behind_the_hooks(source):
            assert "versions" in source and "superseded_by" in source, f"{Path(path).name}:{write}"
