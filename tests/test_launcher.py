"""`make run` starts everything, prints one clear line when it cannot, and leaves no process behind however it ends."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis
from sqlalchemy import create_engine, text

from launcher import processes, start
from launcher.errors import LaunchError
from launcher.supervisor import StopSignals, Supervisor
from launcher.valkey import Valkey
from shared import takeover
from shared.settings import Settings, embedded_redis_socket
from shared.takeover import Outcome
from tests.support.client import SocketClient
from tests.support.processes import ROOT, ServerProcess, clean_environment, free_port, run_command
from tests.support.servers import get
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("processes")]

READY = "The network is running."


class Launcher(ServerProcess):
    """`python -m launcher` on free ports."""

    def __init__(self, instance_path: Path, **settings: str) -> None:
        self.web_port, self.socket_port, self.gateway_port = free_port(), free_port(), free_port()
        defaults = {
            "WEB_PORT": str(self.web_port),
            "SOCKET_PORT": str(self.socket_port),
            "GATEWAY_PORT": str(self.gateway_port),
            "INSTANCE_PATH": str(instance_path),
        }
        super().__init__([sys.executable, "-m", "launcher"], env=clean_environment(**(defaults | settings)))

    def wait_until_ready(self) -> list[psutil.Process]:
        """Wait for the banner. Return all processes below the launcher."""
        self.wait_for_line("Ctrl-C stops it", seconds=60)
        return psutil.Process(self.pid).children(recursive=True)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launcher]]:
    """Start launchers, by default all on the same instance folder, and kill them after the test."""
    started: list[Launcher] = []

    def start(instance_path: Path = tmp_path / "instance", **settings: str) -> Launcher:
        launcher = Launcher(instance_path, **settings)
        started.append(launcher)
        return launcher

    yield start
    for launcher in started:
        if launcher.process.poll() is None:
            below = psutil.Process(launcher.pid).children(recursive=True)
            launcher.kill()
            for process in below:
                with _may_be_gone():
                    process.kill()


@contextmanager
def _may_be_gone() -> Iterator[None]:
    try:
        yield
    except psutil.NoSuchProcess:
        pass


def _find_valkey(below: list[psutil.Process]) -> psutil.Process:
    return next(process for process in below if process.name().startswith("valkey"))


def _survivors(below: list[psutil.Process], seconds: float = 0.5) -> list[psutil.Process]:
    """Wait until all processes have ended, at most this long. Return those still running."""
    deadline = time.monotonic() + seconds
    while (running := [process for process in below if processes.is_running(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return running


def _count(instance_path: Path, table: str) -> int:
    engine = create_engine(f"sqlite:///{instance_path / 'gossip.db'}")
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def _only_line(launcher: Launcher) -> str:
    assert len(launcher.lines) == 1, launcher.output
    return launcher.lines[0]


def test_the_first_start_prints_the_password_and_the_second_keeps_the_data(launch, tmp_path):
    """The admin and two channels are created once. SIGTERM and SIGINT stop everything, with status 0."""
    launcher = launch()
    below = launcher.wait_until_ready()
    assert f"http://127.0.0.1:{launcher.web_port}/" in launcher.output
    assert f"ws://127.0.0.1:{launcher.socket_port}/socket" in launcher.output
    assert re.search(r"First admin +keeper\n +Password +\S{16}\n", launcher.output)
    assert re.search(r"Email +none: set yours under Account", launcher.output)
    assert get(launcher.web_port, "/_health")[0] == 200
    assert get(launcher.socket_port, "/_health")[0] == 200
    assert get(launcher.gateway_port, "/_health")[0] == 200
    assert len(below) >= 5  # Valkey, gunicorn and its worker, the socket worker, the gateway

    second = launch()
    assert second.wait() == 1
    assert "already running" in _only_line(second) and str(launcher.pid) in _only_line(second)

    assert launcher.stop() == 0, launcher.output
    assert not _survivors(below), launcher.output
    assert "Traceback" not in launcher.output
    instance = tmp_path / "instance"
    assert not (instance / "valkey.sock").exists()
    assert not list((instance / "run").glob("*.json"))

    again = launch()
    below = again.wait_until_ready()
    assert "Password" not in again.output
    assert (_count(instance, "users"), _count(instance, "channels")) == (1, 2)
    again.send_signal(signal.SIGINT)
    assert again.wait() == 0, again.output
    assert not _survivors(below), again.output
    assert "Traceback" not in again.output


def test_the_children_of_a_killed_launcher_end_and_the_next_start_works(launch, tmp_path):
    """Uses a deep folder, for which Valkey's socket needs a short path elsewhere."""
    deep = tmp_path / ("deep" * 20) / ("deeper" * 10)
    launcher = launch(deep)
    below = launcher.wait_until_ready()
    launcher.process.kill()
    launcher.process.wait(10)
    again = launch(deep)
    again.wait_until_ready()
    assert not _survivors(below, seconds=5)
    assert again.stop() == 0
    assert not embedded_redis_socket(deep).parent.exists()


