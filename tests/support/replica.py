"""A replica of an application, which builds its records from frames. Shares no code with the server.

It checks everything that docs/protocol.md, section 8, says about the frames.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

Frame = dict[str, Any]
Records = dict[int, dict[str, Any]]

KINDS = ("channels", "games")
FIELDS = {
    "channels": {"id", "name", "description", "hidden"},
    "games": {
        "id",
        "game",
        "display_name",
        "display",
        "description",
        "homepage_url",
        "user_agent",
        "user_agent_url",
        "connections",
        "allow_character_registration",
        "redirect_uris",
    },
}
RECORDS_PER_EVENT = 10


def digest(records: Records) -> str:
    """Return the SHA-256 of each record's canonical JSON and a newline, by ascending id."""
    text = "".join(
        json.dumps(records[number], sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
        for number in sorted(records)
    )
    return hashlib.sha256(text.encode()).hexdigest()


class Replica:
    """The records of every kind, and the last cursor."""

    def __init__(self) -> None:
        self.records: dict[str, Records] = {kind: {} for kind in KINDS}
        self.cursor: int | None = None
        self._state: dict[str, Records] | None = None
        self._last: tuple[int, int] = (-1, 0)

    def expect_state(self) -> None:
        """Expect a whole state, which replaces all records."""
        self._state = {kind: {} for kind in KINDS}
        self._last = (-1, 0)

    def expect_changes(self) -> None:
        """Expect changes since the cursor. Forgets a whole state that was not completed."""
        self._state = None

    def apply(self, frame: Frame) -> None:
        """Apply a frame of `sync`. Ignores other frames."""
        event = frame["event"]
        if event in ("sync/channels", "sync/games"):
            self._apply_records(event.removeprefix("sync/"), frame["payload"])
        elif event == "sync/complete":
            self._complete(frame["payload"])

    def check(self, complete: Frame) -> None:
        """Check that the counts and digests of a `sync/complete` are those of the records."""
        assert complete["counts"] == {kind: len(records) for kind, records in self.records.items()}
        assert complete["digests"] == {kind: digest(records) for kind, records in self.records.items()}

    def _apply_records(self, kind: str, payload: dict[str, Any]) -> None:
        assert set(payload) <= {kind, "deleted", "cursor"}, payload
        records = payload.get(kind, [])
        deleted = payload.get("deleted", [])
        assert len(records) <= RECORDS_PER_EVENT and len(deleted) <= RECORDS_PER_EVENT
        assert records or deleted, "an empty event"
        for record in records:
            assert set(record) == FIELDS[kind], set(record) ^ FIELDS[kind]
        if "cursor" in payload:
            assert self.cursor is None or payload["cursor"] > self.cursor or self._state is not None, payload
            for number in deleted:
                self.records[kind].pop(number, None)
            for record in records:
                self.records[kind][record["id"]] = record
            self.cursor = payload["cursor"]
            return
        # Part of a whole state: channels, then games, each by ascending id, and no deletes.
        assert not deleted
        if self._state is None:
            self.expect_state()
        assert self._state is not None
        for record in records:
            position = (KINDS.index(kind), record["id"])
            assert position > self._last, f"{position} after {self._last}"
            self._last = position
            self._state[kind][record["id"]] = record

    def _complete(self, payload: dict[str, Any]) -> None:
        assert set(payload) <= {"cursor", "counts", "digests", "reset"}
        if self._state is not None:
            self.records, self._state = self._state, None
        else:
            assert self.cursor is None or payload["cursor"] >= self.cursor
        self.cursor = payload["cursor"]
        self.check(payload)
