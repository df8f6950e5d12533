"""Sync, for network applications (docs/protocol.md, §8). The work is in `worker/network/replicas.py`."""

from __future__ import annotations

import msgspec

from shared.protocol.sync import RequestSync
from worker.answers import ANSWERED
from worker.parts import Parts
from worker.sockets.connection import Connection


def request_sync(parts: Parts, connection: Connection, request: RequestSync, ref: msgspec.Raw | None) -> object:
    """Send the whole state, or the changes after a cursor. Every answer carries the ref."""
    parts.replicas.request(connection, request.since, ref)
    return ANSWERED
