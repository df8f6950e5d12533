"""A throwaway network for the benchmarks: a private Valkey, a migrated database and workers, in separate processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from launcher.valkey import Valkey
from tests.support.processes import clean_environment
from tests.support.servers import RunningWorker

ROOT = Path(__file__).resolve().parent.parent
OWNER = "bench"


class Stack:
    """The network, as a context manager.

    Args:
        url: The database; by default an SQLite file in the throwaway folder.
        settings: Settings that extend or replace the defaults below.
    """

    def __init__(self, url: str = "", **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self.valkey = Valkey(self.folder / "v", log_path=self.folder / "valkey.log")
        self.settings = {
            "INSTANCE_PATH": str(self.folder),
            "DATABASE_URL": url or f"sqlite:///{self.folder / 'bench.db'}",
            "REDIS_URL": self.valkey.url,
            "SOCKET_PORT": "0",
            "LOG_FORMAT": "json",
            "RATE_LIMITS": "off",
            "ADDRESS_SOCKETS": "100000",
            "GAME_SOCKETS": "10000",
            **settings,
        }
        self.workers: list[RunningWorker] = []

    def __enter__(self) -> Stack:
        self.valkey.start()
        self.flask("db", "upgrade")
        self.flask("user", "create", OWNER, "bench@example.com", "--password", "benchmarks")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.stop()
        self.valkey.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """The environment for the network's programs."""
        return clean_environment(**self.settings)

    def flask(self, *arguments: str, text: str = "") -> list[Any]:
        """Run a `flask` command. Return the JSON objects that it printed."""
        result = subprocess.run(
            [sys.executable, "-m", "flask", *arguments],
            cwd=ROOT,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise RuntimeError(f"flask {' '.join(arguments)}: {result.stderr}")
        return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]

    def games(self, count: int, prefix: str = "g") -> list[dict[str, str]]:
        """Register games. Return their credentials."""
        lines = "\n".join(json.dumps(game(number, prefix)) for number in range(count))
        return self.flask("game", "import", "-", text=lines)

    def worker(self, cpu: int | None = None) -> RunningWorker:
        """Start a worker, and keep it on one core if `cpu` is given."""
        worker = RunningWorker(self.settings)
        worker.wait_until_ready()
        self.workers.append(worker)
        if cpu is not None:
            pin([worker.pid], cpu)
        return worker


def game(number: int, prefix: str = "g") -> dict[str, Any]:
    """Return a game of an ordinary size, as `flask game import` takes it."""
    return {
        "name": f"The Realm {prefix}{number}",
        "short_name": f"{prefix}{number}",
        "owner": OWNER,
        "description": f"A world of wonder and strife, number {number}. " * 4,
        "homepage_url": f"https://realm{number}.example.com",
        "connections": [{"type": "telnet", "host": f"realm{number}.example.com", "port": 4000}],
    }


def pin(pids: Iterable[int], cpu: int) -> None:
    """Keep processes, with all their threads, on one core. Does nothing on a machine with a single core."""
    if cpu in os.sched_getaffinity(0) and len(os.sched_getaffinity(0)) > 1:
        for pid in pids:
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), {cpu})


def resident_kib(pid: int, field: str = "VmRSS") -> int:
    """Return a process's resident memory in KiB, or with `VmHWM` its peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that is not exceeded by this share (0 to 1) of the values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def compile_c(name: str, folder: Path) -> Path:
    """Compile one of the C programs in this folder. Return the path of the program."""
    program = folder / name
    subprocess.run(["gcc", "-O2", "-Wall", "-o", str(program), str(Path(__file__).parent / f"{name}.c")], check=True)
    return program


def wait_for_exit(process: subprocess.Popen[Any], seconds: float) -> None:
    """Wait until a program has ended, and kill it if that takes too long."""
    deadline = time.monotonic() + seconds
    try:
        process.wait(deadline - time.monotonic())
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