def test_everything_stops_when_valkey_ends_by_itself(launch):
    """The exit status is 1, and the last line names Valkey."""
    launcher = launch()
    below = launcher.wait_until_ready()
    _find_valkey(below).kill()
    assert launcher.wait(seconds=40) == 1, launcher.output
    assert launcher.lines[-1].startswith("Stopped: valkey ended by itself"), launcher.output
    assert not _survivors(below), launcher.output


class Supervised:
    """A supervisor of small programs in place of the site and the worker."""

    def __init__(self, folder: Path, **programs: str) -> None:
        lines = (f"{name}: exec {sys.executable} -c {shlex.quote(code)}" for name, code in programs.items())
        self.procfile = folder / "Procfile"
        self.procfile.write_text("\n".join(lines) + "\n")
        self.signals = StopSignals()
        self.output = io.StringIO()
        self.supervisor = Supervisor(self.signals, folder, self.output)

    def run(self, when_started: Callable[[], None] = lambda: None) -> str | None:
        """Run until all programs have ended. Return the failure."""
        return self.supervisor.run(self.procfile, clean_environment(), when_started)


SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
IGNORES_SIGTERM = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


@pytest.mark.parametrize(
    ("program", "why"), [("raise SystemExit(7)", "status 7"), ("import os; os.kill(os.getpid(), 9)", "signal SIGKILL")]
)
def test_the_other_programs_are_stopped_when_one_ends_by_itself(tmp_path, program, why):
    assert Supervised(tmp_path, web=SLEEPS, worker=program).run() == f"worker ended by itself ({why})"
    assert not list(tmp_path.glob("*.json"))


def test_a_program_that_ends_by_itself_with_status_0_is_a_failure_too(tmp_path):
    assert Supervised(tmp_path, web="pass", worker=SLEEPS).run() == "web ended by itself (status 0)"


def test_a_signal_before_the_programs_start_is_not_lost(tmp_path):
    supervised = Supervised(tmp_path, web=SLEEPS, worker=SLEEPS)
    supervised.signals.asked = True
    assert supervised.run() is None


TAKES_OVER = """
import os, signal, sys, time
if "--takeover" in sys.argv:
    print("takes over", flush=True)
    os.kill(int(sys.argv[-1]), signal.SIGUSR1)
signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))
print("serves", flush=True)
time.sleep(60)
"""
FAILS_TO_TAKE_OVER = """
import sys, time
if "--takeover" in sys.argv:
    sys.exit("no")
print("serves", flush=True)
time.sleep(60)
"""


