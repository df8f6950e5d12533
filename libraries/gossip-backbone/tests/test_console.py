"""The commands `python -m backbone mirror`, `status` and `verify`, and a mirror killed with kill -9."""

from __future__ import annotations

import random
import re
import sqlite3
import subprocess
import sys
import threading

import pytest
from backbone import DatabaseFailed, migrate
from backbone.__main__ import main, open_database

from shared import db
from shared.services import games
from shared.services.authority.actors import OPERATOR
from tests.support.factory import edit_game
from tests.support.processes import ServerProcess

UNREACHABLE = "ws://127.0.0.1:1/socket"


@pytest.fixture
def network(worker, application):
    """The options for the network."""
    return ["--url", worker.url, "--client-id", application.client_id]


@pytest.fixture
def variables(run_environment, application):
    return {**run_environment, "GOSSIP_CLIENT_SECRET": application.client_secret}


@pytest.fixture
def run(variables, python):
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-m", "backbone", *arguments],
            env={**variables, **environment},
            capture_output=True,
            text=True,
            timeout=50,
        )

    return run


@pytest.fixture
def run_here(request, monkeypatch, capsys):
    """Like `run`, but in this process. Uses the application's secret if the test has an application."""
    has_application = "application" in request.fixturenames
    secret = request.getfixturevalue("application").client_secret if has_application else "secret"
    monkeypatch.setenv("GOSSIP_CLIENT_SECRET", secret)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        status = main(arguments)
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return run


@pytest.fixture
def mirror(variables, python, network, replica_url):
    """Start mirrors, and kill them after the test."""
    started = []

    def start(*arguments: str) -> ServerProcess:
        command = [python, "-m", "backbone", "mirror", *network, "--database", replica_url, *arguments]
        started.append(ServerProcess(command, env=variables))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def test_mirror_status_verify_and_mend(any_replica, mirror, run_here, network, replica_url, stored):
    for _ in range(30):
        stored.game()
    stored.game("Alpha")
    first = run_here("status", "--database", replica_url)
    assert first.returncode == 1 and first.stderr.count("\n") == 1

    process = mirror()
    assert "1 channels" in process.wait_for_line("in sync at") or "31 games" in process.output
    with db.transaction() as session:
        edit_game(session, "Alpha", description="x")
    process.wait_for_line(lambda line: line.endswith("updated games 31 Alpha: description"))
    with db.transaction() as session:
        games.delete_game(session, OPERATOR, short_name="Alpha")
    process.wait_for_line(lambda line: line.endswith("deleted games 31 Alpha"))
    status = run_here("status", "--database", replica_url)
    assert status.returncode == 0 and "games    30" in status.stdout
    checked = run_here("verify", *network, "--database", replica_url)
    assert checked.returncode == 0 and checked.stdout.startswith("equal at "), checked.stderr
    assert process.stop() == 0 and "Traceback" not in process.output

    engine = open_database(replica_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE backbone_games SET homepage_url = 'https://x.example.com' WHERE id = 3")
    engine.dispose()
    different = run_here("verify", *network, "--database", replica_url)
    assert different.returncode == 1 and "differs in homepage_url" in different.stdout
    mended = run_here("verify", *network, "--database", replica_url, "--mend")
    assert mended.returncode == 0 and "1 records differ" in mended.stdout and "mended" in mended.stdout
    assert run_here("verify", *network, "--database", replica_url).returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "connection refused"),
        ({"--url": "http://127.0.0.1/"}, "must begin with ws:// or wss://"),
        ({"--database": "sqlite:////no/such/folder/mirror.db"}, "unable to open database file"),
        ({"--database": "nonsense"}, "is not a database address"),
        ({"--database": ""}, "is not a database address"),
        ({"--database": "postgresql://ann:hush@host:port/y"}, "is not a database address"),
        ({"--database": "postgres:/ann:hush@host/y"}, "is not a database address"),
        ({"--database": "sqlite://"}, "does not name a file"),
        ({"--database": "mysql://ann:hush@host"}, "does not name a database"),
        ({"--database": "oracle://x/y"}, "driver of this database is not installed"),
        ({"--database": "mariadb://ann:hush@127.0.0.1:1/y"}, "cannot be reached: Can't connect"),
        ({"--database": "mysql://ann:hush@127.0.0.1:1/y?bad=1"}, "unexpected keyword argument 'bad'"),
        ({"--database": "mysql://ann:hush@127.0.0.1:1/y?ssl_ca=/no/file"}, "No such file"),
        ({"--database": "postgresql://x@127.0.0.1:1/y"}, "onnection"),
    ],
)
def test_an_error_is_one_line(run_here, replica_url, options, message):
    options = {"--url": UNREACHABLE, "--client-id": "x", "--database": replica_url, "--timeout": "0.5"} | options
    done = run_here("mirror", *(part for pair in options.items() for part in pair))
    assert done.returncode == 1
    assert message in done.stderr and done.stderr.count("\n") == 1 and "hush" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("database", "package"), [("postgres://x/y", "psycopg[binary]"), ("mariadb://x/y", "PyMySQL[rsa]")]
)
def test_a_driver_that_is_not_installed_is_named(monkeypatch, database, package):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(DatabaseFailed, match=re.escape(f"pip install '{package}'")):
        open_database(database)


