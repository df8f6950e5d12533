"""The ids of requests and sockets, which tie log lines, statements in PostgreSQL and the proxy's log together.

The proxy at the edge gives each request an id and passes it on in `X-Request-ID`. While a thread or greenlet works
for a request or a socket, every line that it logs has the ids, and so does every statement if DATABASE_COMMENTS is on.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

HEADER = "X-Request-ID"
IDS_SHOWN = 5
_ACCEPTED = re.compile(r"[A-Za-z0-9._:-]{1,64}")  # nothing that could end a comment, or act on a terminal


class Work(Protocol):
    """What a thread or greenlet works for: a request, a socket, or several of them."""

    def ids(self) -> Mapping[str, str]:
        """Return the ids to log, by the names of their fields."""


class RequestWork:
    """The work for one request of the site."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id

    def ids(self) -> Mapping[str, str]:
        """Return the id of the request."""
        return {"request": self.request_id}


class BatchWork:
    """The work for several sockets at once. Names the first IDS_SHOWN of them."""

    def __init__(self, works: Iterable[Work | None]) -> None:
        self._works = works

    def ids(self) -> Mapping[str, str]:
        """Return the sockets' ids, joined with commas."""
        connections = dict.fromkeys(work.ids().get("connection", "") for work in self._works if work is not None)
        return {"connections": ",".join(list(connections)[:IDS_SHOWN])} if connections else {}


_current: ContextVar[Work | None] = ContextVar("current_work", default=None)

start_work = _current.set
"""Set what this thread or greenlet works for, until it ends or starts other work. Cheaper than `working_for`."""


def read_id(header: str | None) -> str:
    """Return the id in an `X-Request-ID` header; "" if it is missing, too long, or has other characters than an id."""
    return header if header is not None and _ACCEPTED.fullmatch(header) else ""


def new_id() -> str:
    """Return an id for a request that came without one."""
    return uuid.uuid4().hex


def current_work() -> Work | None:
    """Return what this thread or greenlet works for."""
    return _current.get()


def current_ids() -> Mapping[str, str]:
    """Return the ids of what this thread or greenlet works for."""
    work = _current.get()
    return {} if work is None else work.ids()


@contextmanager
def working_for(work: Work) -> Iterator[None]:
    """Set what this thread or greenlet works for inside the block."""
    token = _current.set(work)
    try:
        yield
    finally:
        _current.reset(token)


def add_ids(_logger: object, _method: str, record: Any) -> Any:
    """Add the ids to a log record, unless it names other ones (a structlog processor)."""
    for name, value in current_ids().items():
        record.setdefault(name, value)
    return record
