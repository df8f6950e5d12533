"""The new process: takes over from a running worker (`predecessor.py`), or fails and changes nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from shared import __version__
from shared.takeover import list_workers
from worker.takeover.link import Link, LinkClosed, TakeoverFailed
from worker.takeover.messages import (
    FORMAT,
    Commit,
    Hello,
    Late,
    Listeners,
    Prepared,
    Ready,
    Refused,
    Serving,
    Sockets,
    SocketState,
    Welcome,
    WorkerState,
)

WELCOME_SECONDS = 10.0
STATE_SECONDS = 60.0  # the old process first waits for what it has begun
COMMIT_SECONDS = 30.0
LATE_SECONDS = 60.0


class Successor:
    """The connection to the old process.

    Attributes:
        worker_id: The identity of the worker, which stays the same.
    """

    def __init__(self, instance_path: Path, pid: int | None) -> None:
        """Find the old process, and ask it whether it can be taken over.

        Args:
            pid: The old process; None for the only worker with this instance folder.

        Raises:
            TakeoverFailed.
        """
        self._link = _connect(instance_path, pid)
        self._link.send(Hello([FORMAT], __version__))
        self.worker_id = self._link.expect(Welcome, WELCOME_SECONDS).worker_id

    def receive(self) -> tuple[dict[str, socket.socket], list[tuple[SocketState, int]], WorkerState]:
        """Ask for everything. Return the listening sockets by name, the sockets with their descriptors, and the state.

        Raises:
            TakeoverFailed.
        """
        self._link.send(Ready())
        listeners: dict[str, socket.socket] = {}
        sockets: list[tuple[SocketState, int]] = []
        while True:
            message, descriptors = self._link.receive(STATE_SECONDS)
            if isinstance(message, Listeners):
                opened = [socket.socket(fileno=descriptor) for descriptor in descriptors]
                listeners = dict(zip(message.names, opened, strict=True))
            elif isinstance(message, Sockets):
                if len(message.sockets) != len(descriptors):
                    raise TakeoverFailed("descriptors are missing: the limit of open files may be too low")
                sockets += zip(message.sockets, descriptors, strict=True)
            elif isinstance(message, WorkerState):
                return listeners, sockets, message
            elif isinstance(message, Refused):
                raise TakeoverFailed(message.reason)
            else:
                raise TakeoverFailed(f"did not expect {type(message).__name__}")

    def commit(self) -> None:
        """Say that everything is prepared. When this returns, the sockets belong to this process.

        Raises:
            TakeoverFailed.
        """
        self._link.send(Prepared())
        self._link.expect(Commit, COMMIT_SECONDS)
        self._link.send(Serving())

    def follow(self, start: Callable[[Late, int], None]) -> None:
        """Start the connections whose handshakes the old process finishes, until it ends."""
        try:
            while True:
                message, descriptors = self._link.receive(LATE_SECONDS)
                if isinstance(message, Late) and descriptors:
                    start(message, descriptors[0])
        except TakeoverFailed:
            self._link.close()

    def fail(self, reason: str) -> None:
        """Tell the old process that it goes on, and why."""
        try:
            self._link.send(Refused(reason))
        except LinkClosed:
            pass
        self._link.close()


def _connect(instance_path: Path, pid: int | None) -> Link:
    workers = list_workers(instance_path)
    if pid is not None:
        workers = [worker for worker in workers if worker.pid == pid]
    if not workers:
        which = "no worker" if pid is None else f"no worker with the process id {pid}"
        raise TakeoverFailed(f"{which} of this user runs with the instance folder {instance_path}")
    if len(workers) > 1:
        pids = ", ".join(str(worker.pid) for worker in workers)
        raise TakeoverFailed(f"several workers run here: say which, as in --takeover {workers[0].pid} (of {pids})")
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(str(workers[0].path))
    except OSError as error:
        raise TakeoverFailed(f"cannot connect to {workers[0].path}: {error.strerror}") from None
    return Link(sock)
