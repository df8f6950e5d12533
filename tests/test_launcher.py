"""`make run`: starts all of it, says one clear line when it cannot, and leaves nothing behind however it ends."""

from __future__ import annotations

import io
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

from launcher import processes
from launcher.supervisor import StopSignals, Supervisor
from launcher.valkey import Valkey
from shared.settings import embedded_redis_socket
from tests.support.processes import ROOT, ServerProcess, clean_environment, free_port
from tests.support.servers import get
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

READY = "The network is running."


class Launcher(ServerProcess):
    """`python -m launcher` on free ports and an instance folder of its own."""

    def __init__(self, instance_path: Path, **settings: str) -> None:
        self.web_port, self.socket_port = free_port(), free_port()
        own = {
            "WEB_PORT": str(self.web_port),
            "SOCKET_PORT": str(self.socket_port),
            "INSTANCE_PATH": str(instance_path),
        }
        super().__init__([sys.executable, "-m", "launcher"], env=clean_environment(**{**own, **settings}))

    def wait_until_ready(self) -> list[psutil.Process]:
        """Wait for the banner; returns every process below the launcher."""
        self.wait_for_line("Ctrl-C stops it", seconds=60)
        return psutil.Process(self.pid).children(recursive=True)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launcher]]:
    """Starts launchers, on one instance folder where no other is given."""
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


def _left(below: list[psutil.Process], seconds: float = 0.5) -> list[psutil.Process]:
    """Those that still run after a moment."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in below if processes.is_running(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _count(instance_path: Path, table: str) -> int:
    engine = create_engine(f"sqlite:///{instance_path / 'gossip.db'}")
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def _only_line(launcher: Launcher) -> str:
    assert len(launcher.lines) == 1, launcher.output
    return launcher.lines[0]


def test_a_first_start_prints_the_way_in_and_a_second_keeps_the_data(launch, tmp_path):
    """One admin and two channels are made once; SIGTERM and SIGINT end all of it with status 0."""
    launcher = launch()
    below = launcher.wait_until_ready()
    assert f"http://127.0.0.1:{launcher.web_port}/" in launcher.output
    assert f"ws://127.0.0.1:{launcher.socket_port}/socket" in launcher.output
    assert re.search(r"First admin +keeper\n +Password +\S{16}\n", launcher.output)
    assert re.search(r"Email +none: set yours under Account", launcher.output)
    assert get(launcher.web_port, "/_health")[0] == 200
    assert get(launcher.socket_port, "/_health")[0] == 200
    assert len(below) >= 5  # Valkey, gunicorn and its worker, the socket worker, and who waits for them

    second = launch()
    assert second.wait() == 1
    assert "already running" in _only_line(second) and str(launcher.pid) in _only_line(second)

    assert launcher.stop() == 0, launcher.output
    assert not _left(below), launcher.output
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
    assert not _left(below), again.output
    assert "Traceback" not in again.output


def test_a_killed_launcher_leaves_nothing_and_the_next_start_works(launch, tmp_path):
    """SIGKILL gives it no chance to clean up: its children end all the same.

    In a deep folder, where Valkey's socket gets a short path elsewhere.
    """
    deep = tmp_path / ("deep" * 20) / ("deeper" * 10)
    launcher = launch(deep)
    below = launcher.wait_until_ready()
    launcher.process.kill()
    launcher.process.wait(10)
    again = launch(deep)
    again.wait_until_ready()
    assert not _left(below, seconds=5)
    assert again.stop() == 0
    assert not embedded_redis_socket(deep).parent.exists()


def test_when_valkey_ends_by_itself_all_are_stopped(launch):
    """The exit is not a success, and the last line says which it was."""
    launcher = launch()
    below = launcher.wait_until_ready()
    _find_valkey(below).kill()
    assert launcher.wait(seconds=40) == 1, launcher.output
    assert launcher.lines[-1].startswith("Stopped: valkey ended by itself"), launcher.output
    assert not _left(below), launcher.output


class Supervised:
    """A supervisor over small programs in place of the site and the worker."""

    def __init__(self, folder: Path, **programs: str) -> None:
        lines = (f"{name}: exec {sys.executable} -c {shlex.quote(code)}" for name, code in programs.items())
        (folder / "Procfile").write_text("\n".join(lines) + "\n")
        self.signals = StopSignals()
        self.supervisor = Supervisor(self.signals, folder)
        self.supervisor.add_procfile(folder / "Procfile", clean_environment())

        self.output = io.StringIO()
        self.supervisor._printer.output = self.output

    def run(self, when_started: Callable[[], None] = lambda: None) -> str | None:
        """Run to the end; returns the failure."""
        self.supervisor.loop(when_started)
        return self.supervisor.failure


WAITS = "import time; print('up', flush=True); time.sleep(60)"
IGNORES = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


@pytest.mark.parametrize(
    ("program", "why"), [("raise SystemExit(7)", "status 7"), ("import os; os.kill(os.getpid(), 9)", "signal SIGKILL")]
)
def test_when_a_program_ends_by_itself_the_others_are_stopped(tmp_path, program, why):
    """Also when it ends at once, before the others were started."""
    assert Supervised(tmp_path, web=WAITS, worker=program).run() == f"worker ended by itself ({why})"
    assert not list(tmp_path.glob("*.json"))


def test_a_program_that_ends_well_by_itself_is_a_fault_too(tmp_path):
    """The network is not whole without it."""
    assert Supervised(tmp_path, web="pass", worker=WAITS).run() == "web ended by itself (status 0)"


def test_a_signal_before_the_programs_are_started_stops_them(tmp_path):
    """It is not lost, and nothing is killed that does not exist yet."""
    supervised = Supervised(tmp_path, web=WAITS, worker=WAITS)
    supervised.signals.asked = True
    assert supervised.run() is None


def test_a_program_that_does_not_stop_is_killed(tmp_path, monkeypatch):
    """And it is said, since what it held is lost."""
    monkeypatch.setattr("launcher.supervisor.KILL_WAIT_SECONDS", 0.5)
    supervised = Supervised(tmp_path, web=WAITS, worker=IGNORES)

    def stop_when_deaf() -> None:
        def watch() -> None:
            wait_until(lambda: "deaf" in supervised.output.getvalue(), what="the program ignores SIGTERM")
            supervised.signals.asked = True

        threading.Thread(target=watch, daemon=True).start()

    assert supervised.run(stop_when_deaf) == "worker did not stop in time and was killed"


def test_a_stop_while_it_starts_leaves_nothing(launch, tmp_path):
    """The signal comes when Valkey runs and the migrations do not yet."""
    launcher = launch()
    noted = tmp_path / "instance" / "run" / "valkey.json"
    wait_until(noted.exists, seconds=20, what="Valkey is started")
    below = psutil.Process(launcher.pid).children(recursive=True)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait() == 0, launcher.output
    assert not _left(below), launcher.output
    assert READY not in launcher.output and "Traceback" not in launcher.output


def test_valkey_keeps_what_it_holds_over_a_stop_and_only_over_that(tmp_path):
    """What is kept is read once; what cannot be read is thrown away."""
    folder = Path(tempfile.mkdtemp(prefix="valkey-"))  # a socket's path must be short
    kept = folder / "kept.rdb"

    def run(then: Callable[[Valkey], None] = Valkey.stop) -> tuple[bytes | None, int]:
        """What it begins with, and for how long that still counts."""
        valkey = Valkey(folder / "s", log_path=folder / "log", kept_path=kept)
        valkey.start()
        assert not kept.exists()
        with redis.Redis.from_url(valkey.url) as client:
            found = client.get("who"), client.ttl("who")
            client.set("who", b"MidMUD", ex=60)
        then(valkey)
        return found

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


@pytest.mark.parametrize("setting", ["WEB_PORT", "SOCKET_PORT"])
def test_a_port_in_use_is_named_with_its_setting(launch, tmp_path, setting):
    """Nothing is started then."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        launcher = launch(**{setting: str(port)})
        assert launcher.wait() == 1
    assert f"port {port} on 127.0.0.1 is in use" in _only_line(launcher)
    assert setting in _only_line(launcher)
    assert not (tmp_path / "instance" / "gossip.db").exists()


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
def test_what_cannot_work_is_one_line(launch, setting, value, status):
    """The line names the setting and shows no password."""
    launcher = launch(**{setting: value})
    assert launcher.wait() == status, launcher.output
    line = _only_line(launcher)
    assert line.startswith("error: ") and setting in line
    assert "secret-word" not in line


