"""A throwaway network for the benchmarks: a private Valkey, a migrated database and workers, in separate processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.machine import pin
from launcher.valkey import Valkey
from tests.support.processes import ServerProcess, clean_environment

ROOT = Path(__file__).resolve().parent.parent
OWNER = "bench"


@dataclass(frozen=True)
class Checkout:
    """The code to measure: a folder, and the Python that has its packages."""

    folder: Path = ROOT
    python: str = sys.executable


class Worker(ServerProcess):
    """`python -m worker`, started the way operators start it, so that its memory is its own."""

    def __init__(self, checkout: Checkout, settings: dict[str, str], *arguments: str) -> None:
        super().__init__(
            [checkout.python, "-m", "worker", *arguments], env=clean_environment(**settings), cwd=checkout.folder
        )
        self.port = int(self.wait_for_event("listening")["port"])

    @property
    def url(self) -> str:
        """The address for games."""
        return f"ws://127.0.0.1:{self.port}/socket"


class Stack:
    """The network, as a context manager.

    Args:
        url: The database; by default an SQLite file in the throwaway folder.
        checkout: The code to run, if not this one.
        settings: Settings that extend or replace the defaults below.
    """

    def __init__(self, url: str = "", *, checkout: Checkout | None = None, **settings: str) -> None:
        self.checkout = checkout or Checkout()
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
        self.workers: list[Worker] = []

    def __enter__(self) -> Stack:
        self.valkey.start()
        self.flask("db", "upgrade")
        self.flask("user", "create", OWNER, "bench@example.com", "--password", "benchmarks")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_workers()
        self.valkey.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """The environment for the network's programs."""
        return clean_environment(**self.settings)

    def flask(self, *arguments: str, text: str = "") -> list[Any]:
        """Run a `flask` command. Return the JSON objects that it printed."""
        result = subprocess.run(
            [self.checkout.python, "-m", "flask", *arguments],
            cwd=self.checkout.folder,
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

    def worker(self, cpu: int | None = None) -> Worker:
        """Start a worker, and keep it and its Redis on one core if `cpu` is given."""
        worker = Worker(self.checkout, self.settings)
        self.workers.append(worker)
        if cpu is not None:
            pin(self.pids, cpu)
        return worker

    def take_over(self, old: Worker) -> Worker:
        """Start a worker that takes over from another, and wait until that one has ended."""
        new = Worker(self.checkout, self.settings, "--takeover", str(old.pid))
        self.workers[self.workers.index(old)] = new
        if old.wait(seconds=40):
            raise RuntimeError(old.output)
        return new

    def start_workers(self, count: int, cpu: int) -> list[Worker]:
        """Start several workers that share one port, on one core."""
        for _ in range(count):
            self.settings["SOCKET_PORT"] = str(self.worker(cpu).port)
        return self.workers

    def restart_redis(self) -> None:
        """Start an empty Redis at the same address. No worker may be running."""
        self.valkey.stop()
        self.valkey.start()

    def stop_workers(self) -> None:
        """Stop all workers."""
        for worker in self.workers:
            worker.stop()
        self.workers.clear()

    @property
    def pids(self) -> list[int]:
        """The processes of the running workers and their Redis."""
        assert self.valkey.process is not None
        return [*(worker.pid for worker in self.workers), self.valkey.process.pid]


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
