"""Finding the end of a request, wherever the stream is cut."""

import pytest

from server.requests import RequestBuffer, Unacceptable

REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab\r\n\r",
    b"POST / HTTP/1.1\r\ncontent-length:  0 \r\n\r\n",
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_requests_are_found_wherever_the_stream_is_cut(size):
    stream = b"".join(REQUESTS)
    buffer, found = RequestBuffer(), []
    for start in range(0, len(stream), size):
        buffer.feed(stream[start : start + size])
        while (request := buffer.take()) is not None:
            found.append(request)
    assert found == REQUESTS
    assert len(buffer) == 0


@pytest.mark.parametrize(
    ("data", "status"), [(b"X" * 70_000, "431"), (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "411")]
)
def test_unacceptable_requests_are_refused(data, status):
    with pytest.raises(Unacceptable, match=status):
        RequestBuffer().feed(data)


def test_a_body_that_is_too_long_is_not_collected():
    """The response says that the connection closes, because the next bytes are not a request."""
    buffer = RequestBuffer()
    buffer.feed(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nabc")
    assert buffer.take() == b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n"
    assert buffer.is_body_refused