def test_a_file_that_is_no_database_is_one_line(launch, tmp_path):
    """The file is left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but somebody's notes\n" * 100)
    before = path.read_bytes()
    launcher = launch(DATABASE_URL=f"sqlite:///{path}")
    assert launcher.wait() == 1
    assert "DATABASE_URL" in _only_line(launcher)
    assert path.read_bytes() == before


def test_leftovers_are_ended_and_strangers_are_not(tmp_path):
    """A number that has gone to another process since it was noted is left alone."""
    mine, stranger = (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
        for _ in range(2)
    )
    try:
        processes.remember(tmp_path, "mine", mine.pid)
        (tmp_path / "stranger.json").write_text(f'{{"pid": {stranger.pid}, "created": 1000000000.0}}')
        (tmp_path / "torn.json").write_text('{"pid":')
        assert processes.end_leftovers(tmp_path) == ["mine"]
        assert mine.wait(5) == -signal.SIGTERM
        assert stranger.poll() is None
        assert list(tmp_path.iterdir()) == []
    finally:
        for process in (mine, stranger):
            process.kill()
            process.wait()


@pytest.mark.skipif(not (ROOT / ".venv" / ".installed").exists(), reason="make has not installed .venv")
@pytest.mark.parametrize("how", ["ctrl-c", "sigterm"])
def test_make_run_in_a_terminal_leaves_nothing(tmp_path, how):
    """Ctrl-C reaches make and the launcher; a SIGTERM only make, which passes it on."""
    web_port, socket_port = free_port(), free_port()
    environment = clean_environment(
        WEB_PORT=str(web_port), SOCKET_PORT=str(socket_port), INSTANCE_PATH=str(tmp_path / "instance")
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
            pass  # the terminal's other end is closed: nobody is left in it
        os.waitpid(pid, 0)
        assert not _left(below, seconds=5), printed.decode()
        assert b"Traceback" not in printed, printed.decode()
        assert b"web stopped" in printed and b"worker stopped" in printed
    finally:
        os.close(terminal)
        for process in below:
            with _may_be_gone():
                process.kill()
