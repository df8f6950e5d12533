"""Gives memory back to the kernel after many connections have ended.

The C library keeps what is freed amid other allocations. After a flood that would be all the memory that it used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import gevent

ENDED_AT_LEAST = 200
DELAY_SECONDS = 1.0


def _find_malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # not glibc
        return None


class Trimmer:
    """Trims the heap DELAY_SECONDS after ENDED_AT_LEAST connections have ended. It takes some milliseconds."""

    def __init__(self) -> None:
        self._trim = _find_malloc_trim()
        self._ended = 0

    def connection_ended(self) -> None:
        """Count a connection that has ended."""
        self._ended += 1
        if self._ended == ENDED_AT_LEAST and self._trim is not None:
            gevent.spawn_later(DELAY_SECONDS, self._run)

    def _run(self) -> None:
        self._ended = 0
        assert self._trim is not None
        self._trim(0)
