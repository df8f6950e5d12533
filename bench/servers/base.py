"""What a benchmark needs to know of a server: how to start it, how fanbench talks to it, and its version."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import SERVER_CORE, on_core, pin
from launcher.processes import die_with_parent
from launcher.valkey import Valkey
from tests.support.processes import free_port

START_SECONDS = 20.0


@dataclass(frozen=True)
class Running:
    """A started server: its port, and its processes with those of its Redis."""

    port: int
    pids: list[int]


@dataclass(frozen=True)
class Server:
    """One server of the comparison.

    Attributes:
        start: Starts it on SERVER_CORE, fresh, and stops it at the end.
        load: The options with which fanbench speaks to it.
        version: Returns the version of the program.
        missing: Returns why it cannot run on this machine; empty if it can.
    """

    key: str
    name: str
    start: Callable[[], AbstractContextManager[Running]]
    load: tuple[str, ...] = ("--proto", "plain")
    version: Callable[[], str] = lambda: ""
    missing: Callable[[], str] = field(default=lambda: "")


@contextmanager
def program(*command: str, port: int, log: Path, cwd: Path | None = None, library_path: str = "") -> Iterator[int]:
    """Run a program on SERVER_CORE until the end of the block, once it listens. Yields its process id.

    Raises:
        RuntimeError: It does not listen within START_SECONDS. The text contains what it printed.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            on_core(SERVER_CORE, *command),
            cwd=cwd,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH": library_path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(9),
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not listen: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def simple(
    folder: Path, command: Callable[[int], list[str]], *, cwd: Path | None = None, library_path: str = ""
) -> Iterator[Running]:
    """Run a program that needs nothing else. `command` returns its command line for a port."""
    port, log = free_port(), folder / "server.log"
    with program(*command(port), port=port, log=log, cwd=cwd, library_path=library_path) as pid:
        yield Running(port, [pid])


@contextmanager
def with_redis(folder: Path, command: Callable[[int, Valkey], list[str]], cwd: Path | None = None) -> Iterator[Running]:
    """Run a program together with a Redis of its own, both on SERVER_CORE."""
    port = free_port()
    valkey = Valkey(folder / "r" / "v", log_path=folder / "redis.log")
    valkey.start()
    try:
        assert valkey.process is not None
        pin([valkey.process.pid], SERVER_CORE)
        with program(*command(port, valkey), port=port, log=folder / "server.log", cwd=cwd) as pid:
            yield Running(port, [pid, valkey.process.pid])
    finally:
        valkey.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
