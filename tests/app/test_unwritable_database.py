"""A database that answers but cannot be written to: a PostgreSQL standby, and SQLite on a full or read-only disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from sqlalchemy import Connection, event, text
from structlog.testing import capture_logs

from app import health
from shared import db
from tests.app.test_form_bodies import example, forms
from tests.support.moderating import make_moderated


def _run_in_transactions(statement: str) -> Callable[[], None]:
    """Run a statement at the start of each transaction of the site, until the returned function is called."""
    statements = [statement]

    def run(connection: Connection) -> None:
        for command in statements:
            connection.exec_driver_sql(command)

    engine = db.SessionFactory.kw["bind"]
    event.listen(engine, "begin", run)

    def undo() -> None:
        statements.clear()
        engine.dispose()

    return undo


@pytest.fixture
def close_database(any_database: str) -> Iterator[Callable[[], None]]:
    """Return a function that makes the database read-only, as it is for a PostgreSQL that has become a standby."""
    undo: list[Callable[[], None]] = []
    statement = "PRAGMA query_only = ON" if any_database == "sqlite" else "SET TRANSACTION READ ONLY"
    yield lambda: undo.append(_run_in_transactions(statement))
    for step in undo:
        step()


@pytest.fixture
def world(stored):
    return make_moderated(stored)


def test_forms_keep_what_was_typed(visitor, world, close_database):
    visitor.sign_in(world.owner.username)
    close_database()
    answer = visitor.send("/manage/games/new", name="A game with a long name", short_name="Long")
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "60"
    assert "Nothing can be saved right now" in visitor.page
    assert visitor.value_of("name") == "A game with a long name"


def test_reading_works(visitor, world, close_database):
    """Also for signed-in readers, whose place in a channel would be stored."""
    visitor.sign_in(world.admin.username)
    close_database()
    for path in ("/", "/games", "/chat", f"/chat/{world.channel.name}", "/account", "/moderation", "/admin"):
        visitor.open(path)
        assert visitor.status == 200, path


def test_signing_in_and_out_works(visitor, world, close_database):
    close_database()
    visitor.sign_in(world.admin.username)
    assert visitor.send("/sign-out", form_on="/account").status_code == 303


def test_no_form_fails_without_a_reason(app, visitor, world, close_database):
    """Every route with a form, generated from the table of routes."""
    visitor.sign_in(world.admin.username)
    token = visitor.token("/account/password")
    close_database()
    app.testing = False
    fields = {
        "csrf_token": token,
        "name": "Moss",
        "reason": "a reason",
        "text": "a text",
        "pattern": "a@b",
        "username": "x",
    }
    with capture_logs() as logs:
        for rule in forms(app.url_map):
            if rule.endpoint == "accounts.sign_out":
                continue
            answer = visitor.client.post(example(app.url_map, rule), data=fields)
            assert answer.status_code != 500, rule
            assert answer.status_code != 503 or int(answer.headers["Retry-After"]) > 0, rule
    assert [line["event"] for line in logs if line["log_level"] == "error"].count("database or redis failed") <= 1


def test_failures_are_logged_once_a_minute(visitor, world, close_database, monkeypatch):
    visitor.sign_in(world.owner.username)
    close_database()
    with capture_logs() as logs:
        for _ in range(5):
            visitor.send("/manage/games/new", name="A game", short_name="Long")
        monkeypatch.setattr("app.occasional_log.QUIET_SECONDS", 0.0)
        visitor.send("/manage/games/new", name="A game", short_name="Long")
    lines = [line for line in logs if line["event"] == "database or redis failed"]
    assert [line.get("skipped") for line in lines] == [None, 4]


def test_health_tells(client, close_database, monkeypatch):
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.0)
    assert client.get("/_health").get_json()["database"] == "ok"
    close_database()
    answer = client.get("/_health")
    assert (answer.status_code, answer.get_json()["database"]) == (503, "read-only")


def test_health_tells_of_a_full_database(client, monkeypatch):
    """SQLite refuses pages beyond a limit as it does on a full disk."""
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.0)
    undo = _run_in_transactions("PRAGMA max_page_count = 1")
    answer = client.get("/_health")
    undo()
    assert (answer.status_code, answer.get_json()["database"]) == (503, "full")
    assert client.get("/_health").status_code == 200
    with db.reading() as session:
        assert not session.execute(text("SELECT name FROM sqlite_master WHERE name = 'health_check'")).all()


def test_health_tells_of_a_full_disk(client, monkeypatch):
    """A check that is rolled back writes nothing to the disk."""
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.0)
    monkeypatch.setattr(health, "disk_usage", lambda _folder: SimpleNamespace(free=1_000_000))
    answer = client.get("/_health")
    assert (answer.status_code, answer.get_json()["database"]) == (503, "full")


def test_a_busy_database_is_healthy(client, engine, monkeypatch):
    """The check gives up when it has waited for other writers as long as a form would."""
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.0)
    undo = _run_in_transactions("PRAGMA busy_timeout = 10")
    with engine.begin():
        assert client.get("/_health").status_code == 200
    undo()
