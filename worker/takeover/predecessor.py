"""The old process: waits for a new one on a Unix socket, and gives it the sockets and the state of this worker.

Nothing is given up before the new process says that it serves. Until then it has touched no socket, so if it fails, is
killed or is too slow at any step, this process goes on as if nothing had happened. How this works, and why no frame is
lost or doubled: docs/decisions/0021-takeover.md.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import gevent
import structlog
from gevent import socket

from shared import __version__
from worker.signals import Mark
from worker.sockets.connection import Connection
from worker.takeover import messages
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
    Welcome,
)
from worker.takeover.owners import Owners

HELLO_SECONDS = 5.0
READY_SECONDS = 60.0
JOB_SECONDS = 30.0  # how long a transaction of a job may take, while sockets are served
DRAIN_SECONDS = 5.0  # how long everything that has begun may take, while sockets wait
MARK_SECONDS = 2.0
PREPARED_SECONDS = 15.0
SERVING_SECONDS = 15.0
LEAVE_SECONDS = 25.0  # for handshakes and closing sockets, which are not given away

_log = structlog.get_logger(__name__)


class Predecessor:
    """Gives this worker's sockets away, to one new process.

    Attributes:
        is_committed: Whether the new process has been told that the sockets belong to it.
        is_given: Whether it serves.
        failure: Why the last attempt failed. Empty if there was none.
        on_given: Called when the new process serves, before anything else.
        on_end: Called when the sockets are given away and nothing is left to do.
    """

    def __init__(self, owners: Owners, worker_id: str, path: Path) -> None:
        self._owners = owners
        self._parts = owners.parts
        self._worker_id = worker_id
        self._path = path
        self._listener: socket.socket | None = None
        self._attempt: Any = None
        self.is_committed = False
        self.is_given = False
        self.failure = ""
        self.on_given: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Wait for new processes. If that is impossible, log why: the worker can only be restarted then."""
        if not sys.platform.startswith("linux"):
            return  # other systems cannot say who connects
        draft = self._path.with_suffix(f".{os.getpid()}")
        try:
            _require_own_folder(self._path.parent)
            self._listener = listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(draft))
            draft.chmod(0o600)  # nobody can connect before listen()
            listener.listen(4)
            draft.rename(self._path)
        except OSError as error:
            _log.warning("this worker cannot be taken over, only restarted", path=str(self._path), error=str(error))
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            return
        gevent.spawn(self._accept, listener)

    def stop(self) -> bool:
        """Wait for no more processes, and end a takeover that is in progress.

        Returns:
            Whether the sockets are given away already.
        """
        if self._attempt is not None and not self.is_committed:
            self._attempt.kill()
        while self._attempt is not None and not self.is_given:
            gevent.sleep(0.02)
        if not self.is_given and self._listener is not None:
            self._listener.close()
            self._path.unlink(missing_ok=True)
        return self.is_given

    def _accept(self, listener: socket.socket) -> None:
        while not self.is_committed:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            gevent.spawn(self._answer, Link(sock))

    def _answer(self, link: Link) -> None:
        """Speak with whoever has connected. Others connect too, only to see whether somebody listens."""
        try:
            if not link.peer_pid:
                raise TakeoverFailed("only the user of the old process may take over")
            hello = link.expect(Hello, HELLO_SECONDS)
            if FORMAT not in hello.formats:
                raise TakeoverFailed(f"the formats do not match: {FORMAT} here, {hello.formats} there")
            if self._attempt is not None:
                raise TakeoverFailed("another process is taking over already")
        except LinkClosed:
            link.close()
            return
        except TakeoverFailed as failed:
            _log.warning("a takeover was refused", reason=str(failed))
            _refuse(link, failed)
            return
        self._attempt, self.failure = gevent.getcurrent(), ""
        try:
            with _open_process(link.peer_pid) as process:
                self._give(link, process.fileno())
        except TakeoverFailed as failed:
            self.failure = str(failed)
            _log.warning("a takeover has failed, and this process goes on", reason=str(failed))
            _refuse(link, failed)
        except Exception:
            self.failure = "internal error of the old process"
            _log.exception("a takeover has failed, and this process goes on")
        finally:
            self._attempt = None
            link.close()

    def _give(self, link: Link, process: int) -> None:
        """Give everything away.

        Args:
            process: The pidfd of the new process.

        Raises:
            TakeoverFailed: This process goes on.
        """
        link.send(Welcome(FORMAT, self._worker_id, __version__))
        link.expect(Ready, READY_SECONDS)
        began_at = time.monotonic()
        try:
            self._hold_jobs()
            held_at = time.monotonic()
            self._hold()
            mark = self._drain()
            moved = self._send_everything(link, mark)
            link.expect(Prepared, PREPARED_SECONDS)
            # Whatever ends this process from here on must not wake it again, since the new one may serve.
            self.is_committed = True
            link.send(Commit())
            _wait_until_serving(link, process)
        except BaseException:
            self.is_committed = False
            self._release()
            raise
        self.is_given = True
        self.on_given()
        silent_ms = round((time.monotonic() - held_at) * 1000)
        _log.info("given away", sockets=len(moved), silent_ms=silent_ms, waited_ms=round((held_at - began_at) * 1000))
        self._leave(link, moved)

    # Holding

    def _hold_jobs(self) -> None:
        """Begin no more jobs, and wait for a transaction of one while sockets are still served."""
        jobs = self._owners.jobs
        jobs.hold()
        self._owners.checks.hold()
        self._owners.links.hold()
        deadline = time.monotonic() + JOB_SECONDS
        while jobs.is_writing:
            if time.monotonic() > deadline:
                raise TakeoverFailed("a job of the network is running: try again later")
            gevent.sleep(0.02)

    def _hold(self) -> None:
        """Read and accept nothing, and begin nothing."""
        for server in self._owners.servers.values():
            server.hold()
        self._parts.failures.hold()
        self._parts.replicas.may_send.clear()
        self._owners.wire.hold()

    def _drain(self) -> Mark | None:
        """Wait until everything that has begun is done, and close all ways out.

        Returns:
            Up to where the signals were handled. If unknown, the new process assumes that signals were lost.
        """
        parts = self._parts
        deadline = time.monotonic() + DRAIN_SECONDS
        self._wait_until_idle(deadline)
        mark = parts.signals.hold_incoming_after_mark(self._worker_id, MARK_SECONDS)
        self._wait_until_idle(deadline)
        # Nothing waits from here until everything is exported.
        parts.signals.hold_outgoing()
        parts.database.hold_writes()
        self._owners.wire.still()
        return mark

    def _wait_until_idle(self, deadline: float) -> None:
        """Wait until nothing is being done. Return without having waited since that was so."""
        while True:
            if not self._busy():
                gevent.sleep(0.003)  # what was spawned just now has begun after this
                if not self._busy():
                    return
            if time.monotonic() > deadline:
                raise TakeoverFailed(f"this did not end within {DRAIN_SECONDS:g} s: {self._busy()}")
            gevent.sleep(0.003)

    def _busy(self) -> str:
        """Return what is being done; empty if nothing is."""
        parts = self._parts
        reasons = {
            "a message": not self._owners.wire.is_idle,
            "storing lines": not parts.chat.is_idle,
            "a write to the database": parts.database.writes > 0,
            "delivering lines that were missed": not self._owners.remote_lines.is_idle,
            "writing to sockets": not parts.fanout.is_idle,
            "publishing to Redis": not parts.signals.is_flushed and parts.signals.is_connected,
        }
        return ", ".join(reason for reason, is_so in reasons.items() if is_so)

    def _release(self) -> None:
        """Do everything again, beginning with what was held."""
        parts = self._parts
        parts.database.release_writes()
        self._owners.wire.release()
        parts.signals.release_outgoing()
        parts.signals.release_incoming()
        parts.failures.release()
        parts.replicas.may_send.set()
        for server in self._owners.servers.values():
            server.release()
        self._owners.jobs.release()
        self._owners.checks.release()
        self._owners.links.release()

    # Giving

    def _send_everything(self, link: Link, mark: Mark | None) -> list[Connection]:
        """Send all sockets and the state. Return the connections that were sent.

        Everything is encoded before anything is sent: parts of this process go on meanwhile, and what they change must
        not be in it. If the new process takes over, it does the same from the state that it was given.
        """
        servers = self._owners.servers
        moved = self._owners.list_movable()
        batches = [(messages.encode(batch), descriptors) for batch, descriptors in self._owners.export_sockets(moved)]
        state = messages.encode(self._owners.export_state(mark))
        link.send(Listeners(list(servers)), [server.listener.fileno() for server in servers.values()])
        for body, descriptors in batches:
            link.send_encoded(body, descriptors)
        link.send_encoded(state)
        return moved

    # Leaving

    def _leave(self, link: Link, moved: list[Connection]) -> None:
        """Finish what was not given away: closing sockets, and handshakes, whose sockets are given away afterwards."""
        wire, servers = self._owners.wire, self._owners.servers
        for connection in moved:
            connection.transport.detach()
        for server in servers.values():
            server.stop_accepting()
        if self._listener is not None:
            self._listener.close()
        wire.is_still = False
        self._parts.fanout.release()
        deadline = time.monotonic() + LEAVE_SECONDS
        try:
            while time.monotonic() < deadline:
                while wire.upgraded:
                    self._send_late(link)
                if not wire.transports and not any(server.handshakes for server in servers.values()):
                    break
                gevent.sleep(0.02)
        except TakeoverFailed as failed:
            _log.warning("the new process cannot be given the last connections", reason=str(failed))
        self.on_end()

    def _send_late(self, link: Link) -> None:
        upgraded = self._owners.wire.upgraded.pop(0)
        for server in self._owners.servers.values():
            path = server.find_path(upgraded.endpoint)
            if path is not None:
                link.send(Late(path, upgraded.address, upgraded.early, upgraded.request_id), [upgraded.fd])
        os.close(upgraded.fd)


