"""The network of a fault run: its processes, which are started again when they end, and the proxies between them."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy.engine import make_url

from tests.faults.peer import Credentials
from tests.faults.proxy import Proxy
from tests.support.postgres import Postgres
from tests.support.processes import ServerProcess, clean_environment, run_command
from tests.support.servers import SECRET_KEY, RunningSite, RunningWorker, get
from tests.support.valkey import TestValkey

WORKERS = 3
SITES = 2
PASSWORD = "correct horse battery"
RESTART_SECONDS = 1.0  # what a service manager waits before it starts a process again
BACK_SECONDS = 45.0
FAKETIME = "/usr/lib/*/faketime/libfaketime.so.1"


class ClockedWorker(RunningWorker):
    """A worker with a clock of its own, which a file sets. A forked process could not load the library for it."""

    fork_server = None  # type: ignore[assignment]


class Program:
    """One program, which is started again whenever it ends.

    Attributes:
        outputs: The output of each process that ran.
        unexpected_ends: How often it ended although no fault had hit it.
    """

    def __init__(
        self,
        name: str,
        launch: Callable[[], ServerProcess],
        is_ready: Callable[[], bool],
        launch_successor: Callable[[int], ServerProcess] | None = None,
    ) -> None:
        """Start it.

        Args:
            launch_successor: Starts a process that takes over from the one with this number.
        """
        self.name = name
        self.is_ready = is_ready
        self.outputs: list[ServerProcess] = []
        self.starts = 0
        self.unexpected_ends: list[str] = []
        self._launch = launch
        self._launch_successor = launch_successor
        self._successor: ServerProcess | None = None
        self._is_hit = False
        self.process = self._start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def processes(self) -> list[psutil.Process]:
        """Return the process and its children."""
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def hit(self, signum: int) -> None:
        """Send a signal that may end it."""
        self._is_hit = True
        self.process.send_signal(signum)

    async def upgrade(self) -> None:
        """Let another process take over, and wait until one of the two has ended."""
        assert self._launch_successor is not None
        old, successor = self.process, self._launch_successor(self.pid)
        self._successor = successor
        self.outputs.append(successor)
        while self.process is old and successor.process.poll() is None:
            await asyncio.sleep(0.1)
        self._successor = None
        if self.process is old and not self._is_hit:
            self.unexpected_ends.append(f"{self.name} was not taken over: {successor.lines[-5:]}")

    async def keep_running(self) -> None:
        """Start it again whenever it has ended, until cancelled."""
        while True:
            await asyncio.sleep(0.1)
            status = self.process.process.poll()
            if status is None:
                continue
            if status == 0 and self._successor is not None and self._successor.process.poll() is None:
                self.process = self._successor
                continue
            if not self._is_hit:
                self.unexpected_ends.append(f"{self.name} ended by itself with {status}: {self.process.lines[-5:]}")
            self._is_hit = False
            await asyncio.to_thread(self.process.kill)  # what it has left behind, as a service manager does
            await asyncio.sleep(RESTART_SECONDS)
            self.process = self._start()

    async def wait_until_ready(self, seconds: float = BACK_SECONDS) -> bool:
        """Wait until it answers. Return False if it takes longer."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await asyncio.to_thread(self.is_ready):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.1)
        return True

    def _start(self) -> ServerProcess:
        process = self._launch()
        self.outputs.append(process)
        self.starts += 1
        return process


