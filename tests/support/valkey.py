"""A temporary Valkey on a Unix socket, from the wheel that `make run` uses."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import redis

from launcher.valkey import Valkey


class TestValkey:
    """One server. It keeps its address when it is stopped and started again."""

    __test__ = False

    def __init__(self) -> None:
        # Not below pytest's own temporary folder: a socket's path must be short.
        self._folder = Path(tempfile.mkdtemp(prefix="valkey-"))
        self._server = Valkey(self._folder / "s", log_path=self._folder / "log")
        self.url = self._server.url

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running server."""
        assert self._server.process is not None
        return self._server.process

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def empty(self) -> None:
        """Delete all keys."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def close(self) -> None:
        self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