def run_upgrade(
    folder: Path, worker: str, until: Callable[[str], bool], **options: object
) -> tuple[Supervised, list[Outcome], str | None]:
    """Ask for an upgrade once the worker serves, and stop once `until` accepts the output. Returns the outcomes too."""
    outcomes: list[Outcome] = []
    (folder / "program.py").write_text(worker)
    supervised = Supervised(folder, web=SLEEPS, worker="")
    supervised.procfile.write_text(
        supervised.procfile.read_text().replace(
            f"worker: exec {sys.executable} -c ''", f"worker: exec {sys.executable} program.py"
        )
    )
    supervised.supervisor = Supervisor(
        supervised.signals,
        folder,
        supervised.output,
        report_upgrade=outcomes.append,
        **options,  # type: ignore[arg-type]
    )

    def watch() -> None:
        wait_until(lambda: "serves" in supervised.output.getvalue(), what="the worker serves")
        supervised.signals.upgrade_asked = True
        try:
            wait_until(lambda: until(supervised.output.getvalue()), what="the end of the upgrade")
        finally:
            supervised.signals.asked = True

    failure = supervised.run(threading.Thread(target=watch, daemon=True).start)
    return supervised, outcomes, failure


def is_refused(output: str) -> bool:
    return "not upgraded" in output


def test_an_upgrade_adopts_the_new_worker_and_restarts_the_rest(tmp_path):
    """The end of the old worker is no failure. The output of both is copied."""
    supervised, outcomes, failure = run_upgrade(
        tmp_path, TAKES_OVER, lambda text: "system | upgraded" in text and text.count("web    | up") == 2
    )
    assert failure is None, supervised.output.getvalue()
    printed = supervised.output.getvalue()
    assert printed.count("worker | serves") == 2 and printed.count("web    | up") == 2
    assert [outcome.error for outcome in outcomes] == [""] and outcomes[0].pid > 0
    assert "system | worker stopped (signal SIGTERM)" in printed
    assert not list(tmp_path.glob("*.json"))


def test_an_upgrade_that_fails_changes_nothing(tmp_path):
    supervised, outcomes, failure = run_upgrade(tmp_path, FAILS_TO_TAKE_OVER, is_refused)
    assert failure is None
    printed = supervised.output.getvalue()
    assert printed.count("worker | serves") == 1 and printed.count("web    | up") == 1
    assert "the new worker ended (status 1)" in outcomes[0].error


def test_an_upgrade_begins_with_the_migrations(tmp_path):
    def fail() -> None:
        raise LaunchError("the migrations failed: no table")

    _, outcomes, failure = run_upgrade(tmp_path, TAKES_OVER, is_refused, prepare_upgrade=fail)
    assert failure is None
    assert outcomes[0].error == "the migrations failed: no table"


def test_make_run_is_upgraded_without_dropping_a_socket(launch, tmp_path):
    """`flask network upgrade` finds the launcher. Afterwards everything runs with new processes, and stops as usual."""
    launcher = launch(RATE_LIMITS="off")
    below = launcher.wait_until_ready()
    instance = tmp_path / "instance"
    settings = {"INSTANCE_PATH": str(instance), "WEB_PORT": str(launcher.web_port)}
    client = SocketClient(f"ws://127.0.0.1:{launcher.socket_port}/socket")
    [before] = wait_until(lambda: takeover.list_workers(instance), what="the worker can be upgraded")
    result = run_command("network", "upgrade", settings=settings)
    assert result.returncode == 0, result.stderr + launcher.output
    [after] = takeover.list_workers(instance)
    assert json.loads(result.stdout) == {"old": launcher.pid, "new": after.pid} and after.pid != before.pid
    answer = client.request("channels/send", {"channel": "gossip", "name": "x", "message": "y"})
    assert answer["error"] == "unauthenticated" and not client.is_closed
    wait_until(lambda: get(launcher.web_port, "/_health")[0] == 200, seconds=20, what="the site is back")
    below += psutil.Process(launcher.pid).children(recursive=True)
    assert launcher.stop() == 0, launcher.output
    assert client.wait_closed() == 1012
    assert not _survivors(below), launcher.output
    assert "Traceback" not in launcher.output


def test_a_program_that_ignores_sigterm_is_killed_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr("launcher.supervisor.KILL_WAIT_SECONDS", 0.5)
    supervised = Supervised(tmp_path, web=SLEEPS, worker=IGNORES_SIGTERM)

    def stop_when_ready() -> None:
        def watch() -> None:
            wait_until(lambda: "ready" in supervised.output.getvalue(), what="the program ignores SIGTERM")
            supervised.signals.asked = True

        threading.Thread(target=watch, daemon=True).start()

    assert supervised.run(stop_when_ready) == "worker did not stop in time and was killed"


