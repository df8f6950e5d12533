"""Run the Procfile's programs, prefix their output, and stop all of them when one ends or a signal asks for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from launcher.errors import Stopped
from launcher.processes import die_with_parent, forget, remember

KILL_WAIT_SECONDS = 15.0  # a worker may take 10 s to notify its sockets, flush and close
POLL_SECONDS = 0.05
COLOURS = (36, 33, 35, 32)  # ANSI codes, one for each program in turn


class StopSignals:
    """Remembers that a signal asked the launcher to stop. The handler only sets a flag, so it interrupts nothing."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """Handle SIGINT, SIGTERM and SIGHUP from now on."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._ask)

    def check(self) -> None:
        """Raise Stopped if a signal has arrived."""
        if self.asked:
            raise Stopped

    def _ask(self, signum: int, frame: object) -> None:
        self.asked = True


class Supervisor:
    """Runs programs until a signal arrives or one of them ends by itself; restarts nothing.

    Args:
        signals: Its flag stops everything.
        run_path: The folder where running programs are noted, see `launcher.processes`.
        output: Where the programs' lines and the launcher's own go.
    """

    def __init__(self, signals: StopSignals, run_path: Path, output: TextIO = sys.stdout) -> None:
        self.failure: str | None = None  # why everything was stopped; None after a requested stop
        self._signals = signals
        self._run_path = run_path
        self._output = output
        self._output_lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def is_stopping(self) -> bool:
        """Whether a signal or a failure has asked for a stop."""
        return self._signals.asked

    def fail(self, reason: str) -> None:
        """Stop everything because of a failure. Only the first reason is kept. Any thread may call this."""
        self.failure = self.failure or reason
        self._signals.asked = True

    def run(
        self, procfile: Path, environment: Mapping[str, str], when_started: Callable[[], None] = lambda: None
    ) -> str | None:
        """Run every program of the Procfile, in its folder, until all of them have ended.

        Args:
            procfile: One `name: command` a line.
            environment: Of the programs.
            when_started: Called once, after all programs were started.

        Returns:
            `failure`.
        """
        lines = [line for line in procfile.read_text().splitlines() if line.strip() and not line.startswith("#")]
        commands = {name.strip(): command.strip() for name, _, command in (line.partition(":") for line in lines)}
        for name, command in commands.items():
            if not self.is_stopping:
                self._running[name] = self._start(name, command, environment, procfile.parent)
        # Only now: a fork beside running threads may deadlock.
        readers = []
        for number, (name, process) in enumerate(self._running.items()):
            prefix = f"{name:<{max(map(len, commands))}} | "
            colour = COLOURS[number % len(COLOURS)]
            readers.append(threading.Thread(target=self._copy_output, args=(process, prefix, colour), daemon=True))
            readers[-1].start()
        when_started()
        while not self.is_stopping:
            self._collect_ended()
            time.sleep(POLL_SECONDS)
        self._stop_all()
        for reader in readers:
            reader.join(1)  # a grandchild that outlives its parent may keep the pipe open
        return self.failure

    def print(self, text: str, prefix: str = "", colour: int = 0) -> None:
        """Print lines, each with the time and a prefix if there is a prefix.

        Output errors are ignored: a closed terminal or pipe must not keep the programs from being stopped.
        """
        with self._output_lock:
            for line in text.splitlines():
                if prefix:
                    before = f"{time.strftime('%H:%M:%S')} {prefix}"
                    line = f"\x1b[{colour}m{before}\x1b[0m{line}" if self._output.isatty() else before + line
                try:
                    print(line, file=self._output, flush=True)
                except OSError:
                    self._output = open(os.devnull, "w")  # noqa: SIM115

    def _start(self, name: str, command: str, environment: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            shell=True,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        remember(self._run_path, name, process.pid)
        return process

    def _copy_output(self, process: subprocess.Popen[bytes], prefix: str, colour: int) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.print(line.decode("utf-8", "replace"), prefix, colour)

    def _collect_ended(self) -> None:
        for name, process in list(self._running.items()):
            status = process.poll()
            if status is None:
                continue
            del self._running[name]
            forget(self._run_path, name)
            how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
            if not self.is_stopping:
                self.fail(f"{name} ended by itself ({how})")
            elif status == -signal.SIGKILL:
                self.fail(f"{name} did not stop in time and was killed")
            else:
                self.print(f"{name} stopped{f' ({how})' if status else ''}", "system | ")

    def _stop_all(self) -> None:
        """Send SIGTERM to every program's process group, and SIGKILL when KILL_WAIT_SECONDS have passed."""
        for name in self._running:
            self.print(f"stopping {name}", "system | ")
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + KILL_WAIT_SECONDS
        while self._running:
            time.sleep(POLL_SECONDS)
            self._collect_ended()
            if time.monotonic() > deadline:
                self._signal_all(signal.SIGKILL)

    def _signal_all(self, signum: int) -> None:
        for process in self._running.values():
            # Not yet waited for, so the number is still this program's.
            os.killpg(process.pid, signum)
