"""What a TCP connection needs beyond reading and writing, given only its file descriptor."""

import fcntl
import socket
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, for no time at all


def shut_down(fd: int) -> None:
    """Send our end of the connection; the other direction stays open. Raises OSError."""
    with _borrowed(fd) as borrowed:
        borrowed.shutdown(socket.SHUT_WR)


def has_unsent(fd: int) -> bool:
    """Return whether the kernel holds data that the other end has not acknowledged."""
    unsent: int = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    return unsent > 0


def reset_on_close(fd: int) -> None:
    """Make close() send a reset.

    A plain close would leave unsent data to the kernel, which retries for minutes. A client that does not read would
    never learn that the connection has ended, since the end is queued behind that data.
    """
    with _borrowed(fd) as borrowed:
        borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """Yield a socket object for a descriptor, without closing it afterwards."""
    borrowed = socket.socket(fileno=fd)
    try:
        yield borrowed
    finally:
        borrowed.detach()
