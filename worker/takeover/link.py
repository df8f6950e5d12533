"""The connection between two processes on one machine: messages, with descriptors beside them.

A message is its length in four bytes, to which the descriptors are attached, and then the message itself.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from worker.takeover import messages
from worker.takeover.messages import AnyMessage, Refused

MAX_DESCRIPTORS = 250  # of one message; the kernel allows 253
MAX_BYTES = 1024**3
SEND_SECONDS = 10.0

_length = struct.Struct("!I")
_credentials = struct.Struct("3i")

M = TypeVar("M", bound=AnyMessage)


class TakeoverFailed(Exception):
    """The takeover has failed, and the old process serves on. The text is one line for operators."""


class LinkClosed(TakeoverFailed):
    """The other process has ended, or has closed the connection."""


class Link:
    """One end of the connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @property
    def peer_pid(self) -> int:
        """The process at the other end, or the one that listens there; 0 if it belongs to another user.

        Root may take over from anybody.
        """
        pid, uid, _ = _credentials.unpack(
            self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _credentials.size)
        )
        return int(pid) if uid in (0, os.getuid()) else 0

    def send(self, message: AnyMessage, descriptors: Sequence[int] = ()) -> None:
        """Send a message, and duplicates of at most MAX_DESCRIPTORS descriptors. Raises TakeoverFailed."""
        self.send_encoded(messages.encode(message), descriptors)

    def send_encoded(self, body: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a message that is encoded already. Raises TakeoverFailed."""
        ancillary = []
        if descriptors:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self._socket.settimeout(SEND_SECONDS)
        try:
            # Four bytes always fit, so the descriptors and all of the length go together.
            self._socket.sendmsg([_length.pack(len(body))], ancillary)
            self._socket.sendall(body)
        except TimeoutError:
            raise TakeoverFailed("the other process does not read") from None
        except OSError as error:
            raise LinkClosed(f"the other process is gone: {error.strerror}") from None

    def receive(self, seconds: float) -> tuple[AnyMessage, list[int]]:
        """Return the next message and its descriptors. Raises TakeoverFailed, and LinkClosed at the end."""
        self._socket.settimeout(seconds)
        try:
            head, descriptors = self._receive_head()
            size = _length.unpack(head)[0]
            if size > MAX_BYTES:
                raise TakeoverFailed(f"a message of {size} bytes is too large")
            return messages.decode(self._receive_exactly(size)), descriptors
        except TimeoutError:
            raise TakeoverFailed(f"the other process did not answer within {seconds:g} s") from None
        except msgspec.MsgspecError as error:
            raise TakeoverFailed(f"a message cannot be read: {error}") from None
        except OSError as error:
            raise LinkClosed(f"the other process is gone: {error.strerror}") from None

    def expect(self, kind: type[M], seconds: float) -> M:
        """Return the next message, which must be of this kind and without descriptors. Raises TakeoverFailed."""
        message, _ = self.receive(seconds)
        if isinstance(message, Refused):
            raise TakeoverFailed(message.reason)
        if not isinstance(message, kind):
            raise TakeoverFailed(f"expected {kind.__name__}, but got {type(message).__name__}")
        return message

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _receive_head(self) -> tuple[bytes, list[int]]:
        head, descriptors = b"", array.array("i")
        room = socket.CMSG_SPACE(MAX_DESCRIPTORS * descriptors.itemsize)
        while len(head) < _length.size:
            data, ancillary, _, _ = self._socket.recvmsg(
                _length.size - len(head), room, getattr(socket, "MSG_CMSG_CLOEXEC", 0)
            )
            if not data:
                raise LinkClosed("the other process is gone")
            head += data
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        return head, descriptors.tolist()

    def _receive_exactly(self, size: int) -> bytes:
        body = bytearray(size)
        view, at = memoryview(body), 0
        while at < size:
            count = self._socket.recv_into(view[at:])
            if not count:
                raise LinkClosed("the other process is gone")
            at += count
        return bytes(body)
