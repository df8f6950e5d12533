"""Downloading what is stored about an account or a game."""

from __future__ import annotations

import io
import json
import zipfile

from app.site import create_app
from shared import db
from shared.services.authority.actors import OPERATOR
from tests.app.conftest import Visitor
from tests.support.factory import PASSWORD
from tests.support.moderating import mute


def read(answer) -> dict[str, object]:
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.mimetype == "application/zip" and answer.headers["Cache-Control"] == "no-store"
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    with zipfile.ZipFile(io.BytesIO(answer.data)) as files:
        return {name: files.read(name).decode() for name in files.namelist()}


def test_a_person_takes_their_data_and_deletes_the_account(stored, visitor):
    """One click each, on the page that comes before."""
    stored.user("wren")
    visitor.sign_in("wren")
    assert "Download my data" in visitor.open("/account/delete")

    answer = visitor.send("/account/export", form_on="/account")

    assert "attachment; filename=gossip-wren-" in answer.headers["Content-Disposition"]
    files = read(answer)
    assert json.loads(files["account.json"])[0]["username"] == "wren"
    assert "Everything that is stored about the account wren" in files["README.txt"]
    visitor.send("/account/delete", current_password=PASSWORD, follow=True)
    assert "Your account has been deleted." in visitor.page


def test_a_large_archive_is_complete(stored, visitor, monkeypatch):
    """It passes through the disk instead of memory."""
    monkeypatch.setattr("app.archives.MEMORY_BYTES", 100)
    stored.user("wren")
    assert len(read(visitor.sign_in("wren").send("/account/export", form_on="/account"))) > 10


def test_an_owner_downloads_a_game(stored, visitor):
    stored.game("Harbour", owner=stored.user("wren"))
    visitor.sign_in("wren")
    assert "Download the game’s data" in visitor.open("/manage/games/Harbour")

    answer = visitor.send("/manage/games/harbour/export", form_on="/manage/games/Harbour")

    assert "filename=gossip-Harbour-" in answer.headers["Content-Disposition"]
    assert json.loads(read(answer)["game.json"])[0]["short_name"] == "Harbour"


def test_a_banned_person_still_gets_their_data(stored, visitor):
    stored.game("Harbour", owner=stored.user("wren"))
    with db.transaction() as session:
        mute(session, OPERATOR, "wren@Grapevine", kind="ban")
    visitor.sign_in("wren")
    assert "wren" in read(visitor.send("/account/export", form_on="/account"))["sanctions.json"]
    assert read(visitor.send("/manage/games/Harbour/export", form_on="/account"))


def test_a_full_disk_is_a_clear_error(stored, visitor, monkeypatch):
    def refuse(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shared.services.exports.archive._readme", refuse)
    stored.user("wren")
    answer = visitor.sign_in("wren").send("/account/export", form_on="/account")
    assert answer.status_code == 503
    assert "No space left on device" in visitor.page


def test_downloads_are_limited(stored, make_settings, engine):
    stored.user("wren")
    visitor = Visitor(create_app(make_settings(RATE_LIMITS="on"))).sign_in("wren")
    statuses = [visitor.send("/account/export", form_on="/account").status_code for _ in range(21)]
    assert statuses == [200] * 20 + [429]
