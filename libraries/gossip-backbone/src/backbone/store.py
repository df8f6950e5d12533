"""The rows of one replica: reads them, and applies sync events to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gossip_client import SyncComplete, SyncRecords
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from backbone.batch import Batch, Memory
from backbone.changes import Action, Applied, Change, Hook
from backbone.errors import DatabaseFailed, HookFailed, is_temporary, sentence
from backbone.kinds import Kind
from backbone.migrations import reading, writing
from backbone.rows import Deletes, count_records
from backbone.state import Position, find_position


class Store:
    """The rows of one replica. Used by one thread at a time.

    Args:
        engine: Of the host's database, migrated.
        kinds: The kinds to store.
        network: The network's name in the database.
        deletes: "remove" the rows of deleted records, or keep them as "tombstones".
        checks_digests: Compare digests with the network's after each resume.

    Attributes:
        hooks: The hooks by kind and action.
        wants_changes: Collect changes in `apply` even without hooks.
    """

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
        self._memory = Memory()

    def register(self, kind: Kind) -> None:
        """Store another kind. Raises TypeError if a column of it would change values on this database."""
        kind.check(self.engine.dialect)
        self.kinds[kind.name] = kind

    def position(self) -> Position:
        """Return how far the replica has got. Raises DatabaseFailed, WrongNetwork."""
        try:
            with reading(self.engine) as connection:
                return find_position(connection, self.network) or Position()
        except SQLAlchemyError as error:
            raise DatabaseFailed(f"the database cannot be read: {sentence(error)}") from error

    def since(self) -> int | None:
        """Return the cursor to resume from; None if the whole state is needed."""
        position = self.position()
        return position.cursor if self.kinds.keys() <= position.kinds else None

    def counts(self) -> dict[str, int]:
        """Return the number of live records by kind."""
        with reading(self.engine) as connection:
            return {kind.name: count_records(connection, kind) for kind in self.kinds.values()}

    def start_over(self) -> None:
        """Forget a whole state in progress: a new connection sends it again from the beginning."""
        self._memory = replace(self._memory, seen_ids=None)

    def apply(self, events: Sequence[SyncRecords | SyncComplete]) -> Applied:
        """Apply events in order and move the cursor, in one transaction.

        Raises:
            DatabaseFailed: Nothing was applied; the caller may try the same events again.
            HookFailed: A hook raised an error. Nothing was applied.
        """
        try:
            with writing(self.engine) as connection:
                batch = Batch(
                    connection,
                    self._memory,
                    kinds=self.kinds,
                    network=self.network,
                    deletes=self.deletes,
                    checks_digests=self.checks_digests,
                    wants_changes=self.wants_changes or bool(self.hooks),
                )
                applied = batch.apply(events)
                if self.hooks:
                    self._run_hooks(connection, applied.changes)
        except IntegrityError as error:
            raise DatabaseFailed(
                f"the database refuses a change: {sentence(error)}; "
                'if your rows refer to deleted records, use deletes="tombstones"'
            ) from error
        except SQLAlchemyError as error:
            raise DatabaseFailed(f"the database cannot be written: {sentence(error)}") from error
        except UnicodeEncodeError as error:  # by the driver: texts without a UTF-8 form go to `extra`
            raise DatabaseFailed(
                f"the connection to the database uses {error.encoding}, which cannot encode every character: "
                "use UTF-8 (PostgreSQL: a database of that encoding; MySQL and MariaDB: ?charset=utf8mb4)"
            ) from error
        self._memory = batch.memory()
        return applied

    def _run_hooks(self, connection: Connection, changes: Sequence[Change]) -> None:
        with Session(bind=connection, join_transaction_mode="rollback_only") as session:
            for change in changes:
                for hook in self.hooks.get((change.kind.name, change.action), ()):
                    try:
                        hook(session, change)
                        session.flush()
                    except Exception as error:
                        if isinstance(error, SQLAlchemyError) and is_temporary(error):
                            raise
                        name = getattr(hook, "__name__", repr(hook))
                        raise HookFailed(f"the hook {name} failed: {error!r}") from error
            session.commit()
