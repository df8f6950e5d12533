"""What handlers return besides a payload: that they answered themselves, or that the answer comes later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from shared.errors import DomainError


class _Answered:
    """The type of ANSWERED."""


ANSWERED: Final = _Answered()
"""The handler has sent its answers itself, or will."""


class Deferred:
    """An answer that comes later: the handler returns it, and somebody calls `resolve` or `fail`, once."""

    __slots__ = ("_answer",)

    def __init__(self) -> None:
        self._answer: Callable[[DomainError | None], None] | None = None

    def then(self, answer: Callable[[DomainError | None], None]) -> None:
        """Call this with None on success, or with the error."""
        self._answer = answer

    def resolve(self) -> None:
        """It worked."""
        if self._answer is not None:
            self._answer(None)

    def fail(self, error: DomainError) -> None:
        """It did not."""
        if self._answer is not None:
            self._answer(error)
