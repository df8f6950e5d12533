"""Child processes of the tests. Their output is read as it arrives, and none outlives the test run."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from launcher.processes import die_with_parent
from shared.settings import Settings
from tests.support.forking import ForkedProcess, ForkServer

ROOT = Path(__file__).resolve().parent.parent.parent

# Developers may have set these for their own server. A test sets what it needs.
_SETTINGS = {field.name.upper() for field in dataclasses.fields(Settings)} | {
    "WEB_CONCURRENCY",
    "FLASK_APP",
    "FLASK_DEBUG",
    "MAKEFLAGS",
    "MAKELEVEL",
    "GUNICORN_CMD_ARGS",
}
_commands = ForkServer("flask.cli", "app.commands")


def clean_environment(**settings: str) -> dict[str, str]:
    """Return this process's environment, with these settings of the network and no others."""
    environment = {name: value for name, value in os.environ.items() if name not in _SETTINGS}
    programs = str(Path(sys.executable).parent)
    environment["PATH"] = programs + os.pathsep + environment.get("PATH", os.defpath)
    environment["PYTHONUNBUFFERED"] = "1"
    return environment | settings


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_command(*arguments: str, stdin: str = "", settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `flask` with these arguments and settings."""
    env = clean_environment(**settings)
    if not _is_coverage_measured():
        return _commands.run("flask", *arguments, env=env, cwd=str(ROOT), stdin=stdin)
    command = [sys.executable, "-m", "flask", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, input=stdin, capture_output=True, text=True, timeout=60)


class ServerProcess:
    """A program that runs until it is stopped, as the leader of a process group."""

    fork_server: ForkServer | None = None
    """Forks this kind of program; its command begins with `python -m`."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path = ROOT) -> None:
        self.command = list(command)
        self.process = self._start(dict(env), cwd)
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _start(self, env: dict[str, str], cwd: Path) -> subprocess.Popen[str] | ForkedProcess:
        if self.fork_server is not None and not _is_coverage_measured():
            return self.fork_server.start(*self.command[2:], env=env, cwd=str(cwd))
        return subprocess.Popen(
            self.command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """Everything that it has printed so far."""
        return "\n".join(self.lines)

    def wait_for_line(self, expected: str | Callable[[str], Any], *, seconds: float = 20.0) -> str:
        """Return the first line that contains the text or that the function accepts, including earlier lines."""
        accepts = (lambda line: expected in line) if isinstance(expected, str) else expected
        deadline = time.monotonic() + seconds
        seen = 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if accepts(line):
                        return line
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    reason = f"it ended with {self.process.poll()}" if self._ended else f"not within {seconds:g} s"
                    raise AssertionError(f"{self.command} did not print {expected!r}: {reason}\n{self.output}")
                self._changed.wait(left)

    def wait_for_event(self, name: str, *, seconds: float = 20.0) -> dict[str, Any]:
        """Return the first JSON log line of this event."""
        return json.loads(self.wait_for_line(lambda line: _event(line) == name, seconds=seconds))

    def send_signal(self, signum: int) -> None:
        self.process.send_signal(signum)

    def wait(self, *, seconds: float = 20.0) -> int:
        """Wait until it has ended and all its output has been read. Return its exit status."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} did not end within {seconds:g} s\n{self.output}") from None
        self._reader.join(5)
        return status

    def stop(self, *, seconds: float = 20.0) -> int:
        """Send SIGTERM, and return its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.wait(seconds=seconds)

    def kill(self) -> None:
        """Send SIGKILL to the group, unless it has ended.

        If coverage is measured, let the process end by itself first, because a killed one reports nothing.
        """
        if _is_coverage_measured() and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(10)


def _is_coverage_measured() -> bool:
    return "COVERAGE_PROCESS_CONFIG" in os.environ


def _event(line: str) -> object:
    if not line.startswith("{"):
        return None
    try:
        return json.loads(line).get("event")
    except ValueError:
        return None
