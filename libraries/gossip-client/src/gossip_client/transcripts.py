"""Recordings of what a client and a server said: JSON lines, one for each message, as tests/transcripts/ has them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from gossip_client.errors import GossipError


@dataclass(frozen=True)
class Entry:
    """One line of a recording.

    Attributes:
        connection: The number of the connection within the recording.
        is_client: Whether the client did it.
        kind: `open`, `text`, `ping`, `pong`, `close`, `eof`, `handshake` or `refused`.
        data: The text of a message, or the payload of a ping.
        code: The code of a close frame, if it had one.
    """

    connection: int
    is_client: bool
    kind: str
    data: str = ""
    code: int | None = None
    reason: str = ""


class Recorder:
    """Writes a recording. May be called from any thread."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._began_at = time.monotonic()
        self._lock = threading.Lock()

    def note(self, connection: int, direction: str, kind: str, **fields: Any) -> None:
        """Write a line.

        Args:
            direction: `client` or `server`.
        """
        at = round(time.monotonic() - self._began_at, 3)
        line = json.dumps({"at": at, "conn": connection, "dir": direction, "kind": kind, **fields})
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()


def read_recording(path: Path) -> Iterator[Entry]:
    """Yield the entries of a recording, in order.

    Raises:
        GossipError: The file cannot be read, or is not a recording.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _entry(line, number, path)
    except (OSError, UnicodeDecodeError) as error:
        raise GossipError(f"{path} cannot be read: {error}") from None


def _entry(line: str, number: int, path: Path) -> Entry:
    try:
        values = json.loads(line)
        code = values.get("code")
        return Entry(
            connection=int(values["conn"]),
            is_client={"client": True, "server": False}[values["dir"]],
            kind=str(values["kind"]),
            data=str(values.get("data") or ""),
            code=code if isinstance(code, int) else None,
            reason=str(values.get("reason") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise GossipError(f"{path}, line {number}: this is not a recording") from None