def _wait_until_serving(link: Link, process: int) -> None:
    """Wait for `Serving`. Kill a new process that does not send it, so that only one can serve.

    Raises:
        TakeoverFailed: The new process has ended, before it touched any socket.
    """
    try:
        link.expect(Serving, SERVING_SECONDS)
    except LinkClosed:
        raise TakeoverFailed("the new process has ended") from None
    except TakeoverFailed:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        with suppress(TakeoverFailed):
            while True:  # until the kernel has closed the other end
                link.receive(SERVING_SECONDS)
        raise TakeoverFailed("the new process did not begin to serve, and was killed") from None


def _open_process(pid: int) -> IO[str]:
    """Return the pidfd of a process, whose number could otherwise belong to another one soon. Raises TakeoverFailed."""
    try:
        return os.fdopen(os.pidfd_open(pid))
    except OSError as error:
        raise TakeoverFailed(f"process {pid} cannot be watched: {error.strerror}") from None


def _refuse(link: Link, failed: TakeoverFailed) -> None:
    with suppress(TakeoverFailed):
        link.send(Refused(str(failed)))
    link.close()


def _require_own_folder(folder: Path) -> None:
    """Make a folder that is missing. Raises OSError if it belongs to somebody else, who could replace what is in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid not in (0, os.getuid()) or stat.S_IMODE(status.st_mode) & 0o002:
        raise PermissionError(f"others may write to {folder}")
