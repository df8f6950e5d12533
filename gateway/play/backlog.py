"""The messages of a session that its page may still need: those not confirmed, and the last ones for a reload."""

from __future__ import annotations

from collections import deque

import msgspec

from gateway.play.messages import MakeNumbered

SCROLLBACK_BYTES = 64 * 1024
FULL_BYTES = 256 * 1024


class Backlog:
    """Numbers messages from 1, and encodes each once.

    It is full when the page has not confirmed FULL_BYTES. Then the session stops reading from the game, so the memory
    of a session is bounded, and nothing is dropped that the page has not seen.
    """

    def __init__(self) -> None:
        self._messages: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._unconfirmed_bytes = 0
        self.last = 0
        self.confirmed = 0

    @property
    def is_full(self) -> bool:
        """Whether the page must confirm something before more is added."""
        return self._unconfirmed_bytes >= FULL_BYTES

    def add(self, make: MakeNumbered) -> None:
        """Add a message. make: creates it with its position."""
        self.last += 1
        encoded = msgspec.json.encode(make(self.last))
        self._messages.append((self.last, encoded))
        self._bytes += len(encoded)
        self._unconfirmed_bytes += len(encoded)
        self._trim()

    def after(self, position: int) -> list[tuple[int, bytes]]:
        """Return the kept messages after a position."""
        kept = len(self._messages)
        return [self._messages[number] for number in range(max(0, kept - (self.last - position)), kept)]

    def start(self, position: int) -> int:
        """Return the position from which messages can be sent to a page that has those up to `position`."""
        oldest = self.last - len(self._messages)
        return min(max(position, oldest), self.last)

    def confirm(self, position: int) -> None:
        """Note that the page has shown all messages up to a position."""
        if position <= self.confirmed or position > self.last:
            return
        self._unconfirmed_bytes = sum(len(encoded) for _, encoded in self.after(position))
        self.confirmed = position
        self._trim()

    def _trim(self) -> None:
        while self._messages and self._messages[0][0] <= self.confirmed and self._bytes > SCROLLBACK_BYTES:
            self._bytes -= len(self._messages.popleft()[1])
