"""One transaction's worth of sync events."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gossip_client import SyncComplete, SyncRecords
from sqlalchemy import Connection, literal, select

from backbone.changes import Action, Applied, Change
from backbone.kinds import Kind, is_id
from backbone.records import digest
from backbone.rows import (
    Deletes,
    count_records,
    delete_rows,
    is_empty,
    iterate_records,
    list_live_ids,
    read_rows,
    write_rows,
)
from backbone.state import Position, create_position, find_position, lock_position, update_position

_log = logging.getLogger("backbone")


@dataclass(frozen=True)
class Memory:
    """What one batch leaves for the next.

    Attributes:
        seen_ids: While a whole state arrives, the ids received so far, by kind; otherwise None.
        empty_kinds: The kinds that had no rows when the whole state began.
        cursor: The last committed cursor.
        has_empty_text: Whether the database keeps an empty text apart from NULL; None before the first batch.
    """

    seen_ids: dict[str, set[int]] | None = None
    empty_kinds: frozenset[str] = frozenset()
    cursor: int | None = None
    has_empty_text: bool | None = None


class Batch:
    """Applies events within one transaction. Rows are written late, many at once.

    Args:
        connection: In the transaction, which has executed nothing yet: the first statement locks the state's row.
        memory: Of the last committed batch.
        kinds: By name. Events of other kinds only move the cursor.
        network: The network's name in the database.
        deletes: What a delete does to the row.
        checks_digests: Compare digests at each `sync/complete` that ends no whole state.
        wants_changes: Collect the changes.
    """

    def __init__(
        self,
        connection: Connection,
        memory: Memory,
        *,
        kinds: Mapping[str, Kind],
        network: str,
        deletes: Deletes,
        checks_digests: bool,
        wants_changes: bool,
    ) -> None:
        self._connection = connection
        self._kinds = kinds
        self._network = network
        self._deletes = deletes
        self._checks_digests = checks_digests
        self._wants_changes = wants_changes
        self._seen_ids = memory.seen_ids
        self._empty_kinds = memory.empty_kinds
        self._changes: list[Change] = []
        self._live_changes: list[Change] = []
        self._is_complete = self._needs_whole_state = False
        self._record_count = 0
        self._complete: SyncComplete | None = None
        self._pending: dict[str, dict[int, dict[str, Any] | None]] = {}
        self._now = datetime.now(UTC)

        lock_position(connection, network)
        position = find_position(connection, network)
        if position is None:
            create_position(connection, network)
        self._has_empty_text = memory.has_empty_text
        if self._has_empty_text is None:
            self._has_empty_text = connection.scalar(select(literal(""))) == ""
        self._stored_cursor = (position or Position()).cursor
        self._cursor = self._stored_cursor
        if (
            memory.cursor is not None
            and self._seen_ids is None
            and (self._cursor is None or self._cursor < memory.cursor)
        ):
            # The changes in between will not come again.
            _log.warning("another program has set the replica back: asking for the whole state")
            self._cursor = None
            self._needs_whole_state = True

    def apply(self, events: Iterable[SyncRecords | SyncComplete]) -> Applied:
        """Apply all events of the batch, and write the cursor."""
        for event in events:
            if isinstance(event, SyncComplete):
                self._finish(event)
            else:
                self._add(event)
        self._write_pending()
        if self._cursor != self._stored_cursor or self._is_complete:
            values: dict[str, Any] = {"cursor": self._cursor, "changed_at": self._now}
            if self._is_complete and self._complete is not None:
                values |= {"kinds": sorted(self._kinds), "counts": dict(self._complete.counts)}
            update_position(self._connection, self._network, **values)
        return Applied(
            self._changes,
            self._cursor,
            self._is_complete,
            self._needs_whole_state,
            self._record_count,
            self._complete,
            self._live_changes,
        )

    def memory(self) -> Memory:
        """Return what the next batch needs, once this one is committed."""
        return Memory(self._seen_ids, self._empty_kinds, self._cursor, self._has_empty_text)

    def _add(self, event: SyncRecords) -> None:
        self._record_count += len(event.records) + len(event.deleted)
        if event.cursor is None:
            self._begin_whole_state()
        elif self._cursor is not None:
            if event.cursor <= self._cursor and self._seen_ids is None:
                return  # already applied
            self._cursor = max(self._cursor, event.cursor)
        if event.kind not in self._kinds:
            return
        pending = self._pending.setdefault(event.kind, {})
        for record_id in filter(is_id, event.deleted):
            pending[record_id] = None
        for record in event.records:
            number = record.get("id") if isinstance(record, dict) else None
            if not is_id(number):
                _log.error("ignoring a record of %s without a usable id: %r", event.kind, number)
                continue
            pending[number] = record
            if self._seen_ids is not None and event.cursor is None:
                self._seen_ids.setdefault(event.kind, set()).add(number)

    def _begin_whole_state(self) -> None:
        """Clear the cursor: until its `sync/complete` the replica matches no state that the network ever had."""
        if self._seen_ids is None:
            self._write_pending()
            self._seen_ids = {}
            self._cursor = None
            self._empty_kinds = frozenset(
                kind.name for kind in self._kinds.values() if is_empty(self._connection, kind)
            )

    def _finish(self, complete: SyncComplete) -> None:
        self._write_pending()
        self._complete = complete
        if self._seen_ids is not None or complete.is_reset or _has_no_records(complete):
            self._needs_whole_state = False
            self._delete_unseen(self._seen_ids or {})
            self._seen_ids = None
            self._empty_kinds = frozenset()
            self._cursor = complete.cursor
            self._is_complete = True
            for kind in self._kinds.values():
                announced = complete.counts.get(kind.name)
                if announced is not None and announced != (count := count_records(self._connection, kind)):
                    _log.error("the whole state held %d %s instead of %d", count, kind.name, announced)
        elif self._cursor is None:
            self._needs_whole_state = True
        else:
            self._cursor = max(self._cursor, complete.cursor)
            different = self._differing_kinds(complete) if self._checks_digests else []
            if different:
                _log.warning("%s differ from the network's: asking for the whole state", " and ".join(different))
            self._is_complete = not different
            self._needs_whole_state = self._needs_whole_state or bool(different)

    def _differing_kinds(self, complete: SyncComplete) -> list[str]:
        """Return the kinds whose records differ from the network's."""
        different = []
        for name, kind in self._kinds.items():
            if name in complete.digests:
                count, value = digest(iterate_records(self._connection, kind))
                if (count, value) != (complete.counts.get(name, count), complete.digests[name]):
                    different.append(name)
        return different

    def _delete_unseen(self, seen_ids: Mapping[str, set[int]]) -> None:
        """Delete the records that a whole state did not contain."""
        for kind in self._kinds.values():
            if kind.name not in self._empty_kinds:
                seen = seen_ids.get(kind.name, set())
                unseen = [record_id for record_id in list_live_ids(self._connection, kind) if record_id not in seen]
                self._pending[kind.name] = dict.fromkeys(unseen)
        self._write_pending()

    def _write_pending(self) -> None:
        pending, self._pending = self._pending, {}
        for name, records in pending.items():
            self._write_kind(self._kinds[name], records)

    def _write_kind(self, kind: Kind, records: Mapping[int, dict[str, Any] | None]) -> None:
        """Write records by id; None deletes the record."""
        old_rows = {} if kind.name in self._empty_kinds else read_rows(self._connection, kind, list(records))
        new_rows, deleted = [], []
        for record_id, record in records.items():
            old = old_rows.get(record_id)
            live = old if old is not None and old["deleted_at"] is None else None
            if record is None:
                if live is not None:
                    deleted.append(record_id)
                    self._note(kind, record_id, None, live)
                continue
            row = kind.row(record, has_empty_text=self._has_empty_text is not False)
            if live is None or row != live or not kind.is_same(row, live):
                new_rows.append(row)
                self._note(kind, record_id, record, live)
        if deleted:
            delete_rows(self._connection, kind, deleted, deletes=self._deletes, now=self._now)
        if new_rows:
            write_rows(self._connection, kind, new_rows, existing_ids=set(old_rows))

    def _note(
        self, kind: Kind, record_id: int, record: dict[str, Any] | None, old_row: Mapping[str, Any] | None
    ) -> None:
        """Collect a change."""
        if not self._wants_changes:
            return
        before = None if old_row is None else kind.record(old_row)
        action: Action = "deleted" if record is None else "created" if before is None else "updated"
        change = Change(kind, action, record_id, record, before)
        self._changes.append(change)
        if self._seen_ids is None:
            self._live_changes.append(change)


def _has_no_records(complete: SyncComplete) -> bool:
    """Whether the network has no records, so that its whole state is this event alone."""
    return bool(complete.counts) and not any(complete.counts.values())