def test_wrong_credentials_give_one_line(run, network, replica_url):
    """Uses a separate process, to see that no thread prints anything else."""
    done = run("mirror", *network[:2], "--client-id", "wrong", "--database", replica_url)
    assert done.returncode == 1 and done.stdout == ""
    assert "invalid credentials" in done.stderr and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("command", ["status", "verify"])
def test_a_missing_replica_is_an_error_and_not_created(run_here, tmp_path, command):
    """The file does not exist, or the database holds no replica."""
    options = ["--url", UNREACHABLE, "--client-id", "x"] if command == "verify" else []
    path = tmp_path / "typo.db"
    done = run_here(command, *options, "--database", f"sqlite:///{path}")
    assert done.returncode == 1 and "there is no file" in done.stderr and not path.exists()
    sqlite3.connect(path).close()
    path.touch()
    done = run_here(command, *options, "--database", f"sqlite:///{path}")
    assert done.returncode == 1 and "there is no replica in this database yet" in done.stderr


@pytest.mark.parametrize("option", ["--timeout", "--locked-seconds"])
@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "0", "soon"])
def test_invalid_seconds_are_refused(run_here, capsys, option, seconds):
    with pytest.raises(SystemExit) as ended:
        run_here("mirror", "--url", "x", "--client-id", "x", "--database", "sqlite:///x.db", option, seconds)
    assert ended.value.code == 2
    assert f"argument {option}: " in capsys.readouterr().err.splitlines()[-1]


def test_a_missing_secret_gives_one_line(run, replica_url):
    options = ["--url", UNREACHABLE, "--client-id", "x", "--database", replica_url]
    done = run("mirror", *options, GOSSIP_CLIENT_SECRET="")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "set GOSSIP_CLIENT_SECRET" in done.stderr


def test_a_closed_output_pipe_ends_the_mirror_without_a_traceback(variables, python, network, replica_url):
    """As with `… | head -1`."""
    command = [python, "-m", "backbone", "mirror", *network, "--database", replica_url]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait(20) == 141


def test_the_credentials_of_a_game_give_an_error(run_here, monkeypatch, worker, stored, replica_url):
    """They are valid, but the network never syncs a game: without the error the mirror would wait forever."""
    monkeypatch.setattr("backbone.replica._SILENT_SECONDS", 0.1)
    credentials = stored.game_with_credentials("Alpha")[1]
    monkeypatch.setenv("GOSSIP_CLIENT_SECRET", credentials.client_secret)
    network = ["--url", worker.url, "--client-id", credentials.client_id]
    done = run_here("mirror", *network, "--database", replica_url)
    assert done.returncode == 1 and done.stderr == "backbone: sync: not an application\n"


