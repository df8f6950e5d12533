"""Starts the new process from the old one, when the old one is asked to upgrade, and says what came of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import gevent
import structlog
from gevent import subprocess

from shared.takeover import Outcome, write_outcome
from worker.takeover.predecessor import Predecessor

_log = structlog.get_logger(__name__)


class SuccessorStarter:
    """Starts `python -m worker --takeover` in the folder and with the environment of this process."""

    def __init__(self, instance_path: Path, predecessor: Predecessor) -> None:
        self._instance_path = instance_path
        self._predecessor = predecessor
        self._is_running = False

    def start(self) -> None:
        """Start the new process, unless one is being started. Does not wait."""
        if not self._is_running and not self._predecessor.is_committed:
            self._is_running = True
            gevent.spawn(self._run)

    def _run(self) -> None:
        try:
            command = [sys.executable, "-m", "worker", "--takeover", str(os.getpid())]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            _log.info("upgrading", successor=process.pid)
            # This process may end before this greenlet runs again.
            self._predecessor.on_given = lambda: self._report(Outcome(process.pid))
            while process.poll() is None:
                gevent.sleep(0.02)
            self._predecessor.on_given = lambda: None
            if self._predecessor.is_given:
                return  # it has ended soon after it took over
            reason = self._predecessor.failure or f"the new process ended with status {process.returncode}: see its log"
            _log.error("the upgrade has failed, and this process goes on", reason=reason)
            self._report(Outcome(os.getpid(), reason))
        except Exception:
            _log.exception("the upgrade has failed, and this process goes on")
            self._report(Outcome(os.getpid(), "the new process cannot be started: see the log"))
        finally:
            self._is_running = False

    def _report(self, outcome: Outcome) -> None:
        try:
            write_outcome(self._instance_path, os.getpid(), outcome)
        except OSError as error:
            _log.error("the outcome of the upgrade cannot be written", error=str(error))
