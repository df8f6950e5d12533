"""Compare a replica with the network: by digests first, and where these differ record by record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gossip_client import SyncComplete, SyncRecords, requests
from gossip_client.sync import Client
from sqlalchemy.exc import SQLAlchemyError

from backbone.errors import BackboneError, DatabaseFailed, sentence
from backbone.kinds import Kind, is_id
from backbone.migrations import reading
from backbone.records import digest, with_sorted_lists
from backbone.rows import iterate_records
from backbone.state import find_position
from backbone.store import Store

Records = dict[str, dict[int, dict[str, Any]]]


@dataclass(frozen=True)
class Difference:
    """A record that differs from the network's.

    Attributes:
        ours: The replica's record; None if it has none.
        theirs: The network's record; None if it has none.
    """

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
        theirs, ours = with_sorted_lists(self.theirs), with_sorted_lists(self.ours)
        fields = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
        return f"{name}: differs in {', '.join(fields) or 'fields that are null'}"


@dataclass(frozen=True)
class Report:
    """The result of a comparison.

    Attributes:
        cursor: The network's cursor at the comparison.
        counts: The network's number of records by kind.
        missed: How many records of the replica lack a change that it has not received yet. They do not count as
            differences.
        kinds: The kinds that differ.
        has_mended: The replica was changed to equal the network.
    """

    cursor: int
    counts: Mapping[str, int]
    missed: int
    differences: Sequence[Difference] = ()
    kinds: Sequence[str] = ()
    has_mended: bool = False

    @property
    def is_equal(self) -> bool:
        """Whether the replica has the network's records at the cursor."""
        return not self.kinds and not self.missed

    @property
    def is_behind(self) -> bool:
        """Whether the replica will be equal once it has received the changes that it misses."""
        return not self.kinds and self.missed > 0


def verify(store: Store, client: Client, *, mend: bool = False) -> Report:
    """Compare a replica, which may be running, with the network.

    Args:
        store: The replica's.
        client: Connected as an application with `sync=lambda: False`. Nothing else may take its events.
        mend: Make the replica equal to the network, in one transaction.

    Raises:
        DatabaseFailed: The database cannot be used.
        BackboneError: There is no complete replica, or a running one made it impossible to mend.
    """
    try:
        with reading(store.engine) as connection:
            position = find_position(connection, store.network)
            ours: Records = {
                kind.name: {record["id"]: record for record in iterate_records(connection, kind)}
                for kind in store.kinds.values()
            }
    except SQLAlchemyError as error:
        raise DatabaseFailed(f"the database cannot be read: {sentence(error)}") from error
    cursor = position.cursor if position else None
    if cursor is None:
        if not mend:
            raise BackboneError("there is no complete replica in this database yet: run the mirror first")
        cursor = 0
    events, complete = _ask(client, cursor)
    was_reset, missed = complete.is_reset, 0
    if not was_reset:
        stored = {name: dict(records) for name, records in ours.items()}
        for event in events:
            _overlay(ours, event)
        missed = sum(1 for _ in _compare(store, stored, ours))
        if _digests_match(ours, complete):
            if mend and missed:
                _apply(store, [*events, complete])
            return Report(complete.cursor, complete.counts, missed, has_mended=mend and missed > 0)
        events, complete = _ask(client, None)
    theirs: Records = {name: {} for name in store.kinds}
    for event in events:
        _overlay(theirs, event)
    differences = list(_compare(store, ours, theirs))
    kinds = sorted({difference.kind.name for difference in differences})
    if mend and (differences or was_reset):
        # A network without records sends only the sync/complete: an empty event begins the whole state.
        _apply(store, [*(events or [SyncRecords("channels", ())]), complete])
    return Report(complete.cursor, complete.counts, missed, differences, kinds, mend and bool(differences))


def _apply(store: Store, events: Sequence[SyncRecords | SyncComplete]) -> None:
    if not store.apply(events).is_complete:
        raise BackboneError("the replica could not be mended: is a mirror running on it? Stop it and try again")


def _ask(client: Client, since: int | None) -> tuple[list[SyncRecords], SyncComplete]:
    """Send a `sync` and return the events that answer it, without changes made meanwhile. Raises GossipError."""
    client.take(seconds=0)  # from now on the client drops no events
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
            raise BackboneError("the network's answer ended without sync/complete")


def _overlay(records: Records, event: SyncRecords) -> None:
    """Apply an event to records in memory."""
    by_id = records.get(event.kind)
    if by_id is None:
        return
    for record_id in event.deleted:
        by_id.pop(record_id, None)
    for record in event.records:
        if isinstance(record, dict) and is_id(record.get("id")):
            by_id[record["id"]] = record


def _digests_match(ours: Records, complete: SyncComplete) -> bool:
    """Whether our records have the digests that the network sent."""
    return all(
        digest(records[record_id] for record_id in sorted(records))[1] == complete.digests[name]
        for name, records in ours.items()
        if name in complete.digests
    )


def _compare(store: Store, ours: Records, theirs: Records) -> Iterator[Difference]:
    for kind in store.kinds.values():
        our_records, their_records = ours[kind.name], theirs[kind.name]
        for record_id in sorted(our_records.keys() | their_records.keys()):
            our, their = our_records.get(record_id), their_records.get(record_id)
            if our is None or their is None or with_sorted_lists(our) != with_sorted_lists(their):
                yield Difference(kind, record_id, our, their)
