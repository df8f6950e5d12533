"""The faults. Each happens to a running network, lasts a few seconds and ends by itself."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from tests.faults.network import Network, Program

SMALL_FILE_BYTES = 4096
SPARE_DESCRIPTORS = 2
GREEDY_CONNECTIONS = 20
LONG_WRITE_SECONDS = 12.0  # others wait for 10

Fault = Callable[[], Coroutine[Any, Any, None]]


class Faults:
    """Does things to a network. `seconds` is how long a fault lasts; a few last longer on purpose."""

    def __init__(self, network: Network, choices: random.Random, *, seconds: tuple[float, float]) -> None:
        self._network = network
        self._choices = choices
        self._seconds = seconds

    def deck(self, *, only_gentle: bool = False) -> list[Fault]:
        """Return every fault that this network can have, once.

        Args:
            only_gentle: Leave out those that end processes of the network.
        """
        faults: list[Fault] = [
            self.freeze_worker,
            self.freeze_site,
            self.empty_redis,
            self.freeze_redis,
            self.cut_clients,
            self.cut_redis,
            self.run_short_of_descriptors,
        ]
        if not only_gentle:
            faults += [self.kill_worker, self.kill_site, self.kill_site_child, self.roll_restarts]
            faults += [self.upgrade_workers]
        if self._network.clock_library:
            faults += [self.step_clock]
        if self._network.is_postgres:
            faults += [self.crash_postgres, self.kill_postgres_child, self.freeze_postgres, self.cut_database]
        else:
            faults += [self.fill_disk, self.write_for_long]
        return faults

    async def kill_worker(self) -> None:
        """kill -9 a worker."""
        worker = self._any(self._network.workers)
        worker.hit(signal.SIGKILL)
        await self._back(worker)

    async def freeze_worker(self) -> None:
        """Stop a worker with SIGSTOP for a while."""
        await self._freeze(self._any(self._network.workers).processes()[:1])

    async def kill_site(self) -> None:
        """kill -9 gunicorn's parent process."""
        site = self._any(self._network.sites)
        site.hit(signal.SIGKILL)
        await self._back(site)

    async def kill_site_child(self) -> None:
        """kill -9 the process that serves requests; gunicorn starts another one."""
        for process in self._any(self._network.sites).processes()[1:]:
            process.kill()
        await self._pause()

    async def freeze_site(self) -> None:
        """Stop a site with SIGSTOP for a while."""
        await self._freeze(self._any(self._network.sites).processes())

    async def empty_redis(self) -> None:
        """kill -9 Valkey, and start it again empty."""
        process = self._network.valkey.process
        process.kill()
        await asyncio.to_thread(process.wait)
        await self._pause()
        await asyncio.to_thread(self._network.valkey.start)

    async def freeze_redis(self) -> None:
        """Stop Valkey with SIGSTOP for a while."""
        await self._freeze([psutil.Process(self._network.valkey.process.pid)])

    async def cut_clients(self) -> None:
        """Cut half of the clients' connections."""
        self._network.sockets_proxy.cut(0.5, self._choices)

    async def cut_redis(self) -> None:
        """Cut half of the connections to Valkey, several times."""
        for _ in range(5):
            self._network.redis_proxy.cut(0.5, self._choices)
            await asyncio.sleep(self._choices.uniform(0.05, 1))

    async def cut_database(self) -> None:
        """Cut half of the connections to PostgreSQL, several times."""
        for _ in range(5):
            self._network.database_proxy.cut(0.5, self._choices)
            await asyncio.sleep(self._choices.uniform(0.05, 1))

    async def roll_restarts(self) -> None:
        """Stop one process after the other with SIGTERM, as an upgrade does."""
        for program in self._network.programs:
            program.hit(signal.SIGTERM)
            await self._back(program)

    async def upgrade_workers(self) -> None:
        """Let new processes take over from the workers, one after the other."""
        for worker in self._network.workers:
            await worker.upgrade()

    async def run_short_of_descriptors(self) -> None:
        """Leave a worker few file descriptors, and connect more clients than that."""
        worker = self._any(self._network.workers)
        process = worker.processes()[0]
        port = self._network.worker_ports[self._network.workers.index(worker)]
        opened: list[socket.socket] = []
        with _limited([process], psutil.RLIMIT_NOFILE, process.num_fds() + SPARE_DESCRIPTORS):
            for _ in range(GREEDY_CONNECTIONS):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", port))
                opened.append(client)
            await self._pause()
        for client in opened:
            client.close()

    async def step_clock(self) -> None:
        """Put one worker's clock 90 seconds forward, then back behind the others', then right."""
        for offset in ("+90", "-90", "+0"):
            self._network.set_clock(offset)
            await self._pause()

    async def crash_postgres(self) -> None:
        """Shut PostgreSQL down immediately, and start it again."""
        postgres = self._network.postgres
        assert postgres is not None
        await asyncio.to_thread(postgres.crash)
        await self._pause()
        await asyncio.to_thread(postgres.start_again)

    async def kill_postgres_child(self) -> None:
        """kill -9 a process that serves a connection: PostgreSQL ends all others too, and recovers."""
        assert self._network.postgres is not None
        children = psutil.Process(self._network.postgres.pid).children()
        serving = [child for child in children if any("[local]" in word for word in child.cmdline())]
        self._choices.choice(serving or children).kill()
        await self._pause()

    async def freeze_postgres(self) -> None:
        """Stop all processes of PostgreSQL with SIGSTOP for a while."""
        assert self._network.postgres is not None
        process = psutil.Process(self._network.postgres.pid)
        await self._freeze([process, *process.children(recursive=True)])

    async def fill_disk(self) -> None:
        """Let no file of a worker or site grow, which to SQLite is a full disk."""
        processes = [process for program in self._network.programs for process in program.processes()]
        with _limited(processes, psutil.RLIMIT_FSIZE, SMALL_FILE_BYTES):
            await self._pause()

    async def write_for_long(self) -> None:
        """Hold SQLite's lock for longer than anyone waits for it."""
        path = self._network.folder / "gossip.db"
        holder = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
        try:
            await asyncio.to_thread(holder.execute, "BEGIN IMMEDIATE")
            await asyncio.sleep(LONG_WRITE_SECONDS)
        finally:
            holder.close()

    def _any(self, programs: list[Program]) -> Program:
        return self._choices.choice(programs)

    async def _pause(self) -> None:
        await asyncio.sleep(self._choices.uniform(*self._seconds))

    async def _back(self, program: Program) -> None:
        """Wait until a program that was just hit answers again."""
        starts = program.starts
        while program.starts == starts:
            await asyncio.sleep(0.1)
        await program.wait_until_ready()

    async def _freeze(self, processes: list[psutil.Process]) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            await self._pause()
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()


@contextmanager
def _limited(processes: list[psutil.Process], resource: int, limit: int) -> Iterator[None]:
    """Lower a soft limit of running processes inside the block."""
    before = [(process, process.rlimit(resource)) for process in processes]
    try:
        for process, (_, hard) in before:
            process.rlimit(resource, (limit, hard))
        yield
    finally:
        for process, limits in before:
            with suppress(psutil.NoSuchProcess):
                process.rlimit(resource, limits)
