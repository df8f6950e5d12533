"""Run the Procfile's programs, prefix their output, and stop all of them when one ends or a signal asks for it.

Another signal asks for an upgrade: new code takes over from the worker, which drops no socket, and the other programs
are restarted.
"""

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

from launcher.errors import LaunchError, Stopped
from launcher.processes import ending_with_launcher, forget, remember
from shared.takeover import UPGRADE_SIGNAL, Outcome

KILL_WAIT_SECONDS = 15.0  # a worker may take 10 s to notify its sockets, flush and close
TAKEOVER_SECONDS = 120.0
POLL_SECONDS = 0.05
SYSTEM = "system | "
NOTE_OF_SUCCESSOR = "new-worker"
WORKER = "worker"  # the program that can be taken over; the others are restarted
COLOURS = (36, 33, 35, 32)  # ANSI codes, one for each program in turn


class StopSignals:
    """Remembers which signals have arrived. The handlers only set flags, so they interrupt nothing.

    Attributes:
        asked: Whether the launcher is to stop.
        upgrade_asked: Whether it is to upgrade.
    """

    def __init__(self) -> None:
        self.asked = False
        self.upgrade_asked = False

    def install(self) -> None:
        """Handle SIGINT, SIGTERM, SIGHUP and UPGRADE_SIGNAL from now on."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._ask)
        signal.signal(UPGRADE_SIGNAL, self._ask_to_upgrade)

    def check(self) -> None:
        """Raise Stopped if a signal has arrived."""
        if self.asked:
            raise Stopped

    def _ask(self, signum: int, frame: object) -> None:
        self.asked = True

    def _ask_to_upgrade(self, signum: int, frame: object) -> None:
        self.upgrade_asked = True


class Supervisor:
    """Runs programs until a signal arrives or one of them ends by itself. Restarts them only for an upgrade.

    Args:
        signals: Its flag stops everything.
        run_path: The folder where running programs are noted, see `launcher.processes`.
        output: Where the programs' lines and the launcher's own go.
        prepare_upgrade: Called before new code starts. Raises LaunchError if it must not start, Stopped for a stop.
        report_upgrade: Called with what came of an upgrade.
    """

    def __init__(
        self,
        signals: StopSignals,
        run_path: Path,
        output: TextIO = sys.stdout,
        *,
        prepare_upgrade: Callable[[], None] = lambda: None,
        report_upgrade: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self.failure: str | None = None  # why everything was stopped; None after a requested stop
        self._signals = signals
        self._run_path = run_path
        self._output = output
        self._output_lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._prepare_upgrade = prepare_upgrade
        self._report_upgrade = report_upgrade
        self._successor: subprocess.Popen[bytes] | None = None
        self._successor_deadline = 0.0
        self._to_restart: set[str] = set()
        self._readers: list[threading.Thread] = []

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
        self._procfile, self._environment = procfile, environment
        for name in self._commands():
            if not self.is_stopping:
                self._running[name] = self._start(name)
        when_started()
        while not self.is_stopping:
            self._collect_ended()
            self._follow_upgrade()
            time.sleep(POLL_SECONDS)
        self._stop_all()
        for reader in self._readers:
            reader.join(1)  # a grandchild that outlives its parent may keep the pipe open
        return self.failure

    def _commands(self) -> dict[str, str]:
        """Return the command of each program. Reads the file, which may have changed before an upgrade."""
        lines = [line for line in self._procfile.read_text().splitlines() if line.strip() and not line.startswith("#")]
        return {name.strip(): command.strip() for name, _, command in (line.partition(":") for line in lines)}

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

    def _start(self, name: str, arguments: str = "", *, note: str = "") -> subprocess.Popen[bytes]:
        """Start a program, and copy its output.

        Args:
            note: The name under which it is noted as running, if not its own.
        """
        commands = self._commands()
        process = subprocess.Popen(
            ending_with_launcher("/bin/sh", "-c", commands[name] + arguments),
            env=self._environment,
            cwd=self._procfile.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        remember(self._run_path, note or name, process.pid)
        prefix = f"{name:<{max(map(len, commands))}} | "
        colour = COLOURS[list(commands).index(name) % len(COLOURS)]
        self._readers.append(threading.Thread(target=self._copy_output, args=(process, prefix, colour), daemon=True))
        self._readers[-1].start()
        return process

    # Upgrades

    def _follow_upgrade(self) -> None:
        """Begin an upgrade that was asked for, or see whether the one in progress has failed."""
        successor = self._successor
        if successor is None:
            if self._signals.upgrade_asked and not self._to_restart and WORKER in self._running:
                self._signals.upgrade_asked = False
                self._begin_upgrade()
            return
        if successor.poll() is None and time.monotonic() > self._successor_deadline:
            os.killpg(successor.pid, signal.SIGKILL)
            successor.wait()
        if successor.returncode is not None:
            self._successor = None
            forget(self._run_path, NOTE_OF_SUCCESSOR)
            self._fail_upgrade(f"the new worker ended ({_how_ended(successor.returncode)}): see its output above")

    def _begin_upgrade(self) -> None:
        self.print("upgrading", SYSTEM)
        try:
            self._prepare_upgrade()
            old = self._running[WORKER].pid
            self._successor = self._start(WORKER, f" --takeover {old}", note=NOTE_OF_SUCCESSOR)
            self._successor_deadline = time.monotonic() + TAKEOVER_SECONDS
        except Stopped:
            pass
        except (LaunchError, OSError, KeyError) as error:
            self._fail_upgrade(str(error))

    def _fail_upgrade(self, reason: str) -> None:
        self.print(f"not upgraded, the old worker goes on: {reason}", SYSTEM)
        self._report_upgrade(Outcome(self._running[WORKER].pid if WORKER in self._running else 0, reason))

    def _adopt_successor(self, successor: subprocess.Popen[bytes]) -> None:
        """Go on with the process that has taken over from the worker, and restart the other programs."""
        self._running[WORKER], self._successor = successor, None
        remember(self._run_path, WORKER, successor.pid)
        forget(self._run_path, NOTE_OF_SUCCESSOR)
        self.print("the new worker has taken over", SYSTEM)
        self._to_restart = set(self._running) - {WORKER}
        for name in self._to_restart:
            os.killpg(self._running[name].pid, signal.SIGTERM)
        self._end_upgrade_if_done()

    def _end_upgrade_if_done(self) -> None:
        if not self._to_restart:
            self._report_upgrade(Outcome(self._running[WORKER].pid))
            self.print("upgraded", SYSTEM)

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
            if name == WORKER and status == 0 and self._successor is not None and self._successor.poll() is None:
                self._adopt_successor(self._successor)
                continue
            if name in self._to_restart and not self.is_stopping:
                self._to_restart.discard(name)
                self._running[name] = self._start(name)
                self._end_upgrade_if_done()
                continue
            del self._running[name]
            forget(self._run_path, name)
            how = _how_ended(status)
            if not self.is_stopping:
                self.fail(f"{name} ended by itself ({how})")
            elif status == -signal.SIGKILL:
                self.fail(f"{name} did not stop in time and was killed")
            else:
                self.print(f"{name} stopped{f' ({how})' if status else ''}", SYSTEM)

    def _stop_all(self) -> None:
        """Send SIGTERM to every program's process group, and SIGKILL when KILL_WAIT_SECONDS have passed."""
        if self._successor is not None:  # it ends without having taken over, or is stopped as the worker
            self._running[NOTE_OF_SUCCESSOR], self._successor = self._successor, None
        for name in self._running:
            self.print(f"stopping {name}", SYSTEM)
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


def _how_ended(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
