"""Bytes of one connection that the kernel has not accepted yet. They are written when it accepts more."""

import os
from collections import deque
from collections.abc import Callable
from typing import Any

# At most this much is joined for one write, if chunks are shorter.
_WRITE_BYTES = 256 * 1024

_WRITABLE = 2


class Outbox:
    """The queue of one descriptor. Never empty: close it when everything was written.

    Attributes:
        nbytes: The size of what is queued.
    """

    __slots__ = ("_chunks", "_fd", "_on_stalled", "_timer", "_watcher", "nbytes")

    def __init__(self, loop: Any, fd: int, data: bytes) -> None:
        self.nbytes = len(data)
        self._chunks = deque([data])
        self._fd = fd
        self._watcher = loop.io(fd, _WRITABLE)
        self._timer: Any = None

    def append(self, data: bytes) -> None:
        """Queue more."""
        self._chunks.append(data)
        self.nbytes += len(data)

    def contents(self) -> bytes:
        """Return everything that is queued."""
        return b"".join(self._chunks)

    def keep_first(self) -> None:
        """Discard everything except the first chunk, which may be half written."""
        first = self._chunks[0]
        self._chunks = deque([first])
        self.nbytes = len(first)

    def write(self) -> None:
        """Write as much as the kernel accepts. Never blocks. Raises OSError if the connection is lost."""
        chunks = self._chunks
        data = chunks.popleft()
        if chunks and len(data) < _WRITE_BYTES:
            parts, size = [data], len(data)
            while chunks and size < _WRITE_BYTES:
                parts.append(chunks.popleft())
                size += len(parts[-1])
            data = b"".join(parts)
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        self.nbytes -= sent
        if sent < len(data):
            chunks.appendleft(data[sent:] if sent else data)
        if sent and self._timer is not None:
            self._timer.again(self._on_stalled)

    def watch(self, on_writable: Callable[[], None]) -> None:
        """Call a function whenever the kernel accepts more."""
        self._watcher.start(on_writable)

    def unwatch(self) -> None:
        """Stop calling it."""
        self._watcher.stop()

    def start_timer(self, seconds: float, on_stalled: Callable[[], None]) -> None:
        """Call a function each time the kernel has accepted nothing for `seconds`."""
        self._on_stalled = on_stalled
        self._timer = self._watcher.loop.timer(seconds, seconds)
        self._timer.start(on_stalled)

    def stop_timer(self) -> None:
        """Stop calling it."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def close(self) -> None:
        """Stop everything."""
        self.stop_timer()
        self._watcher.stop()
        self._watcher.close()
