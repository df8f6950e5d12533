"""The base classes of models that are synced to replicas. The hooks that log their changes are in `shared/sync.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sqlalchemy import Select
from sqlalchemy.orm import Mapped

KINDS: dict[str, type[Synced]] = {}
"""Synced models by kind, in the order in which a whole state is sent (channels, then games)."""


class Synced:
    """A model whose records replicas store. Subclasses set `sync_kind` and define `sync_payload`."""

    sync_kind: ClassVar[str]
    id: Mapped[int]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "sync_kind" in cls.__dict__:
            KINDS[cls.sync_kind] = cls

    def sync_payload(self) -> dict[str, Any]:
        """Return the record for replicas: all keys always present, no secrets, lists sorted (docs/protocol.md, §8)."""
        raise NotImplementedError


class SyncedPart:
    """A row that belongs to synced records. Changing it counts as changing them."""

    def synced_owners(self) -> Iterable[tuple[str, int] | tuple[str, Select[Any]]]:
        """Return the owners as (kind, id), or as (kind, SELECT of ids), which runs at the commit.

        Include the old owner if the row has moved.
        """
        raise NotImplementedError
