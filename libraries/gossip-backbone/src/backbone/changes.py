"""Changes of records, as hooks, listeners and the console get them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gossip_client import SyncComplete
from sqlalchemy.orm import Session

from backbone.kinds import Kind
from backbone.models import Record

Action = Literal["created", "updated", "deleted"]


@dataclass(frozen=True)
class Change:
    """A change of one record.

    Attributes:
        record: The record now; None if it was deleted.
        before: The record before the change; None if it was created.
    """

    kind: Kind
    action: Action
    id: int
    record: dict[str, Any] | None
    before: dict[str, Any] | None

    @property
    def fields(self) -> list[str]:
        """The names of the changed fields."""
        old, new = self.before or {}, self.record or {}
        return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))

    @property
    def label(self) -> str:
        """The record's name for people."""
        return self.kind.label(self.record or self.before or {})

    def get(self, session: Session) -> Record | None:
        """Return the record's model object; None if its row was removed."""
        return session.get(self.kind.model, self.id)


Hook = Callable[[Session, Change], object]


@dataclass(frozen=True)
class Applied:
    """What a batch of events changed.

    Attributes:
        changes: The changes in order. Empty if nobody wants them, see `Store.wants_changes`.
        cursor: The replica's cursor now; None while it has no complete state.
        is_complete: The batch held a `sync/complete`, and the replica is complete at the cursor.
        needs_whole_state: The replica is incomplete or differs from the network: ask for the whole state.
        records: How many records and deletes the batch held.
        complete: The batch's last `sync/complete`.
        live_changes: The changes that were not part of a whole state.
    """

    changes: Sequence[Change]
    cursor: int | None
    is_complete: bool
    needs_whole_state: bool
    records: int
    complete: SyncComplete | None = None
    live_changes: Sequence[Change] = ()
