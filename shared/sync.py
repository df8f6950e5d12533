"""The log of changes: hooks on every session that write a version for each synced record that a transaction changed.

Services do not write the log, so none can forget to. Each flush collects the synced records that were touched, directly
or through a row that belongs to them. At the outermost commit the hook locks the counter row, **then** reads each
touched record again and compares it with the last version logged. Where they differ, it writes a version. Therefore:

- cursors appear in the order of their numbers: a reader that sees N sees everything up to N;
- a version includes what others have committed meanwhile;
- a rolled-back savepoint, a change of an unsynced column, or a record created and deleted again leaves no version.

Importing this module installs the hooks; `shared.models` does so. The reasons are in
docs/decisions/0001-version-log.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Table, bindparam, event, insert, inspect, select, update
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction

from shared.bus import announce
from shared.db import Base, utc_now
from shared.models.synced import KINDS, Synced, SyncedPart
from shared.models.version import Counter, Version
from shared.outermost_commit import is_outermost_commit
from shared.protocol.sync import canonical_json
from shared.signals import VersionsLogged

_TOUCHED = "sync_touched"
_BATCH = 500
_T = TypeVar("_T")


class BulkWriteRefused(RuntimeError):
    """A bulk statement would have changed synced records without the hooks noticing."""


@event.listens_for(Session, "after_flush")
def _collect(session: Session, _context: UOWTransaction) -> None:
    touched: set[Any] = session.info.setdefault(_TOUCHED, set())
    for record in (*session.new, *session.dirty, *session.deleted):
        if isinstance(record, Synced):
            touched.add((record.sync_kind, record.id))
        elif isinstance(record, SyncedPart):
            touched.update(record.synced_owners())


@event.listens_for(Session, "before_commit")
def _write_versions(session: Session) -> None:
    if not is_outermost_commit(session):
        return  # only a savepoint ends
    session.flush()
    touched = _resolve(session, session.info.pop(_TOUCHED, set()))
    if not touched:
        return
    counter = session.execute(
        select(Counter.value).where(Counter.name == Counter.VERSIONS).with_for_update()
    ).scalar_one()
    cursor = counter
    for kind, ids in touched.items():
        for batch in _batches(sorted(ids), _BATCH):
            cursor = _write_batch(session, kind, batch, cursor)
    if cursor != counter:
        session.execute(update(Counter).where(Counter.name == Counter.VERSIONS).values(value=cursor))
        announce(session, VersionsLogged(cursor))


def _resolve(session: Session, touched: set[Any]) -> dict[str, set[int]]:
    """Return the touched ids by kind, in the order of KINDS."""
    ids: dict[str, set[int]] = defaultdict(set)
    for kind, owner in touched:
        if isinstance(owner, int):
            ids[kind].add(owner)
        elif owner is not None:
            ids[kind].update(session.scalars(owner))
    return {kind: ids[kind] for kind in KINDS if ids[kind]}


def _write_batch(session: Session, kind: str, ids: Sequence[int], cursor: int) -> int:
    """Log the changes of records of one kind, and return the new cursor. The caller has locked the counter row."""
    model: Any = KINDS[kind]
    records = {
        record.id: canonical_json(record.sync_payload()).decode()
        for record in session.scalars(select(model).where(model.id.in_(ids)).execution_options(populate_existing=True))
    }
    logged = {
        row.record_id: row
        for row in session.execute(
            select(Version.id, Version.record_id, Version.action, Version.record).where(
                Version.kind == kind, Version.record_id.in_(ids), Version.superseded_by.is_(None)
            )
        )
    }
    superseded, versions = [], []
    for record_id in ids:
        last = logged.get(record_id)
        logged_form = last.record if last is not None else None
        form = records.get(record_id)
        if form == logged_form:
            continue
        cursor += 1
        if last is not None:
            superseded.append({"old": last.id, "new": cursor})
        action = "deleted" if form is None else "created" if logged_form is None else "updated"
        versions.append(
            {
                "id": cursor,
                "kind": kind,
                "record_id": record_id,
                "action": action,
                "record": form,
                "created_at": utc_now(),
            }
        )
    if superseded:
        connection = session.connection()
        connection.execute(
            update(Version).where(Version.id == bindparam("old")).values(superseded_by=bindparam("new")),
            superseded,
        )
    if versions:
        session.execute(insert(Version), versions)
    return cursor


@event.listens_for(Session, "after_transaction_end")
def _forget(session: Session, transaction: Any) -> None:
    if transaction.parent is None:
        session.info.pop(_TOUCHED, None)


@event.listens_for(Session, "do_orm_execute")
def _refuse_bulk_writes(state: ORMExecuteState) -> None:
    if not (state.is_insert or state.is_update or state.is_delete):
        return
    table = getattr(state.statement, "table", None)
    if isinstance(table, Table) and table.name in synced_tables():
        raise BulkWriteRefused(f"change {table.name} through its models: a bulk statement would leave no version")


def synced_tables() -> set[str]:
    """Return the names of the tables whose rows are, or belong to, synced records."""
    return {
        str(inspect(mapper.class_).local_table.name)
        for mapper in Base.registry.mappers
        if issubclass(mapper.class_, (Synced, SyncedPart))
    }


def _batches(items: Sequence[_T], size: int) -> Iterator[list[_T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
