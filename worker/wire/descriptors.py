"""Functions for a TCP connection, given only its file descriptor."""

import fcntl
import socket
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, for zero seconds


def shut_down(fd: int) -> None:
    """Close our direction of the connection. The other one stays open. Raises OSError."""
    with _borrowed(fd) as borrowed:
        borrowed.shutdown(socket.SHUT_WR)


def has_unsent(fd: int) -> bool:
    """Return whether the kernel holds data that the other end has not acknowledged."""
    unsent: int = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    return unsent > 0


def reset_on_close(fd: int) -> None:
    """Make close() send a reset.

    After a plain close, the kernel would keep trying to send the rest for minutes. A client that does not read would
    not notice the end of the connection, which is queued behind that data.
    """
    with _borrowed(fd) as borrowed:
        borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """Yield a socket object for a descriptor. The descriptor stays open."""
    borrowed = socket.socket(fileno=fd)
    try:
        yield borrowed
    finally:
        borrowed.detach()
