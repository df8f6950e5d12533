"""The replica's rows: what is read of them, and how events of the sync change them, each with its cursor in one
transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from gossip_client import SyncComplete, SyncRecords
from sqlalchemy import Connection, Engine, Table, delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from backbone.errors import DatabaseFailed, HookFailed, WrongNetwork, may_pass, sentence
from backbone.kinds import Kind, is_id
from backbone.migrations import reading, writing
from backbone.models import Record, State
from backbone.records import digest
from backbone.upsert import Upsert

Action = Literal["created", "updated", "deleted"]
Deletes = Literal["remove", "tombstones"]
_CHUNK = 500  # ids in one statement
_state = cast(Table, State.__table__)
_log = logging.getLogger("backbone")


@dataclass(frozen=True)
class Change:
    """What happened to one record. record: as it is now, None when deleted. before: as it was, None when created."""

    kind: Kind
    action: Action
    id: int
    record: dict[str, Any] | None
    before: dict[str, Any] | None

    @property
    def fields(self) -> list[str]:
        """The names of the fields that changed."""
        old, new = self.before or {}, self.record or {}
        return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))

    @property
    def label(self) -> str:
        """What a person calls the record."""
        return self.kind.label(self.record or self.before or {})

    def get(self, session: Session) -> Record | None:
        """The model's object; None when the row was removed."""
        return session.get(self.kind.model, self.id)


@dataclass(frozen=True)
class Position:
    """How far the replica is. cursor: None where it is not complete. kinds, counts: see `backbone.models.State`."""

    cursor: int | None
    kinds: frozenset[str]
    counts: dict[str, int]
    changed_at: datetime | None = None


@dataclass(frozen=True)
class Applied:
    """What a batch did. is_complete: a `sync/complete` was in it, and the replica is whole at its cursor.

    is_lacking: the replica is found not to be whole, or not equal: the whole state is needed. records: how many
    records and deletes the batch held. news: those of the changes that came by themselves, not with a whole state.
    """

    changes: Sequence[Change]
    cursor: int | None
    is_complete: bool
    is_lacking: bool
    records: int
    complete: SyncComplete | None = None
    news: Sequence[Change] = ()


Hook = Callable[[Session, Change], object]


