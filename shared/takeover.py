"""Upgrades without dropping a socket, seen from outside: where workers listen, who is asked, and what came of it.

`UPGRADE_SIGNAL` asks the launcher or a worker. It starts the new code, which takes over (`worker/takeover/`), and
writes the outcome into a file of the instance folder.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from shared.settings import instance_socket

UPGRADE_SIGNAL = signal.SIGUSR2
OUTCOME_SECONDS = 150.0
_PREFIX = "worker-"
_credentials = struct.Struct("3i")


class Outcome(msgspec.Struct, omit_defaults=True):
    """What came of a request to upgrade.

    Attributes:
        pid: The process that runs now.
        error: Why the old process goes on; empty if the upgrade succeeded.
    """

    pid: int
    error: str = ""


class UpgradeFailed(Exception):
    """The text is one line for operators."""


class ListeningWorker(NamedTuple):
    """A running worker on this machine, and the socket where it waits for its successor."""

    path: Path
    pid: int


def socket_path(instance_path: Path, worker_id: str) -> Path:
    """Return where a worker waits for its successor, which will have the same id."""
    return instance_socket(instance_path, f"{_PREFIX}{worker_id[:8]}.sock")


def list_workers(instance_path: Path) -> list[ListeningWorker]:
    """Return the running workers of this user with this instance folder. Removes sockets that nobody listens on."""
    workers = []
    # Where sockets are depends on the length of their path, and all ids have the same length.
    for path in sorted(socket_path(instance_path, "0" * 8).parent.glob(f"{_PREFIX}*.sock")):
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(2)
                probe.connect(str(path))
                pid, uid, _ = _credentials.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)  # its worker was killed
        except OSError:
            continue
        else:
            if uid == os.getuid():
                workers.append(ListeningWorker(path, pid))
    return workers


def find_launcher(instance_path: Path) -> int | None:
    """Return the process that runs `make run` with this instance folder, or None."""
    try:
        with (instance_path / "launcher.lock").open() as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(file.read())
    except (OSError, ValueError):
        pass
    return None


def write_outcome(instance_path: Path, asked_pid: int, outcome: Outcome) -> None:
    """Write what came of the request to a process. Raises OSError."""
    path = _outcome_path(instance_path, asked_pid)
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(outcome))
    draft.rename(path)


def request_upgrade(instance_path: Path, pid: int, *, seconds: float = OUTCOME_SECONDS) -> int:
    """Ask the launcher or a worker to upgrade, and wait for the outcome. Return the process that runs now.

    Raises:
        UpgradeFailed: The old process goes on, if the text does not say otherwise.
    """
    path = _outcome_path(instance_path, pid)
    path.unlink(missing_ok=True)
    try:
        os.kill(pid, UPGRADE_SIGNAL)
    except ProcessLookupError:
        raise UpgradeFailed(f"there is no process {pid}") from None
    except PermissionError:
        raise UpgradeFailed(f"process {pid} belongs to another user: run this as the user of the workers") from None
    deadline = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > deadline:
            raise UpgradeFailed(f"process {pid} did not say within {seconds:g} s what came of it: see its log")
        time.sleep(0.02)
    outcome = msgspec.json.decode(path.read_bytes(), type=Outcome)
    path.unlink(missing_ok=True)
    if outcome.error:
        raise UpgradeFailed(outcome.error)
    return outcome.pid


def _outcome_path(instance_path: Path, asked_pid: int) -> Path:
    return instance_path / "run" / f"upgrade-{asked_pid}.outcome"
