"""What handlers can return instead of a payload: that they answered themselves, or will answer later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from shared.errors import DomainError


class _Answered:
    """The type of ANSWERED."""


ANSWERED: Final = _Answered()
"""The handler sends its answers itself."""


class Deferred:
    """An answer that comes later. A handler returns it, and calls `resolve` or `fail` once the work is done."""

    __slots__ = ("_answer",)

    def __init__(self) -> None:
        self._answer: Callable[[DomainError | None], None] | None = None

    def then(self, answer: Callable[[DomainError | None], None]) -> None:
        """Set what to call with None on success, or with the error."""
        self._answer = answer

    def resolve(self) -> None:
        """Answer with success."""
        if self._answer is not None:
            self._answer(None)

    def fail(self, error: DomainError) -> None:
        """Answer with a failure."""
        if self._answer is not None:
            self._answer(error)
