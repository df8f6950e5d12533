"""The command line: one JSON object on one line, or one line of what is wrong and a status that is none of success."""

from __future__ import annotations

import json
import re
import stat

import pytest
from sqlalchemy import func, select

from shared import db
from shared.errors import NotFound
from shared.models import Game, User
from shared.models.credentials import secret_matches
from shared.services import applications, channels, games, users, versions
from tests.support.passwords import use_quick_passwords


@pytest.fixture(autouse=True)
def _quick_passwords(monkeypatch):
    use_quick_passwords(monkeypatch)


@pytest.fixture
def flask(app):
    """Runs a command in this process."""
    runner = app.test_cli_runner()
    return lambda *arguments, **options: runner.invoke(args=list(arguments), **options)


@pytest.fixture
def said(flask):
    """What a command that succeeds prints: one JSON object on one line."""

    def run(*arguments, **options):
        result = flask(*arguments, **options)
        assert result.exit_code == 0, result.output
        assert result.stdout.count("\n") == 1 and result.stderr == ""
        return json.loads(result.stdout)

    return run


@pytest.fixture
def complaint(flask):
    """The line of a command that fails: nothing on standard output."""

    def run(*arguments, **options):
        result = flask(*arguments, **options)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert result.stderr.count("\n") == 1 and result.stderr.startswith("error: "), result.stderr
        return result.stderr.removeprefix("error: ").rstrip("\n")

    return run


# Users


def test_user_create(said):
    answer = said("user", "create", "Wren", "wren@example.com", "--password", "a good password", "--role", "moderator")
    with db.reading() as session:
        user = users.get_user_by_username(session, "wren")
    assert answer == {
        "id": user.id,
        "uid": user.uid,
        "username": "Wren",
        "registration_key": user.registration_key,
    }
    assert (user.role, user.is_verified) == ("moderator", False)
    assert said("user", "create", "robin", "r@example.com", "--password", "a good password", "--verified")
    with db.reading() as session:
        user = users.get_user_by_username(session, "robin")
    assert (user.role, user.is_verified) == ("player", True)


def test_passwords_are_read_from_standard_input(said, complaint):
    """So that none stands in the list of processes."""
    said("user", "create", "wren", "w@example.com", "--password", "-", input="a good password\n")
    with db.reading() as session:
        assert users.authenticate_user(session, login="wren", password="a good password")
    answer = said("user", "set-password", "WREN", "--password", "-", input="another password\n")
    assert answer == {"id": answer["id"], "username": "wren", "role": "player"}
    with db.reading() as session:
        assert users.authenticate_user(session, login="wren", password="another password")
    assert complaint("user", "set-password", "wren", "--password", "-", input="").startswith("password: ")
    assert complaint("user", "set-password", "nobody", "--password", "a good password").startswith("username: ")


def test_a_new_password_ends_all_sessions(said, stored):
    user = stored.user("wren")
    said("user", "set-password", "wren", "--password", "another password")
    with db.reading() as session:
        assert users.find_user(session, user.id).session_token != user.session_token


def test_set_role(said, complaint, stored):
    """The way back in where no admin is left who can sign in; the last one stays."""
    stored.user("wren")
    assert said("user", "set-role", "WREN", "admin")["role"] == "admin"
    assert "last admin" in complaint("user", "set-role", "wren", "player")
    assert complaint("user", "set-role", "nobody", "admin").startswith("username: ")


def test_a_backup_into_a_folder_that_is_not_there_yet_makes_it(said, complaint, tmp_path):
    """Otherwise the first night's backup would be a file of that name, and every later one would fail."""
    made = said("database", "backup", f"{tmp_path}/nightly/")["file"]
    assert re.fullmatch(rf"{tmp_path}/nightly/gossip-[-0-9TZ]+\.db", made)
    assert stat.S_IMODE((tmp_path / "nightly").stat().st_mode) == 0o700
    assert "cannot be created" in complaint("database", "backup", f"{tmp_path}/no/such/")


def test_database_backup(said, complaint, tmp_path):
    answer = said("database", "backup", str(tmp_path / "copy.db"))
    assert answer == {"file": str(tmp_path / "copy.db"), "bytes": (tmp_path / "copy.db").stat().st_size}
    assert "exists already" in complaint("database", "backup", str(tmp_path / "copy.db"))
    assert said("database", "backup", str(tmp_path / "copy.db"), "--replace") == answer


