"""The commands for games: create, update, delete, import."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import func, select

from shared import db
from shared.models import Game
from shared.models.credentials import secret_matches
from shared.services import games, versions
from tests.console import error, flask, output, quick_passwords

__all__ = ["error", "flask", "output", "quick_passwords"]


def test_game_create_update_delete(output, stored):
    owner = stored.user("wren")
    created = output("game", "create", "The Tea House", "Tea", "--owner", "WREN")
    assert list(created) == ["id", "short_name", "client_id", "client_secret"]
    with db.reading() as session:
        game = games.get_game(session, "tea")
        assert (game.id, game.owner_id, game.client_id) == (created["id"], owner.id, created["client_id"])
        assert secret_matches(created["client_secret"], game.client_secret_digest)

    updated = output("game", "update", "TEA", "--name", "Tea & Co ☕", "--description", "Cups.", "--no-display")
    assert updated["id"] == created["id"] and updated["short_name"] == "Tea"
    with db.reading() as session:
        game = games.get_game(session, "tea")
        assert (game.name, game.description, game.is_displayed) == ("Tea & Co ☕", "Cups.", False)
    output("game", "update", "tea", "--display")
    with db.reading() as session:
        game = games.get_game(session, "tea")
        assert (game.name, game.description, game.is_displayed) == ("Tea & Co ☕", "Cups.", True)

    assert output("game", "delete", "tea")["id"] == created["id"]
    with db.reading() as session:
        assert games.find_game(session, "tea") is None
        assert [change.record is None for change in versions.since(session, 0)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create", "Other", "TEA", "--owner", "wren"], "short_name: "),
        (["create", "the tea", "Other", "--owner", "wren"], "name: "),
        (["create", "Other", "gossip", "--owner", "wren"], "short_name: "),
        (["create", "x" * 81, "Other", "--owner", "wren"], "name: "),
        (["create", "Other", "Other", "--owner", "nobody"], "there is no user nobody"),
        (["update", "nothing", "--name", "x"], "there is no game nothing"),
        (["update", "Tea", "--name", "the COFFEE"], "name: "),
        (["update", "Tea", "--name", ""], "name: "),
        (["delete", "nothing"], "there is no game nothing"),
    ],
)
def test_game_refused(error, stored, arguments, message):
    owner = stored.user("wren")
    stored.game("Tea", owner=owner)
    stored.game("Coffee", owner=owner)
    assert message in error("game", *arguments)
    with db.reading() as session:
        assert versions.last_cursor(session) == 2


def lines(count, **last):
    created = [{"name": f"Game {number}", "short_name": f"G{number}", "owner": "wren"} for number in range(count)]
    created[-1].update(last)
    return "".join(json.dumps(game) + "\n" for game in created)


def test_game_import_from_a_file_and_from_standard_input(flask, stored, tmp_path):
    stored.user("wren")
    path = tmp_path / "games.jsonl"
    path.write_text(lines(3))
    result = flask("game", "import", str(path))
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["short_name"] for answer in answers] == ["G0", "G1", "G2"]
    assert all(list(answer) == ["id", "short_name", "client_id", "client_secret"] for answer in answers)
    assert "3" in result.stderr

    more = flask("game", "import", "-", input=lines(1, name="More", short_name="More", description="Żółw"))
    assert more.exit_code == 0 and json.loads(more.stdout)["short_name"] == "More"
    with db.reading() as session:
        game = games.get_game(session, "more")
        assert game.description == "Żółw"
        assert secret_matches(json.loads(more.stdout)["client_secret"], game.client_secret_digest)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "utf-16"])
def test_game_import_of_files_that_other_systems_write(flask, stored, tmp_path, encoding):
    """A byte order mark and CRLF are no part of the text. Other encodings are refused with advice."""
    stored.user("wren")
    path = tmp_path / "games.jsonl"
    line = json.dumps({"name": "Größe", "short_name": "G", "owner": "wren"}, ensure_ascii=False)
    path.write_bytes(f"{line}\r\n\r\n".encode(encoding))
    for arguments in ([str(path)], ["-"]):
        stdin = None if arguments != ["-"] else path.read_bytes()
        if encoding == "utf-8-sig" and stdin is not None:
            stdin = stdin.replace(b'"G"', b'"H"').replace("Größe".encode(), b"Other")
        result = flask("game", "import", *arguments, input=stdin)
        if encoding == "utf-8-sig":
            assert result.exit_code == 0, result.output
        else:
            assert result.exit_code != 0 and "line 1: this is not UTF-8" in result.output
    with db.reading() as session:
        names = set(session.scalars(select(Game.name)))
    assert names == ({"Größe", "Other"} if encoding == "utf-8-sig" else set())


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ({"short_name": "G0"}, "line 1 already has this name"),
        ({"short_name": "gossip"}, "short_name"),
        ({"owner": "nobody"}, "there is no user nobody"),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"connections": [{"type": "telnet", "host": "a.b", "port": 70000}]}, "port"),
    ],
)
def test_game_import_of_a_bad_line_imports_nothing(flask, stored, last, message):
    stored.user("wren")
    result = flask("game", "import", "-", input=lines(4, **last))
    assert result.exit_code == 1 and result.stdout == ""
    error = result.stderr.splitlines()[-1]
    assert error.startswith("error: ") and "line 4: " in error and message in error
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Game)) == 0


@pytest.mark.parametrize("content", [None, b"\xff\xfe{}\n"])
def test_game_import_of_an_unreadable_file(flask, tmp_path, content):
    path = tmp_path / "games.jsonl"
    if content is not None:
        path.write_bytes(content)
    result = flask("game", "import", str(path))
    assert result.exit_code != 0 and result.stdout == ""
    assert "Traceback" not in result.output and result.stderr.splitlines()[-1].lower().startswith("error: ")


def test_game_import_of_an_empty_file(flask):
    result = flask("game", "import", "-", input="\n \n")
    assert (result.exit_code, result.stdout) == (0, "")


def test_game_import_of_2_000_games(run_flask, stored):
    """The import takes seconds, including the start of the command."""
    stored.user("wren")
    result = run_flask("game", "import", "-", stdin=lines(2000))
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2000
    with db.reading() as session:
        assert versions.last_cursor(session) == 2000
