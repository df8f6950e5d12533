"""Runs the Procfile's processes with honcho, and stops all of them when one ends or a signal asks for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty
from typing import Any

from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Message, Printer
from honcho.process import Popen, Process

from launcher.processes import die_with_parent, forget, remember

# Above what the slowest needs: a worker tells its sockets, flushes and closes within 10 s.
KILL_WAIT_SECONDS = 15.0


class StopSignals:
    """Remembers that a signal asked to stop. Handlers only set a flag: what they could interrupt is left whole."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._ask)

    def _ask(self, signum: int, frame: object) -> None:
        self.asked = True


class Supervisor(Manager):
    """honcho's Manager with a loop of its own.

    honcho's prints and kills inside its signal handler, and fails when a signal comes before every process is started.
    `failure` is a sentence that says why all was stopped, or None after a stop that was asked for.
    """

    def __init__(self, signals: StopSignals, run_path: Path) -> None:
        super().__init__(printer=_Printer(sys.stdout))
        self.failure: str | None = None
        self._signals = signals
        self._run_path = run_path
        self._deadline: float | None = None

    def add_procfile(self, path: Path, environment: Mapping[str, str]) -> None:
        """Add each line of a Procfile; all run in the Procfile's folder."""
        for name, command in parse_procfile(path.read_text()).processes.items():
            self.add_process(name, command, env=dict(environment), cwd=str(path.parent))
            self._processes[name]["obj"].run_path = self._run_path

    def add_process(self, name: str, cmd: str, **options: Any) -> Process:
        self._process_ctor = _Child
        return super().add_process(name, cmd, **options)

    def fail(self, sentence: str) -> None:
        """Stop everything because of a fault; the first sentence counts. Any thread may call it."""
        self.failure = self.failure or sentence
        self._signals.asked = True

    @property
    def is_stopping(self) -> bool:
        return self._signals.asked or self._terminating

    def say(self, line: str) -> None:
        """Print a line as one of the launcher's own."""
        self._system_print(line + "\n")

    def loop(self, when_started: Callable[[], None] = lambda: None) -> None:
        """Run until every process has ended. `when_started` is called once, after all were started."""
        self._start()
        when_started()
        while not self._all_stopped():
            self._take_event()
            if self.is_stopping or self._any_stopped():
                self._wind_down()
        while self._take_event(wait=0):
            pass

    def _take_event(self, wait: float = 0.1) -> bool:
        try:
            message = self.events.get(timeout=wait) if wait else self.events.get_nowait()
        except Empty:
            self._notice_lost_wrappers()
            return False
        if message.type == "line":
            self._printer.write(message)
        elif message.type == "start":
            self._processes[message.name]["pid"] = message.data["pid"]
        elif message.type == "stop":
            self._stopped(message.name, message.data["returncode"])
        return True

    def _stopped(self, name: str, status: int) -> None:
        self._processes[name]["returncode"] = status
        forget(self._run_path, name)
        if not self.is_stopping:
            self.fail(f"{name} ended by itself ({_describe(status)})")
        elif status == -signal.SIGKILL:
            self.failure = self.failure or f"{name} did not stop in time and was killed"
        else:
            self.say(f"{name} stopped{f' ({_describe(status)})' if status else ''}")

    def _notice_lost_wrappers(self) -> None:
        """A process whose wrapper was killed sends no event of its end, and would be waited for without end."""
        for name, process in self._processes.items():
            if process.get("returncode") is None and not process["process"].is_alive():
                if "pid" in process:
                    self._procmgr.kill(process["pid"])
                self._stopped(name, process["process"].exitcode or 1)

    def _wind_down(self) -> None:
        if not self._all_started():
            return
        if self._deadline is None:
            self._terminating = True
            self._deadline = time.monotonic() + KILL_WAIT_SECONDS
            for name, process in self._processes.items():
                if process.get("returncode") is None:
                    self.say(f"stopping {name}")
                    self._procmgr.terminate(process["pid"])
        elif time.monotonic() > self._deadline:
            self._deadline = time.monotonic() + 1
            for process in self._processes.values():
                if process.get("returncode") is None:
                    self._procmgr.kill(process["pid"])


class _Child(Process):
    """honcho's wrapper of one process, a fork of the launcher. Dies with the launcher, and its process dies with it."""

    run_path: Path

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._launcher = os.getpid()
        self._child_ctor = _popen

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        # First of all: a Ctrl-C in the terminal reaches this fork too, and must not end it before its process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        die_with_parent(signal.SIGKILL, parent=self._launcher)()
        super().run(events, ignore_signals)

    def _send_message(self, data: Any, type: str = "line") -> None:
        if type == "start":
            remember(self.run_path, self.name, data["pid"])
        super()._send_message(data, type)


def _popen(command: str, **options: Any) -> Popen:
    dies = die_with_parent(signal.SIGTERM)

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        dies()

    return Popen(command, stdin=subprocess.DEVNULL, preexec_fn=prepare, **options)


class _Printer(Printer):
    """Goes on without its reader: a closed terminal or pipe must not keep the processes from being stopped."""

    def write(self, message: Message) -> None:
        try:
            super().write(message)
        except OSError:
            self.output = open(os.devnull, "w")  # noqa: SIM115


def _describe(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
