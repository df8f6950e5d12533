"""Which options are on, by the Q method of RFC 1143: no loops, and no answer to a confirmation.

Each side of each option is NO, YES, or waits for the other end (WANTNO, WANTYES), perhaps with the opposite request
queued behind it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto

from gateway.telnet.options import DO, DONT, IAC, WILL, WONT


class _State(Enum):
    NO = auto()
    YES = auto()
    WANTNO = auto()
    WANTYES = auto()


@dataclass(slots=True)
class _Side:
    state: _State = _State.NO
    is_opposite_queued: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """An option has been switched. is_ours: our side of it, otherwise the game's."""

    option: int
    is_ours: bool
    is_on: bool


class Negotiator:
    """The state of all options.

    Args:
        ours: The options that we switch on when the game asks with DO.
        theirs: The options that the game may switch on with WILL.
    """

    def __init__(self, *, ours: Collection[int], theirs: Collection[int]) -> None:
        self._accepted = {True: frozenset(ours), False: frozenset(theirs)}
        self._sides: dict[tuple[int, bool], _Side] = {}

    def is_on(self, option: int, *, ours: bool) -> bool:
        """Return whether a side of an option is on."""
        side = self._sides.get((option, ours))
        return side is not None and side.state is _State.YES

    def ask(self, option: int, *, ours: bool, on: bool = True) -> bytes:
        """Return what to send to switch a side of an option. Empty if that is on its way already."""
        side = self._side(option, ours)
        request = (WILL if on else WONT) if ours else (DO if on else DONT)
        settled, waiting = (_State.YES, _State.WANTYES) if on else (_State.NO, _State.WANTNO)
        if side.state is waiting:
            side.is_opposite_queued = False
        elif side.state in (_State.WANTYES, _State.WANTNO):
            side.is_opposite_queued = True
        elif side.state is not settled:
            side.state = waiting
            return bytes([IAC, request, option])
        return b""

    def receive(self, command: int, option: int) -> tuple[bytes, Change | None]:
        """Handle WILL, WONT, DO or DONT. Return the answer, empty if none is due, and what has changed."""
        ours = command in (DO, DONT)
        is_yes = command in (DO, WILL)
        yes, no = (WILL, WONT) if ours else (DO, DONT)
        side = self._side(option, ours)
        before = side.state is _State.YES
        answer = b""
        if side.state is _State.NO:
            if is_yes and option in self._accepted[ours]:
                side.state, answer = _State.YES, bytes([IAC, yes, option])
            elif is_yes:
                answer = bytes([IAC, no, option])
        elif side.state is _State.YES:
            if not is_yes:
                side.state, answer = _State.NO, bytes([IAC, no, option])
        elif side.state is _State.WANTNO:
            if is_yes:  # an answer that the RFC calls an error
                side.state = _State.YES if side.is_opposite_queued else _State.NO
            elif side.is_opposite_queued:
                side.state, answer = _State.WANTYES, bytes([IAC, yes, option])
            else:
                side.state = _State.NO
            side.is_opposite_queued = False
        else:  # WANTYES
            if not is_yes:
                side.state = _State.NO
            elif side.is_opposite_queued:
                side.state, answer = _State.WANTNO, bytes([IAC, no, option])
            else:
                side.state = _State.YES
            side.is_opposite_queued = False
        after = side.state is _State.YES
        return answer, Change(option, ours, after) if after != before else None

    def _side(self, option: int, ours: bool) -> _Side:
        return self._sides.setdefault((option, ours), _Side())