def test_database_restored(said):
    with db.reading() as session:
        before = versions.last_cursor(session)
    assert said("database", "restored")["cursor"] > before + 900_000


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["a b", "x@example.com", "--password", "a good password"], "username"),
        (["admin", "x@example.com", "--password", "a good password"], "username"),
        (["WREN", "x@example.com", "--password", "a good password"], "username"),
        (["robin", "nowhere", "--password", "a good password"], "email"),
        (["robin", "WREN@example.com", "--password", "a good password"], "email"),
        (["robin", "x@example.com", "--password", "short"], "password"),
    ],
)
def test_user_create_refused(complaint, stored, arguments, field):
    stored.user("wren", email="wren@example.com")
    assert complaint("user", "create", *arguments).startswith(f"{field}: ")
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(User)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["user", "create", "wren", "w@example.com"],
        ["user", "create", "wren", "w@example.com", "--password", "a good password", "--role", "emperor"],
        ["game", "create", "Tea"],
        ["channel", "create"],
        ["network", "restart-notice", "--downtime", "soon"],
        ["game", "import"],
        ["game", "rename", "Tea"],
    ],
)
def test_a_command_used_wrongly(flask, arguments):
    """The way it is used, and a status of 2."""
    result = flask(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert "Error: " in result.stderr.splitlines()[-1]


# Games


def test_game_create_update_delete(said, stored):
    owner = stored.user("wren")
    made = said("game", "create", "The Tea House", "Tea", "--owner", "WREN")
    assert list(made) == ["id", "short_name", "client_id", "client_secret"]
    with db.reading() as session:
        game = games.get_game(session, "tea")
        assert (game.id, game.owner_id, game.client_id) == (made["id"], owner.id, made["client_id"])
        assert secret_matches(made["client_secret"], game.client_secret_digest)

    updated = said("game", "update", "TEA", "--name", "Tea & Co ☕", "--description", "Cups.", "--no-display")
    assert updated["id"] == made["id"] and updated["short_name"] == "Tea"
    with db.reading() as session:
        game = games.get_game(session, "tea")
        assert (game.name, game.description, game.is_displayed) == ("Tea & Co ☕", "Cups.", False)
    said("game", "update", "tea", "--display")
    with db.reading() as session:
        game = games.get_game(session, "tea")
        assert (game.name, game.description, game.is_displayed) == ("Tea & Co ☕", "Cups.", True)

    assert said("game", "delete", "tea")["id"] == made["id"]
    with db.reading() as session:
        assert games.find_game(session, "tea") is None
        assert [change.record is None for change in versions.since(session, 0)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("arguments", "says"),
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
def test_game_refused(complaint, stored, arguments, says):
    owner = stored.user("wren")
    stored.game("Tea", owner=owner)
    stored.game("Coffee", owner=owner)
    assert says in complaint("game", *arguments)
    with db.reading() as session:
        assert versions.last_cursor(session) == 2


def lines(count, **last):
    made = [{"name": f"Game {number}", "short_name": f"G{number}", "owner": "wren"} for number in range(count)]
    made[-1].update(last)
    return "".join(json.dumps(game) + "\n" for game in made)


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


@pytest.mark.parametrize(
    ("last", "says"),
    [
        ({"short_name": "G0"}, "line 1 has the same name"),
        ({"short_name": "gossip"}, "short_name"),
        ({"owner": "nobody"}, "there is no user nobody"),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"connections": [{"type": "telnet", "host": "a.b", "port": 70000}]}, "port"),
    ],
)
def test_game_import_of_a_bad_line_imports_nothing(flask, stored, last, says):
    stored.user("wren")
    result = flask("game", "import", "-", input=lines(4, **last))
    assert result.exit_code == 1 and result.stdout == ""
    complaint = result.stderr.splitlines()[-1]
    assert complaint.startswith("error: ") and "line 4: " in complaint and says in complaint
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Game)) == 0


@pytest.mark.parametrize("content", [None, b"\xff\xfe{}\n"])
def test_game_import_of_what_is_no_such_file(flask, tmp_path, content):
    path = tmp_path / "games.jsonl"
    if content is not None:
        path.write_bytes(content)
    result = flask("game", "import", str(path))
    assert result.exit_code != 0 and result.stdout == ""
    assert "Traceback" not in result.output and result.stderr.splitlines()[-1].lower().startswith("error: ")


def test_game_import_of_nothing(flask):
    result = flask("game", "import", "-", input="\n \n")
    assert (result.exit_code, result.stdout) == (0, "")


def test_game_import_of_2_000_games(run_flask, stored):
    """As an operator runs it, from an empty start to the last line: seconds."""
    stored.user("wren")
    done = run_flask("game", "import", "-", stdin=lines(2000))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2000
    with db.reading() as session:
        assert versions.last_cursor(session) == 2000


# Applications and channels


def test_application_create(said, complaint):
    made = said("application", "create", "The Mirror", "Mirror")
    assert list(made) == ["id", "short_name", "client_id", "client_secret"]
    with db.reading() as session:
        application = applications.get_application(session, "mirror")
        assert (application.id, application.client_id) == (made["id"], made["client_id"])
        assert secret_matches(made["client_secret"], application.client_secret_digest)
    assert complaint("application", "create", "Other", "MIRROR").startswith("short_name: ")
    assert complaint("application", "create", "", "Other").startswith("name: ")


