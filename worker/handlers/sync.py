"""Sync, for network applications (docs/protocol.md, §8). The work is in `worker/network/replicas.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shared.protocol.sync import RequestSync
from worker.answers import ANSWERED

if TYPE_CHECKING:
    from worker.sockets.connection import Connection


def request_sync(connection: Connection, request: RequestSync, ref: msgspec.Raw | None) -> object:
    """Send the whole state, or the changes after a cursor; all answers carry the ref."""
    connection.worker.replicas.request(connection, request.since, ref)
    return ANSWERED