class Store:
    """The rows of one replica. One thread at a time."""

    def __init__(
        self,
        engine: Engine,
        kinds: Iterable[Kind],
        *,
        network: str = "default",
        deletes: Deletes = "remove",
        checks_digests: bool = True,
    ) -> None:
        self.engine = engine
        self.kinds: dict[str, Kind] = {}
        for kind in kinds:
            self.register(kind)
        self.network = network
        self.deletes = deletes
        self.checks_digests = checks_digests
        self.hooks: dict[tuple[str, Action], list[Hook]] = {}
        self.wants_changes = False
        self.has_empty_text: bool | None = None
        self._seen: dict[str, set[int]] | None = None
        self._empty: set[str] = set()
        self._known: int | None = None

    def register(self, kind: Kind) -> None:
        """Keep a kind of records. Raises TypeError where a column of it would change values on this database."""
        kind.check(self.engine.dialect)
        self.kinds[kind.name] = kind

    # Reading

    def position(self) -> Position:
        """Where the replica stands. Raises DatabaseFailed, WrongNetwork."""
        try:
            with reading(self.engine) as connection:
                return self._position(connection)
        except SQLAlchemyError as error:
            raise DatabaseFailed(f"the database cannot be read: {sentence(error)}") from error

    def _position(self, connection: Connection) -> Position:
        return self._kept_position(connection) or Position(None, frozenset(), {})

    def _kept_position(self, connection: Connection) -> Position | None:
        rows = connection.execute(select(_state)).mappings().all()
        mine = next((row for row in rows if row["network"] == self.network), None)
        if mine is None:
            if rows:
                raise WrongNetwork(f"this database holds the network {rows[0]['network']!r}, not {self.network!r}")
            return None
        when = mine["changed_at"]
        if when is not None:  # some databases give it in a zone of their own, others without one
            when = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
        return Position(mine["cursor"], frozenset(mine["kinds"] or ()), mine["counts"] or {}, when)

    def since(self) -> int | None:
        """The cursor to resume after; None where the whole state is needed."""
        position = self.position()
        return position.cursor if self.kinds.keys() <= position.kinds else None

    def records(self, connection: Connection, kind: Kind) -> Iterator[dict[str, Any]]:
        """All live records of a kind, by ascending id."""
        query = select(kind.table).where(kind.table.c.deleted_at.is_(None)).order_by(kind.table.c.id)
        for row in connection.execute(query, execution_options={"yield_per": 1000}).mappings():
            yield kind.record({**row})

    def counts(self) -> dict[str, int]:
        """How many live records there are, by kind."""
        with reading(self.engine) as connection:
            return {
                kind.name: connection.scalar(
                    select(func.count()).select_from(kind.table).where(kind.table.c.deleted_at.is_(None))
                )
                or 0
                for kind in self.kinds.values()
            }

    def differing(self, connection: Connection, complete: SyncComplete) -> list[str]:
        """The kinds whose records are not those of the network at this cursor."""
        different = []
        for kind in self.kinds.values():
            if kind.name in complete.digests:
                count, value = digest(self.records(connection, kind))
                if (count, value) != (complete.counts.get(kind.name, count), complete.digests[kind.name]):
                    different.append(kind.name)
        return different

    # Applying

    def start_over(self) -> None:
        """The connection is new: a whole state that was under way comes again from its beginning."""
        self._seen = None

    def apply(self, events: Sequence[SyncRecords | SyncComplete]) -> Applied:
        """Apply events in their order, and move the cursor, in one transaction.

        Raises DatabaseFailed or HookFailed: then nothing was applied, and the same events may be given again.
        """
        batch = _Batch(self, self._seen, set(self._empty), self._known)
        try:
            with writing(self.engine) as connection:
                batch.begin(connection)
                for event in events:
                    batch.add(event)
                batch.end()
                changes = batch.changes
                if self.hooks:
                    self._run_hooks(connection, changes)
        except IntegrityError as error:
            raise DatabaseFailed(
                f"the database refuses a change: {sentence(error)}; "
                'where rows of yours refer to deleted records, use deletes="tombstones"'
            ) from error
        except SQLAlchemyError as error:
            raise DatabaseFailed(f"the database cannot be written: {sentence(error)}") from error
        except UnicodeEncodeError as error:  # of the driver: every text that has no UTF-8 is kept beside
            raise DatabaseFailed(
                f"the connection to the database is of {error.encoding}, which has not every letter: "
                "use UTF-8 (PostgreSQL: a database of that encoding; MySQL and MariaDB: ?charset=utf8mb4)"
            ) from error
        self._seen, self._empty, self._known = batch.seen, batch.empty, batch.cursor
        return Applied(
            changes, batch.cursor, batch.is_complete, batch.is_lacking, batch.records, batch.complete, batch.news
        )

    def _run_hooks(self, connection: Connection, changes: Sequence[Change]) -> None:
        with Session(bind=connection, join_transaction_mode="rollback_only") as session:
            for change in changes:
                for hook in self.hooks.get((change.kind.name, change.action), ()):
                    try:
                        hook(session, change)
                        session.flush()
                    except Exception as error:
                        if isinstance(error, SQLAlchemyError) and may_pass(error):
                            raise
                        name = getattr(hook, "__name__", repr(hook))
                        raise HookFailed(f"the hook {name} failed: {error!r}") from error
            session.commit()


