"""Log lines about a dependency that fails: one a minute, however many requests it concerns."""

from __future__ import annotations

import threading
import time
from typing import Any

import structlog
from flask import Flask

log = structlog.get_logger(__name__)

QUIET_SECONDS = 60.0
KINDS_KEPT = 100


class _Lines:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last: dict[tuple[str, ...], float] = {}
        self.skipped: dict[tuple[str, ...], int] = {}


def log_failure(app: Flask, message: str, error: BaseException, **facts: Any) -> None:
    """Log an error that many requests share, with how many lines were left out since the last one.

    Args:
        message: The event. Lines with the same message and the same type of error count as equal.
        facts: More fields of the line.
    """
    lines: _Lines = app.extensions.setdefault("occasional_log", _Lines())
    cause = getattr(error, "orig", None) or error
    key = (message, type(cause).__name__)
    now = time.monotonic()
    with lines.lock:
        if now - lines.last.get(key, -QUIET_SECONDS) < QUIET_SECONDS:
            lines.skipped[key] = lines.skipped.get(key, 0) + 1
            return
        if len(lines.last) >= KINDS_KEPT:
            lines.last.clear()
            lines.skipped.clear()
        lines.last[key] = now
        skipped = lines.skipped.pop(key, 0)
    if skipped:
        facts["skipped"] = skipped
    log.error(message, error=type(error).__name__, reason=" ".join(str(cause).split())[:300], **facts)