def test_each_line_of_output_names_its_program(tmp_path):
    """Bytes that are not UTF-8 are replaced."""
    program = r"import os; os.write(1, b'one\ntwo \xff\nno newline')"
    supervised = Supervised(tmp_path, web=program, worker=SLEEPS)
    supervised.run()
    lines = [line.partition(" ")[2] for line in supervised.output.getvalue().splitlines()]
    assert [line for line in lines if line.startswith("web")] == [
        "web    | one",
        "web    | two \ufffd",
        "web    | no newline",
    ]
    assert "system | stopping worker" in lines


def test_a_stop_during_the_start_leaves_nothing(launch, tmp_path):
    """The signal arrives after Valkey has started and before the migrations run."""
    launcher = launch()
    note = tmp_path / "instance" / "run" / "valkey.json"
    wait_until(note.exists, seconds=20, what="Valkey is started")
    below = psutil.Process(launcher.pid).children(recursive=True)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait() == 0, launcher.output
    assert not _survivors(below), launcher.output
    assert READY not in launcher.output and "Traceback" not in launcher.output


def test_valkey_keeps_its_data_over_a_stop_but_not_over_a_kill():
    """The file is read once. An unreadable file is deleted."""
    folder = Path(tempfile.mkdtemp(prefix="valkey-"))  # a socket's path must be short
    kept = folder / "kept.rdb"

    def run(end: Callable[[Valkey], None] = Valkey.stop) -> tuple[bytes | None, int]:
        """Start Valkey, set a key, and end Valkey. Return the key's value and lifetime at the start."""
        valkey = Valkey(folder / "s", log_path=folder / "log", kept_path=kept)
        valkey.start()
        assert not kept.exists()
        with redis.Redis.from_url(valkey.url) as client:
            before = client.get("who"), client.ttl("who")
            client.set("who", b"MidMUD", ex=60)
        end(valkey)
        return before

    def kill(valkey: Valkey) -> None:
        assert valkey.process is not None
        valkey.process.kill()
        valkey.stop()

    try:
        assert run() == (None, -2)
        value, seconds = run()
        assert value == b"MidMUD" and 0 < seconds <= 60
        assert run(kill)[0] == b"MidMUD"
        assert run()[0] is None
        kept.write_bytes(b"REDIS9999 not a dump that this program can read")
        assert run()[0] is None
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("setting", ["WEB_PORT", "SOCKET_PORT", "GATEWAY_PORT"])
def test_a_port_in_use_is_named_with_its_setting(launch, tmp_path, setting):
    """The launcher starts nothing then."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        launcher = launch(**{setting: str(port)})
        assert launcher.wait() == 1
    assert f"port {port} on 127.0.0.1 is in use" in _only_line(launcher)
    assert setting in _only_line(launcher)
    assert not (tmp_path / "instance" / "gossip.db").exists()


def test_the_gateway_takes_a_free_port_if_nobody_chose_one(monkeypatch, tmp_path, capsys):
    """A second network on one machine needs only the ports of its site and its socket."""
    monkeypatch.setenv("INSTANCE_PATH", str(tmp_path))
    for name in ("GATEWAY_PORT", "GATEWAY_URL"):
        monkeypatch.setenv(name, "")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        monkeypatch.setattr("shared.settings.GATEWAY_PORT", port)
        settings = Settings.from_environment()
        assert settings.gateway_port == port
        moved = start.with_gateway_port(settings)
        assert moved.gateway_port not in (0, port) and str(moved.gateway_port) in moved.gateway_url
        assert f"Port {port} is in use" in capsys.readouterr().out
        monkeypatch.setenv("GATEWAY_PORT", str(port))
        assert start.with_gateway_port(settings) is settings
    monkeypatch.setenv("GATEWAY_PORT", "")
    assert start.with_gateway_port(settings) is settings


@pytest.mark.parametrize(
    ("setting", "value", "status"),
    [
        ("WEB_PORT", "many", 2),
        ("HEARTBEAT_SECONDS", "-1", 2),
        ("WEB_CONCURRENCY", "abc", 2),
        ("DATABASE_URL", "mysql://127.0.0.1/gossip", 2),
        ("BIND", "192.0.2.1", 1),
        ("DATABASE_URL", "postgres://me:secret-word@127.0.0.1:1/gossip", 1),
        ("DATABASE_URL", "sqlite:////no-such-folder/gossip.db", 1),
        ("REDIS_URL", "redis://:secret-word@127.0.0.1:1/0", 1),
    ],
)
def test_a_setting_that_cannot_work_gives_one_line(launch, setting, value, status):
    """The line names the setting and shows no password."""
    launcher = launch(**{setting: value})
    assert launcher.wait() == status, launcher.output
    line = _only_line(launcher)
    assert line.startswith("error: ") and setting in line
    assert "secret-word" not in line


def test_a_file_that_is_not_a_database_gives_one_line(launch, tmp_path):
    """The launcher does not change the file."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but somebody's notes\n" * 100)
    before = path.read_bytes()
    launcher = launch(DATABASE_URL=f"sqlite:///{path}")
    assert launcher.wait() == 1
    assert "DATABASE_URL" in _only_line(launcher)
    assert path.read_bytes() == before