class _Batch:
    """One transaction's worth of events."""

    def __init__(self, store: Store, seen: dict[str, set[int]] | None, empty: set[str], known: int | None) -> None:
        self.store = store
        self.known = known
        self.seen = seen
        self.empty = empty
        self.changes: list[Change] = []
        self.news: list[Change] = []
        self.is_complete = self.is_lacking = False
        self.records = 0
        self.cursor: int | None = None
        self.complete: SyncComplete | None = None
        self._waiting: dict[str, dict[int, dict[str, Any] | None]] = {}
        self._now = datetime.now(UTC)

    def begin(self, connection: Connection) -> None:
        """Take the lock on the state's row, and see where the replica stands."""
        self.connection = connection
        # It is not asked how many rows that changed: MySQL counts none that was so already, unless it is told to.
        self._update_state(network=self.store.network)
        position = self.store._kept_position(connection)
        if position is None:
            try:
                connection.execute(insert(_state).values(network=self.store.network, kinds=[], counts={}))
            except IntegrityError as error:
                raise DatabaseFailed("another program has just begun a replica in this database") from error
        self.position = position or Position(None, frozenset(), {})
        if self.store.has_empty_text is None:
            self.store.has_empty_text = connection.scalar(select(literal(""))) == ""
        self.cursor = self.position.cursor
        if self.known is not None and self.seen is None and (self.cursor is None or self.cursor < self.known):
            # Another program has set the replica back, to before what this one has applied and will not get again.
            _log.warning("the replica was set back by another program: asking for the whole state")
            self.cursor = None
            self.is_lacking = True

    def add(self, event: SyncRecords | SyncComplete) -> None:
        """Take in an event; rows are written later, many at once."""
        if isinstance(event, SyncComplete):
            self._finish_state(event)
            return
        self.records += len(event.records) + len(event.deleted)
        if event.cursor is None:
            self._begin_state()
        elif self.cursor is not None:
            if event.cursor <= self.cursor and self.seen is None:
                return  # applied before
            self.cursor = max(self.cursor, event.cursor)
        kind = self.store.kinds.get(event.kind)
        if kind is None:
            return
        waiting = self._waiting.setdefault(kind.name, {})
        for number in filter(is_id, event.deleted):
            waiting[number] = None
        for record in event.records:
            identity = record.get("id") if isinstance(record, dict) else None
            if not is_id(identity):
                _log.error("a record of %s without a usable id is ignored: %r", kind.name, identity)
                continue
            waiting[identity] = record
            if self.seen is not None and event.cursor is None:
                self.seen.setdefault(kind.name, set()).add(identity)

    def end(self) -> None:
        """Write what is left, and the cursor."""
        self._write()
        if self.cursor != self.position.cursor or self.is_complete:
            values: dict[str, Any] = {"cursor": self.cursor, "changed_at": self._now}
            if self.is_complete and self.complete is not None:
                values |= {"kinds": sorted(self.store.kinds), "counts": dict(self.complete.counts)}
            self._update_state(**values)

    def _update_state(self, **values: Any) -> None:
        self.connection.execute(update(_state).where(_state.c.network == self.store.network).values(**values))

    def _begin_state(self) -> None:
        """From here until its `sync/complete` the replica is no state of the network: it has no cursor."""
        if self.seen is None:
            self._write()
            self.seen = {}
            self.cursor = None
            self.empty = {
                kind.name
                for kind in self.store.kinds.values()
                if self.connection.execute(select(kind.table.c.id).limit(1)).first() is None
            }

    def _finish_state(self, complete: SyncComplete) -> None:
        self._write()
        self.complete = complete
        is_whole = self.seen is not None or complete.is_reset or _is_empty(complete)
        if is_whole:
            self.is_lacking = False
            self.seen = self.seen or {}
            self._sweep(self.seen)
            self.seen = None
            self.empty = set()
            self.cursor = complete.cursor
            self.is_complete = True
            lacking = [
                name
                for name, count in self._counts().items()
                if name in complete.counts and complete.counts[name] != count
            ]
            if lacking:
                _log.error("the whole state did not hold as many %s as it said", " and ".join(lacking))
        elif self.cursor is None:
            self.is_lacking = True
        else:
            self.cursor = max(self.cursor, complete.cursor)
            self.is_complete = True
            if self.store.checks_digests and (different := self.store.differing(self.connection, complete)):
                _log.warning("%s differ from the network's: asking for the whole state", " and ".join(different))
                self.is_complete = False
                self.is_lacking = True

    def _counts(self) -> dict[str, int]:
        return {
            kind.name: self.connection.scalar(
                select(func.count()).select_from(kind.table).where(kind.table.c.deleted_at.is_(None))
            )
            or 0
            for kind in self.store.kinds.values()
        }

    def _sweep(self, seen: dict[str, set[int]]) -> None:
        """Drop what a whole state left out."""
        for kind in self.store.kinds.values():
            if kind.name in self.empty:
                continue  # nothing was there before
            live = kind.table.c.deleted_at.is_(None)
            there = self.connection.scalars(select(kind.table.c.id).where(live))
            gone = [number for number in there if number not in seen.get(kind.name, ())]
            if gone:
                self._waiting[kind.name] = dict.fromkeys(gone)
        self._write()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for name, records in waiting.items():
            self._write_kind(self.store.kinds[name], records)

    def _change(self, change: Change) -> None:
        self.changes.append(change)
        if self.seen is None:
            self.news.append(change)

    def _write_kind(self, kind: Kind, records: dict[int, dict[str, Any] | None]) -> None:
        is_new = kind.name in self.empty
        old = {} if is_new else self._rows(kind, list(records))
        rows, gone = [], []
        tells = self.store.wants_changes or bool(self.store.hooks)
        for number, record in records.items():
            before = old.get(number)
            is_there = before is not None and before["deleted_at"] is None
            if record is None:
                if is_there:
                    gone.append(number)
                    if tells and before is not None:
                        self._change(Change(kind, "deleted", number, None, kind.record(before)))
                continue
            row = kind.row(record, has_empty_text=self.store.has_empty_text is not False)
            if before is not None and is_there and row == before and kind.is_same(row, before):
                continue
            rows.append(row)
            if tells:
                known = kind.record(before) if before is not None and is_there else None
                self._change(Change(kind, "updated" if known else "created", number, record, known))
        if gone:
            self._delete(kind, gone)
        if rows:
            self._upsert(kind, rows, {number for number in old})

    def _rows(self, kind: Kind, numbers: list[int]) -> dict[int, dict[str, Any]]:
        found = {}
        for start in range(0, len(numbers), _CHUNK):
            query = select(kind.table).where(kind.table.c.id.in_(numbers[start : start + _CHUNK]))
            for row in self.connection.execute(query).mappings():
                found[row["id"]] = dict(row)
        return found

    def _delete(self, kind: Kind, numbers: list[int]) -> None:
        for start in range(0, len(numbers), _CHUNK):
            chosen = kind.table.c.id.in_(numbers[start : start + _CHUNK])
            if self.store.deletes == "tombstones":
                self.connection.execute(update(kind.table).where(chosen).values(deleted_at=self._now))
            else:
                self.connection.execute(delete(kind.table).where(chosen))

    def _upsert(self, kind: Kind, rows: list[dict[str, Any]], there: set[int]) -> None:
        names = [name for name in rows[0] if name != "id"]
        if upsert := Upsert.of(kind, self.connection):
            upsert.execute(self.connection, rows)
            return
        new = [row for row in rows if row["id"] not in there]
        if new:
            self.connection.execute(insert(kind.table), new)
        for row in rows:
            if row["id"] in there:
                values = {name: row[name] for name in names}
                self.connection.execute(update(kind.table).where(kind.table.c.id == row["id"]).values(values))


def _is_empty(complete: SyncComplete) -> bool:
    """Whether the whole network has nothing, so that its state came without any records."""
    return bool(complete.counts) and not any(complete.counts.values())