def test_a_locked_database_gives_one_line(run_here, replica_url):
    path = replica_url.removeprefix("sqlite:///")
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN EXCLUSIVE")
        options = ["--url", UNREACHABLE, "--client-id", "x", "--locked-seconds", "0.2"]
        done = run_here("mirror", *options, "--database", replica_url)
        connection.execute("ROLLBACK")
    assert done.returncode == 1
    assert "database is locked" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_mirror_waits_for_a_locked_database(run_here, replica_url, monkeypatch):
    """It waits longer than a single wait of SQLite."""
    monkeypatch.setattr("backbone.__main__._LOCKED_SECONDS", 0.1)
    with sqlite3.connect(replica_url.removeprefix("sqlite:///"), isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        tries = []

        def try_to_migrate(engine):
            tries.append(engine)
            if len(tries) == 3:
                connection.execute("ROLLBACK")
            return migrate(engine)

        monkeypatch.setattr("backbone.__main__.migrate", try_to_migrate)
        options = ["--url", UNREACHABLE, "--client-id", "x", "--timeout", "0.2"]
        done = run_here("mirror", *options, "--database", replica_url)
    assert len(tries) == 3 and "connection refused" in done.stderr, done.stderr


def test_a_file_that_is_not_a_database_gives_one_line(run_here, tmp_path):
    path = tmp_path / "text.db"
    path.write_text("this is a letter, not a database\n" * 100)
    done = run_here("mirror", "--url", UNREACHABLE, "--client-id", "x", "--database", f"sqlite:///{path}")
    assert done.returncode == 1 and "file is not a database" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.postgres
@pytest.mark.parametrize("any_database", ["postgres"], indirect=True)
def test_a_mirror_outlives_the_network_s_database(
    any_database, worker, mirror, network, stored, postgres_server, database_url
):
    """The worker cannot authenticate it for a while. Afterwards the mirror syncs."""
    stored.game("Alpha")
    postgres_server.go_away(database_url)
    try:
        process = mirror()
        worker.wait_for_event("a handler failed: the database is down or busy")
    finally:
        postgres_server.come_back(database_url)
    process.wait_for_line("in sync at", seconds=30)
    assert process.stop() == 0 and "Traceback" not in process.output


def test_a_mirror_outlives_a_long_lock_on_its_own_database(mirror, replica_url, stored):
    """Longer than `--locked-seconds`, which only ends a mirror that has not connected yet."""
    stored.game("Alpha")
    process = mirror("--locked-seconds", "0.2")
    process.wait_for_line("in sync at")
    with sqlite3.connect(replica_url.removeprefix("sqlite:///"), isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with db.transaction() as session:
            edit_game(session, "Alpha", description="meanwhile")
        process.wait_for_line("trying again in")
        connection.execute("ROLLBACK")
    process.wait_for_line("updated games 1 Alpha", seconds=30)
    assert process.stop() == 0


@pytest.mark.parametrize("is_mended", [False, True])
def test_verify_says_behind(mirror, run_here, network, replica_url, stored, is_mended):
    """The copy lacks an edit, because no mirror runs."""
    stored.game("Alpha")
    process = mirror()
    process.wait_for_line("in sync at")
    assert process.stop() == 0
    with db.transaction() as session:
        edit_game(session, "Alpha", description="later")
    done = run_here("verify", *network, "--database", replica_url, *(["--mend"] if is_mended else []))
    assert done.stdout.startswith("behind: the network is at ") and "1 changes not received yet" in done.stdout
    assert done.returncode == (0 if is_mended else 3)
    again = run_here("verify", *network, "--database", replica_url)
    assert again.returncode == (0 if is_mended else 3)


def test_a_killed_mirror_catches_up(any_replica, mirror, run_here, network, replica_url, stored):
    """It is killed during whole states and changes, while the network changes. The benchmark does this fifty times."""
    rng = random.Random(4)
    names = [stored.game().short_name for _ in range(60)]
    is_over = threading.Event()

    def churn() -> None:
        number = 0
        while not is_over.wait(0.005):
            number += 1
            with db.transaction() as session:
                if number % 10 == 0 and len(names) > 5:
                    games.delete_game(session, OPERATOR, short_name=names.pop())
                else:
                    edit_game(session, rng.choice(names), description=f"{number}")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for turn in range(3):
            process = mirror()
            if turn == 1:
                process.wait_for_line("in sync at")
            else:
                process.wait_for_line("connected")
            process.process.kill()
            process.wait()
    finally:
        is_over.set()
        thread.join()
    last = mirror()
    last.wait_for_line("in sync at")
    assert last.stop() == 0
    checked = run_here("verify", *network, "--database", replica_url)
    assert checked.returncode == 0, checked.stdout + checked.stderr
