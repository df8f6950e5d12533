"""A list that keeps only its newest items."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


class Newest(list[T]):
    """A list that keeps at most `limit` items. Add to it only with add() and add_all().

    There are several for each game, nearly always empty. Empty, this takes 80 bytes, and a deque 760.
    """

    __slots__ = ("_limit",)

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def add(self, item: T) -> None:
        """Append an item."""
        self.append(item)
        if len(self) > self._limit:
            del self[0]

    def add_all(self, items: Iterable[T]) -> None:
        """Append items."""
        self.extend(items)
        del self[: -self._limit]
