"""Find the end of an HTTP/1.1 request in a stream of bytes. No I/O.

gunicorn parses and checks the request. This module only decides when all of it has arrived (RFC 9112, section 6).
"""

from __future__ import annotations

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 256 * 1024
"""A longer body is not read: the site refuses it by its length (`app.MAX_REQUEST_BYTES`)."""
_HEAD_END = b"\r\n\r\n"


class Unacceptable(Exception):
    """The request cannot be served. `status` is the HTTP status and its text."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class RequestBuffer:
    """Collects bytes until they hold a whole request.

    Attributes:
        is_body_refused: Whether the body is too long to be read. The connection must then close after the response.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._searched = 0
        self._size: int | None = None
        self._expects_continue = False
        self.is_body_refused = False

    def __len__(self) -> int:
        return len(self._data)

    @property
    def has_head(self) -> bool:
        """Whether the request's head is complete."""
        return self._size is not None

    def feed(self, data: bytes) -> None:
        """Add received bytes.

        Raises:
            Unacceptable: The first request cannot be served.
        """
        self._data += data
        if self._size is None:
            self._read_head()

    def take(self) -> bytes | None:
        """Remove and return the first request, or return None if it is incomplete.

        Raises:
            Unacceptable: The request after it cannot be served.
        """
        if self._size is None or len(self._data) < self._size:
            return None
        request = bytes(self._data[: self._size])
        del self._data[: self._size]
        self._searched, self._size, self._expects_continue = 0, None, False
        if self.is_body_refused:
            # Makes gunicorn say so in its response. A proxy would otherwise send the next request on this connection.
            line, _, rest = request.partition(b"\r\n")
            return b"\r\n".join((line, b"Connection: close", rest))
        self._read_head()
        return request

    def take_expectation(self) -> bool:
        """Return whether the client waits for `100 Continue` before the body. True at most once per request."""
        is_waiting = self._expects_continue and self._size is not None and len(self._data) < self._size
        self._expects_continue = False
        return is_waiting

    def _read_head(self) -> None:
        end = self._data.find(_HEAD_END, max(0, self._searched - len(_HEAD_END)))
        self._searched = len(self._data)
        if end < 0:
            if len(self._data) > MAX_HEAD_BYTES:
                raise Unacceptable("431 Request Header Fields Too Large")
            return
        head_size = end + len(_HEAD_END)
        body_size = 0
        for line in bytes(self._data[:end]).split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            name, value = name.strip().lower(), value.strip()
            if name == b"transfer-encoding":
                raise Unacceptable("411 Length Required")
            if name == b"content-length" and value.isdigit() and len(value) < 20:
                body_size = max(body_size, int(value))
            if name == b"expect" and value.lower() == b"100-continue":
                self._expects_continue = True
        if body_size > MAX_BODY_BYTES:
            self.is_body_refused = True
            body_size = 0
        self._size = head_size + body_size
