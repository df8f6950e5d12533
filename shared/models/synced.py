"""Which models are synced to replicas, and their forms. The hooks that log their changes are in `shared/sync.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sqlalchemy import Select
from sqlalchemy.orm import Mapped

KINDS: dict[str, type[Synced]] = {}
"""Synced kinds by name, in the order in which a whole state is sent (channels, then games)."""


class Synced:
    """A model whose records replicas keep. Subclasses set `sync_kind` and say their form in `sync_payload`."""

    sync_kind: ClassVar[str]
    id: Mapped[int]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "sync_kind" in cls.__dict__:
            KINDS[cls.sync_kind] = cls

    def sync_payload(self) -> dict[str, Any]:
        """What replicas are told: every key always there, never a secret, lists sorted (docs/protocol.md, §8)."""
        raise NotImplementedError


class SyncedPart:
    """A row that belongs to synced records: touching it touches them."""

    def synced_owners(self) -> Iterable[tuple[str, int] | tuple[str, Select[Any]]]:
        """The owners as (kind, id), or (kind, SELECT of ids) run at the commit. The old owner too, if it moved."""
        raise NotImplementedError