class Network:
    """Three workers, two sites, a database and a Valkey.

    Args:
        database: "sqlite" or "postgres".
        settings: Of all processes.
        constants: Of the workers, see `RunningWorker`.
    """

    def __init__(self, database: str, settings: dict[str, str], constants: dict[str, float], seed: int) -> None:
        self.is_postgres = database == "postgres"
        self.choices = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="faults-"))
        self.folder.chmod(0o755)
        self.valkey = TestValkey()
        self.postgres = Postgres(is_durable=True) if self.is_postgres else None
        self.clock_file = self.folder / "clock"
        self.clock_library = next((str(path) for path in Path("/").glob(FAKETIME[1:])), None)
        self.workers: list[Program] = []
        self.sites: list[Program] = []
        self._reserved = [_reserve_port() for _ in range(WORKERS + SITES)]
        ports = [int(holder.getsockname()[1]) for holder in self._reserved]
        self.worker_ports, self.site_ports = ports[:WORKERS], ports[WORKERS:]
        self.sockets_proxy = Proxy(self._shuffled_workers)
        self.redis_proxy = Proxy(lambda: [Path(self.valkey.url.removeprefix("unix://"))])
        self.database_proxy = Proxy(lambda: [self.postgres.socket_path] if self.postgres else [])
        self.url = ""
        self._constants = constants
        self._tasks: list[asyncio.Task[None]] = []
        url = self.postgres.create_database() if self.postgres else f"sqlite:///{self.folder / 'gossip.db'}"
        self._past_proxies = {"DATABASE_URL": url, "REDIS_URL": self.valkey.url}
        if self.is_postgres:
            url = make_url(url).set(query={"host": str(self.folder)}).render_as_string(hide_password=False)
        self._settings = {
            "DATABASE_URL": url,
            "REDIS_URL": f"unix://{self.folder / 'redis'}",
            "SECRET_KEY": SECRET_KEY,
            "INSTANCE_PATH": str(self.folder / "instance"),
            "RATE_LIMITS": "off",
            "LOG_FORMAT": "json",
            **settings,
        }

    @property
    def programs(self) -> list[Program]:
        """The programs of the network."""
        return [*self.workers, *self.sites]

    @property
    def site_urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.site_ports]

    def worker_url(self, number: int) -> str:
        """Return the address of one worker, past the proxy."""
        return f"ws://127.0.0.1:{self.worker_ports[number]}/socket"

    def flask(self, *arguments: str, text: str = "") -> list[dict[str, Any]]:
        """Run a `flask` command, past the proxies. Return the JSON objects that it printed."""
        done = run_command(*arguments, stdin=text, settings={**self._settings, **self._past_proxies})
        assert done.returncode == 0, f"flask {' '.join(arguments)}: {done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    async def start(self) -> None:
        """Start everything, and wait until all processes answer."""
        self.valkey.start()
        await self.redis_proxy.listen(self.folder / "redis")
        if self.postgres is not None:
            await self.database_proxy.listen(self.folder / self.postgres.socket_path.name)
        self.flask("db", "upgrade")
        port = await self.sockets_proxy.listen()
        self.url = f"ws://127.0.0.1:{port}/socket"
        self.set_clock("+0")
        self.workers = [self._worker(number) for number in range(WORKERS)]
        self.sites = [self._site(number) for number in range(SITES)]
        for program in self.programs:
            assert await program.wait_until_ready(), program.process.output
            self._tasks.append(asyncio.get_running_loop().create_task(program.keep_running()))

    def set_clock(self, offset: str) -> None:
        """Set the clock of the first worker: `+90` is 90 seconds ahead."""
        self.clock_file.write_text(f"{offset}\n")

    def create_games(self, names: list[str], owners: list[str]) -> list[Credentials]:
        """Create owners, and games that they own in turn."""
        for owner in owners:
            self.flask("user", "create", owner, f"{owner}@example.com", "--password", PASSWORD, "--verified")
        lines = [
            json.dumps({"name": f"The {name}", "short_name": name, "owner": owners[number % len(owners)]})
            for number, name in enumerate(names)
        ]
        return [_credentials(game) for game in self.flask("game", "import", "-", text="\n".join(lines))]

    def create_application(self, name: str) -> Credentials:
        """Create an application."""
        return _credentials(self.flask("application", "create", f"The {name}", name)[-1])

    def outputs(self) -> Iterator[tuple[str, str]]:
        """Yield the name and a line of output, for everything that any process has printed."""
        for program in self.programs:
            for process in program.outputs:
                for line in list(process.lines):
                    yield program.name, line

    async def close(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for program in self.programs:
            program.process.send_signal(signal.SIGCONT)
            await asyncio.to_thread(program.process.kill)
        for proxy in (self.sockets_proxy, self.redis_proxy, self.database_proxy):
            await proxy.close()
        for holder in self._reserved:
            holder.close()
        self.valkey.close()
        if self.postgres is not None:
            self.postgres.close()

    def _shuffled_workers(self) -> list[Path | int]:
        return list(self.choices.sample(self.worker_ports, len(self.worker_ports)))

    def _worker(self, number: int) -> Program:
        port = self.worker_ports[number]
        settings = {**self._settings, "SOCKET_PORT": str(port)}
        kind: type[RunningWorker] = RunningWorker
        if number == 0 and self.clock_library:
            kind = ClockedWorker
            settings |= {
                "LD_PRELOAD": self.clock_library,
                "FAKETIME_TIMESTAMP_FILE": str(self.clock_file),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        return Program(
            f"worker {number}",
            lambda: kind(settings, self._constants),
            lambda: _is_healthy(port),
            lambda pid: kind(settings, self._constants, takeover=pid),
        )

    def _site(self, number: int) -> Program:
        port = self.site_ports[number]
        return Program(f"site {number}", lambda: RunningSite(self._settings, port), lambda: _is_healthy(port))


def _reserve_port() -> socket.socket:
    """Return a socket that keeps a port for our programs while none of them runs.

    It does not listen, so they can. Otherwise another network on this machine might be given the port.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


def _is_healthy(port: int) -> bool:
    return get(port, "/_health", seconds=2)[0] == 200


def _credentials(printed: dict[str, Any]) -> Credentials:
    return Credentials(printed["short_name"], printed["client_id"], printed["client_secret"])


def mirror_command(url: str, credentials: Credentials, path: Path, command: str = "mirror") -> list[str]:
    """Return the command line of `backbone`. The secret goes into the environment."""
    options = ["--database", f"sqlite:///{path}", "--url", url, "--client-id", credentials.client_id]
    return [sys.executable, "-m", "backbone", command, *options]


def mirror_environment(credentials: Credentials) -> dict[str, str]:
    """Return the environment of `backbone`."""
    libraries = "libraries/gossip-client/src:libraries/gossip-backbone/src"
    return clean_environment(GOSSIP_CLIENT_SECRET=credentials.client_secret, PYTHONPATH=libraries)