def test_channel_create_update_delete(said):
    made = said("channel", "create", "Gossip")
    assert made == {"id": made["id"], "name": "Gossip", "description": None, "hidden": False}
    hidden = said("channel", "create", "cellar", "--description", "Dark.", "--hidden")
    assert hidden == {"id": hidden["id"], "name": "cellar", "description": "Dark.", "hidden": True}
    updated = said("channel", "update", "GOSSIP", "--name", "talk", "--description", "Words.", "--hidden")
    assert updated == {"id": made["id"], "name": "talk", "description": "Words.", "hidden": True}
    assert said("channel", "update", "talk", "--visible")["hidden"] is False
    assert said("channel", "update", "talk", "--description", "")["description"] is None
    gone = said("channel", "delete", "TALK")
    assert {key: gone[key] for key in ("id", "name", "description", "hidden")} == {
        "id": made["id"],
        "name": "talk",
        "description": None,
        "hidden": False,
    }
    with db.reading() as session:
        with pytest.raises(NotFound):
            channels.get_channel(session, "talk")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create", "GOSSIP"], "name: "),
        (["create", "all"], "name: "),
        (["create", "no good"], "name: "),
        (["create", "other", "--description", "x" * 501], "description: "),
        (["update", "nothing", "--hidden"], "there is no channel nothing"),
        (["update", "gossip", "--name", "TESTING"], "name: "),
        (["update", "gossip", "--name", "no good"], "name: "),
        (["delete", "nothing"], "there is no channel nothing"),
    ],
)
def test_channel_refused(complaint, stored, arguments, says):
    stored.channel("gossip")
    stored.channel("testing")
    assert says in complaint("channel", *arguments)
    with db.reading() as session:
        assert versions.last_cursor(session) == 2


# The network


def test_restart_notice(said, complaint, app):
    pubsub = app.extensions["bus"].redis.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("gossip:network")
    pubsub.get_message(timeout=1)
    assert said("network", "restart-notice") == {"downtime": 15}
    assert said("network", "restart-notice", "--downtime", "3600") == {"downtime": 3600}
    sent = []
    while len(sent) < 2:
        message = pubsub.get_message(timeout=5)
        assert message is not None or len(sent) < 2
        if message:
            sent.append(json.loads(message["data"]))
    assert sent == [{"restart": 15}, {"restart": 3600}]
    for downtime in ("0", "-1", "3601"):
        assert complaint("network", "restart-notice", "--downtime", downtime).startswith("downtime: ")
    pubsub.close()


def test_network_status(said, stored):
    stored.channel()
    assert said("network", "status") == {
        "cursor": 1,
        "redis": True,
        "games": [],
        "applications": [],
        "sockets": [],
        "workers": [],
    }


def test_without_redis(run_flask, own_valkey):
    """Records can be changed, with a warning that the signal is lost; what only Redis can carry is refused."""
    own_valkey.stop()
    done = run_flask("channel", "create", "gossip")
    assert done.returncode == 0 and json.loads(done.stdout)["name"] == "gossip"
    assert done.stdout.count("\n") == 1 and "redis is away" in done.stderr
    assert json.loads(run_flask("network", "status").stdout)["redis"] is False
    refused = run_flask("network", "restart-notice")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Redis" in refused.stderr.splitlines()[-1]


# As a program


def test_a_command_in_a_shell(run_flask):
    """One line out, one line of error, nothing else on either."""
    done = run_flask("channel", "create", "gossip")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["name"] == "gossip" and done.stdout.count("\n") == 1
    again = run_flask("channel", "create", "GOSSIP")
    assert (again.returncode, again.stdout, again.stderr.count("\n")) == (1, "", 1)
    assert again.stderr.startswith("error: name: ")


def test_the_list_of_commands_holds_what_is_of_use(run_flask):
    done = run_flask("--help")
    listed = {line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines() if line.strip()}
    assert listed == {
        *("application", "channel", "database", "game", "moderation", "network", "settings", "user"),
        *("db", "routes", "shell"),
    }


def test_a_database_without_tables_or_out_of_reach_is_one_line(run_flask, tmp_path):
    for url, says in (
        (f"sqlite:///{tmp_path}/empty.db", "flask db upgrade"),
        (f"sqlite:///{tmp_path}/missing/gossip.db", "cannot be reached"),
        ("postgresql://me:secret-word@127.0.0.1:1/gossip", "cannot be reached"),
    ):
        done = run_flask("channel", "create", "gossip", DATABASE_URL=url)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
        assert says in done.stderr and "secret-word" not in done.stderr


# Settings


def test_settings_say_where_they_came_from(said, monkeypatch, tmp_path):
    """The environment, a file that the flask command reads into it, and defaults."""
    (tmp_path / ".flaskenv").write_text("BIND=127.0.0.1\nLOG_FORMAT=json\n")
    monkeypatch.chdir(tmp_path)
    for name, value in {"BIND": "127.0.0.1", "LOG_FORMAT": "console", "MESSAGE_DAYS": "365"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MODERATION_DAYS", raising=False)

    rows = said("settings")

    assert rows["BIND"] == {"value": "127.0.0.1", "source": ".flaskenv"}
    assert rows["LOG_FORMAT"]["source"] == rows["MESSAGE_DAYS"]["source"] == "environment"
    assert rows["MODERATION_DAYS"] == {"value": 1825, "source": "default"}
    assert rows["SECRET_KEY"]["value"] == "***"
