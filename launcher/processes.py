"""Child processes that do not outlive the launcher, however it ends.

Each child leads its own process group, so that Ctrl-C in the terminal reaches only the launcher, which then stops its
children in order. If the launcher is killed, on Linux the kernel ends its children. As a second line of defence, every
running child is noted in a file in the instance's `run` folder, and the next start ends those still running.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1
LEFTOVER_TERM_SECONDS = 3.0
LEFTOVER_KILL_SECONDS = 5.0

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(signum: int) -> Callable[[], None]:
    """Return a `preexec_fn` that makes the kernel send the child a signal when the thread that starts it ends.

    Does nothing on systems other than Linux.
    """
    parent = os.getpid()

    def request_signal() -> None:
        if _libc is None:
            return
        _libc.prctl(PR_SET_PDEATHSIG, signum)
        if os.getppid() != parent:  # the parent ended before the request
            os.kill(os.getpid(), signum)

    return request_signal


def ending_with_launcher(*command: str) -> list[str]:
    """Return a command that runs another one, and makes the kernel end it with the launcher. See `child.py`."""
    return [sys.executable, "-I", str(Path(__file__).with_name("child.py")), str(os.getpid()), *command]


def remember(folder: Path, name: str, pid: int) -> None:
    """Note a running child, the leader of its process group, so that a later start can end it."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    draft = folder / f"{name}.json.{os.getpid()}"
    draft.write_text(json.dumps({"pid": pid, "created": created}))
    draft.rename(folder / f"{name}.json")


def forget(folder: Path, name: str) -> None:
    """Remove the note of a child that has ended."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def end_leftovers(folder: Path) -> list[str]:
    """End the children that an earlier, killed launcher left running. Return the names of those still running."""
    names = []
    for path in sorted(folder.glob("*.json")):
        members = _members(path)
        if members:
            names.append(path.stem)
        _end(members)
        path.unlink(missing_ok=True)
    return names


def _members(path: Path) -> list[psutil.Process]:
    """Return the processes of a noted group; none if the kernel has reused its number for another process."""
    try:
        record = json.loads(path.read_text())
        leader_pid, created = int(record["pid"]), float(record["created"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) != leader_pid or process.uids().real != os.getuid():
                continue
            is_leader = process.pid == leader_pid
            if is_leader and abs(process.create_time() - created) > 1:
                return []
            # A group without its leader keeps its number while it has members, which all started after the leader.
            if process.create_time() >= created - 1 and is_running(process):
                members.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    return members


def _end(members: list[psutil.Process]) -> None:
    steps = ((psutil.Process.terminate, LEFTOVER_TERM_SECONDS), (psutil.Process.kill, LEFTOVER_KILL_SECONDS))
    for stop, seconds in steps:
        for process in members:
            try:
                stop(process)
            except psutil.NoSuchProcess:
                pass
        deadline = time.monotonic() + seconds
        while members := [process for process in members if is_running(process)]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        if not members:
            return


def is_running(process: psutil.Process) -> bool:
    """Return False once the process has ended, even if it is still a zombie because nobody waited for it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
