"""This project's worker: one network for the whole comparison, and a fresh worker for each measurement."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench.load import GOSSIP, fanbench, write_credentials
from bench.machine import SERVER_CORE, compile_c
from bench.servers.base import Running, Server
from bench.stack import Checkout, Stack

MAX_GAMES = 5_100
STORED_SECONDS = 4.0  # until the worker has written what the last games declared


class Network:
    """A running network whose games fanbench plays."""

    def __init__(self, stack: Stack, games: int = MAX_GAMES) -> None:
        stack.flask("channel", "create", "bench")
        self._stack = stack
        self._credentials = write_credentials(stack.folder / "credentials.jsonl", stack.games(games))
        self._introduce(games)

    def _introduce(self, games: int) -> None:
        """Let every game connect once, so that the network knows its software before anything is measured."""
        server = self.server()
        with server.start() as running:
            program = compile_c("fanbench", self._stack.folder)
            load = ("--mode", "idle", "--receivers", str(games), "--hold", str(STORED_SECONDS))
            fanbench(program, running.port, running.pids, *server.load, *load)

    @contextmanager
    def _start(self, workers: int) -> Iterator[Running]:
        self._stack.settings["SOCKET_PORT"] = "0"
        self._stack.restart_redis()  # it keeps the memory that an earlier run has made it take
        try:
            port = self._stack.start_workers(workers, SERVER_CORE)[0].port
            yield Running(port, self._stack.pids)
        finally:
            self._stack.stop_workers()

    def server(self, key: str = "ours", name: str = "this worker", *, workers: int = 1) -> Server:
        """Return the network as a server of the comparison, with one worker or several that share a port."""
        return Server(
            key,
            name,
            start=lambda: self._start(workers),
            load=(*GOSSIP, "--creds", str(self._credentials)),
            version=lambda: version_of(self._stack.checkout),
        )


def version_of(checkout: Checkout) -> str:
    """Return the commit of a checkout, with a + if files differ from it."""
    git = ["git", "-C", str(checkout.folder)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changes = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
    return commit.stdout.strip() + ("+" if changes.stdout.strip() else "")
