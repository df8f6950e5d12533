"""Child processes that do not outlive the launcher, however it ends.

Each child leads a process group of its own, so that Ctrl-C in the terminal reaches the launcher alone, which then stops
its children in order. On Linux the kernel ends a child whose launcher was killed. What is left all the same is known by
a file a child in the instance's `run` folder, and the next start ends it.
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


def die_with_parent(signum: int, *, parent: int | None = None) -> Callable[[], None]:
    """What a child calls (a `preexec_fn`) to be sent a signal when the thread that started it ends; on Linux only.

    parent: the pid of the process that starts it, by default this one.
    """
    parent = parent or os.getpid()

    def ask_the_kernel() -> None:
        if _libc is None:
            return
        _libc.prctl(PR_SET_PDEATHSIG, signum)
        if os.getppid() != parent:  # it ended before the kernel was asked
            os.kill(os.getpid(), signum)

    return ask_the_kernel


def remember(folder: Path, name: str, pid: int) -> None:
    """Note a running child, the leader of its group, so that a later start can end it."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    draft = folder / f"{name}.json.{os.getpid()}"
    draft.write_text(json.dumps({"pid": pid, "created": created}))
    draft.rename(folder / f"{name}.json")


def forget(folder: Path, name: str) -> None:
    """The child has ended; there is nothing to end later."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def end_leftovers(folder: Path) -> list[str]:
    """End what an earlier launcher that was killed left running; returns the names of what was still there."""
    names = []
    for path in sorted(folder.glob("*.json")):
        members = _members(path)
        if members:
            names.append(path.stem)
        _end(members)
        path.unlink(missing_ok=True)
    return names


def _members(path: Path) -> list[psutil.Process]:
    """The processes of a remembered group, or none if its number has gone to somebody else meanwhile."""
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
            # Its leader gone, a group keeps its number from being given again; its members are younger than the leader.
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
    """False once it has ended, also where its new parent does not ask for its status and it stays a zombie."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
