"""The players of each game over all its sockets, and the limit on how many a game may list. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from shared.limits import PlayerLimit
from shared.protocol.types import player_key

_encode = msgspec.json.Encoder().encode


def encoded_size(name: str) -> int:
    """Return the size of a name in a JSON list in bytes, including its comma."""
    return len(_encode(name)) + 1


class Roster:
    """The players of one game.

    Attributes:
        names: The players by player key, spelled as on the first socket that listed them.
        nbytes: The size of the names as a JSON list.
    """

    __slots__ = ("_counts", "names", "nbytes")

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.nbytes = 0
        self._counts: dict[str, int] = {}

    def change(self, before: Iterable[str], after: Iterable[str]) -> None:
        """Replace the names that one socket lists."""
        before, after = set(before), set(after)
        for name in before - after:
            key = player_key(name)
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]
                self.nbytes -= encoded_size(self.names.pop(key))
        for name in after - before:
            key = player_key(name)
            self._counts[key] = self._counts.get(key, 0) + 1
            if key not in self.names:
                self.names[key] = name
                self.nbytes += encoded_size(name)

    def sorted(self) -> list[str]:
        """Return the names, sorted by player key."""
        return [self.names[key] for key in sorted(self.names)]

    def has_room(self, name: str, limit: PlayerLimit) -> bool:
        """Return whether a socket may add this player."""
        return player_key(name) in self.names or (
            len(self.names) < limit.count and self.nbytes + encoded_size(name) <= limit.nbytes
        )

    def select(self, names: Iterable[str], limit: PlayerLimit, *, replaced: Mapping[str, str]) -> dict[str, str]:
        """Return the names that a socket may list, by player key. Skips names beyond the limit.

        Args:
            names: The names that the socket requests.
            replaced: The names that it lists now, by player key.
        """
        released = {key for key in replaced if self._counts.get(key) == 1}
        count = len(self.names) - len(released)
        size = self.nbytes - sum(encoded_size(self.names[key]) for key in released)
        selected: dict[str, str] = {}
        for name in names:
            key = player_key(name)
            if key not in selected and (key not in self.names or key in released):
                nbytes = encoded_size(name)
                if count >= limit.count or size + nbytes > limit.nbytes:
                    continue
                count += 1
                size += nbytes
            selected[key] = name
        return selected


def cut_names(names: list[str], limit: PlayerLimit) -> list[str]:
    """Return the first names, as many as the limit of one answer allows."""
    size = 0
    for position, name in enumerate(names):
        size += encoded_size(name)
        if position == limit.count or size > limit.nbytes:
            return names[:position]
    return names
