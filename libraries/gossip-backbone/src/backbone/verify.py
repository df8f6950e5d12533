"""Is the replica equal to the network? By digests first; where they differ, record by record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gossip_client import SyncComplete, SyncRecords, requests
from gossip_client.sync import Client
from sqlalchemy.exc import SQLAlchemyError

from backbone.errors import BackboneError, DatabaseFailed, sentence
from backbone.kinds import Kind, is_id
from backbone.migrations import reading
from backbone.records import arranged, digest
from backbone.store import Store

Records = dict[str, dict[int, dict[str, Any]]]


@dataclass(frozen=True)
class Difference:
    """One record that is not as the network has it. ours, theirs: None where there is none."""

    kind: Kind
    id: int
    ours: Mapping[str, Any] | None
    theirs: Mapping[str, Any] | None

    def __str__(self) -> str:
        label = self.kind.label(self.theirs or self.ours or {})
        name = f"{self.kind.name} {self.id} {label}".rstrip()
        if self.ours is None:
            return f"{name}: missing here"
        if self.theirs is None:
            return f"{name}: gone from the network"
        theirs, ours = arranged(self.theirs), arranged(self.ours)
        fields = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
        return f"{name}: differs in {', '.join(fields) or 'fields that are null'}"


@dataclass(frozen=True)
class Report:
    """What was found. cursor: where the network was compared. missed: changes that the replica has not seen yet (they
    are no differences). kinds: those that differ. has_mended: the replica was made equal."""

    cursor: int
    counts: Mapping[str, int]
    missed: int
    differences: Sequence[Difference] = ()
    kinds: Sequence[str] = ()
    has_mended: bool = False
    checked: Sequence[str] = field(default=())

    @property
    def is_equal(self) -> bool:
        """Whether nothing differed."""
        return not self.kinds


def verify(store: Store, client: Client, *, mend: bool = False) -> Report:
    """Compare. client: connected as an application with `sync=lambda: False`, and read by nobody else.

    The replica may be running meanwhile. mend: make the replica what the network is, in one transaction.
    Raises DatabaseFailed, and BackboneError where there is no replica yet, or a running one is too quick to be mended.
    """
    try:
        with reading(store.engine) as connection:
            cursor = store._position(connection).cursor
            ours: Records = {
                kind.name: {record["id"]: record for record in store.records(connection, kind)}
                for kind in store.kinds.values()
            }
    except SQLAlchemyError as error:
        raise DatabaseFailed(f"the database cannot be read: {sentence(error)}") from error
    if cursor is None:
        if not mend:
            raise BackboneError("there is no complete replica in this database yet: run the mirror first")
        cursor = 0
    events, complete = _ask(client, cursor)
    is_whole = complete.is_reset
    missed = 0
    if not is_whole:
        for event in events:
            missed += len(event.records) + len(event.deleted)
            _overlay(ours, event)
        wrong = _wrong(store, ours, complete)
        if not wrong:
            return Report(complete.cursor, complete.counts, missed, checked=sorted(store.kinds))
        events, complete = _ask(client, None)
    theirs: Records = {name: {} for name in store.kinds}
    for event in events:
        _overlay(theirs, event)
    differences = list(_compare(store, ours, theirs))
    kinds = sorted({difference.kind.name for difference in differences})
    if mend and (differences or is_whole):
        applied = store.apply([*_start(events), complete])
        if not applied.is_complete:
            raise BackboneError("the replica could not be mended: is a mirror running on it? Stop it, and try again")
    return Report(complete.cursor, complete.counts, missed, differences, kinds, mend and bool(differences))


def _start(events: Sequence[SyncRecords]) -> Sequence[SyncRecords]:
    """A whole state's events; one without records where the network has none."""
    return events or [SyncRecords("channels", ())]


def _ask(client: Client, since: int | None) -> tuple[list[SyncRecords], SyncComplete]:
    """The events that answer a `sync`. Others (changes made meanwhile) are left out. Raises GossipError."""
    client.take(seconds=0)  # from now on nothing is dropped
    request = requests.sync(since)
    client.post(request)
    events: list[SyncRecords] = []
    while True:
        is_done = request.is_done
        taken = client.take(seconds=0.5)
        for event in taken:
            if isinstance(event, SyncRecords) and event.ref == request.ref:
                events.append(event)
            elif isinstance(event, SyncComplete) and event.ref == request.ref:
                return events, event
        if is_done and not taken:
            request.result()
            raise BackboneError("the network's answer had no end")


def _overlay(records: Records, event: SyncRecords) -> None:
    known = records.get(event.kind)
    if known is None:
        return
    for number in event.deleted:
        known.pop(number, None)
    for record in event.records:
        if isinstance(record, dict) and is_id(record.get("id")):
            known[record["id"]] = record


def _sorted(records: Mapping[int, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (records[number] for number in sorted(records))


def _wrong(store: Store, ours: Records, complete: SyncComplete) -> list[str]:
    """The kinds whose digest is not the network's."""
    return [
        name
        for name in store.kinds
        if name in complete.digests and digest(_sorted(ours[name]))[1] != complete.digests[name]
    ]


def _compare(store: Store, ours: Records, theirs: Records) -> Iterator[Difference]:
    for kind in store.kinds.values():
        mine, true = ours[kind.name], theirs[kind.name]
        for number in sorted(mine.keys() | true.keys()):
            here, there = mine.get(number), true.get(number)
            if here is None or there is None or arranged(here) != arranged(there):
                yield Difference(kind, number, here, there)