def test_leftovers_are_ended_and_other_processes_are_not(tmp_path):
    """A process that has got the number of a noted child is left alone."""
    leftover, stranger = (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
        for _ in range(2)
    )
    try:
        processes.remember(tmp_path, "leftover", leftover.pid)
        (tmp_path / "stranger.json").write_text(f'{{"pid": {stranger.pid}, "created": 1000000000.0}}')
        (tmp_path / "torn.json").write_text('{"pid":')
        assert processes.end_leftovers(tmp_path) == ["leftover"]
        assert leftover.wait(5) == -signal.SIGTERM
        assert stranger.poll() is None
        assert list(tmp_path.iterdir()) == []
    finally:
        for process in (leftover, stranger):
            process.kill()
            process.wait()


@pytest.mark.skipif(not (ROOT / ".venv" / ".installed").exists(), reason="make has not installed .venv")
@pytest.mark.parametrize("how", ["ctrl-c", "sigterm"])
def test_make_run_in_a_terminal_leaves_nothing(tmp_path, how):
    """Ctrl-C reaches make and the launcher. SIGTERM reaches only make, which passes it on."""
    web_port, socket_port = free_port(), free_port()
    environment = clean_environment(
        WEB_PORT=str(web_port),
        SOCKET_PORT=str(socket_port),
        GATEWAY_PORT=str(free_port()),
        INSTANCE_PATH=str(tmp_path / "instance"),
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execvpe("make", ["make", "run"], environment)
    printed = b""
    below: list[psutil.Process] = []
    try:
        while b"Ctrl-C stops it" not in printed:
            try:
                printed += os.read(terminal, 65536)
            except OSError:
                pytest.fail(f"make run ended by itself:\n{printed.decode()}")
        below = psutil.Process(pid).children(recursive=True)
        launcher = psutil.Process(pid).children()
        assert len(launcher) == 1 and "launcher" in launcher[0].cmdline(), (
            "a shell stands between make and the launcher"
        )
        if how == "ctrl-c":
            os.write(terminal, b"\x03")
        else:
            os.kill(pid, signal.SIGTERM)
        try:
            while chunk := os.read(terminal, 65536):
                printed += chunk
        except OSError:
            pass  # no process has the terminal's other end open any more
        os.waitpid(pid, 0)
        assert not _survivors(below, seconds=5), printed.decode()
        assert b"Traceback" not in printed, printed.decode()
        assert b"web stopped" in printed and b"worker stopped" in printed
    finally:
        os.close(terminal)
        for process in below:
            with _may_be_gone():
                process.kill()
