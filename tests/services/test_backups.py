"""Backups of SQLite, and starting over after a restore."""

from __future__ import annotations

import sqlite3
import stat
import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import make_url, text

from shared import db
from shared.errors import Conflict, Invalid, Unavailable
from shared.services import backups, channels, users, versions
from shared.services.authority.actors import OPERATOR

NOW = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)


@pytest.fixture
def url(engine, database_url):
    return make_url(database_url)


def test_a_copy_is_complete_private_and_consistent(url, stored, tmp_path):
    """It lacks what others commit meanwhile, and neither blocks the other."""
    stored.user("before")
    with db.transaction() as session:
        session.execute(text("CREATE TABLE ballast (page BLOB)"))
        session.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) "
                "INSERT INTO ballast SELECT randomblob(4000) FROM n"
            )
        )
    seen = []

    def progress(done, total):
        seen.append((done, total))
        if len(seen) == 1:
            writer = threading.Thread(target=stored.user, args=("during",))
            writer.start()
            writer.join(20)
            assert not writer.is_alive()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backups, "PROGRESS_SECONDS", 0)
        path = backups.back_up(url, tmp_path / "copy.db", now=NOW, progress=progress)

    assert seen[0][0] < seen[0][1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == ["copy.db"]
    copy = sqlite3.connect(path)
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert [name for (name,) in copy.execute("SELECT username FROM users")] == ["before"]
    copy.close()
    with db.reading() as session:
        assert users.find_user_by_username(session, "during")


def test_a_backup_is_overwritten_only_on_request_and_dated_in_a_folder(url, tmp_path):
    target = tmp_path / "copy.db"
    backups.back_up(url, target, now=NOW)
    with pytest.raises(Conflict, match="already exists"):
        backups.back_up(url, target, now=NOW)
    assert backups.back_up(url, target, now=NOW, is_replacing=True) == target
    folder = tmp_path / "daily"
    folder.mkdir()
    assert backups.back_up(url, folder, now=NOW).name == "gossip-2026-03-01T04-05-06Z.db"


def test_what_cannot_be_backed_up(url, tmp_path):
    """Nothing is left behind."""
    with pytest.raises(Unavailable):
        backups.back_up(url, tmp_path / "nowhere" / "copy.db", now=NOW)
    with pytest.raises(Unavailable):
        backups.back_up(make_url(f"sqlite:///{tmp_path}/missing.db"), tmp_path / "copy.db", now=NOW)
    with pytest.raises(Invalid, match="pg_dump"):
        backups.back_up(make_url("postgresql+psycopg://x@y/z"), tmp_path / "copy.db", now=NOW)
    assert not (tmp_path / "copy.db").exists() and not list(tmp_path.glob(".copy*"))


def test_after_a_restore_every_cursor_is_out_of_range(any_database, session):
    """Old cursors start over, and the next change has a number that was never used."""
    channels.create_channel(session, OPERATOR, name="gossip")
    session.commit()
    before = versions.last_cursor(session)
    session.commit()

    answer = backups.start_over(session, OPERATOR)
    session.commit()
    assert answer == {"cursor": before + backups.STEP, "message": backups.STEP}
    assert not versions.reaches_back_to(session, before)
    assert not versions.reaches_back_to(session, before + 500)
    assert versions.reaches_back_to(session, answer["cursor"])
    session.commit()
    channels.create_channel(session, OPERATOR, name="music")
    session.commit()
    assert versions.last_cursor(session) == answer["cursor"] + 1
