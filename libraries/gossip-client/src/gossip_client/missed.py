"""What was heard of each channel, and what was missed of it while away. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from gossip_client.events import ChannelMessage

REMEMBERED = 1_000
OVERLAP = 50
HELD = 5_000


class Channel:
    """One channel: whether it is wanted, and which messages of it were heard.

    Messages are told apart by their ids: those of two workers may come out of order, so a greater id does not say
    that the lesser ones were heard. `after` therefore reaches back a little further than the newest.
    """

    def __init__(self, name: str, *, is_wanted: bool) -> None:
        self.name = name
        self.is_wanted = is_wanted
        self.is_filling = False
        self.newest: int | None = None
        self._oldest = 0
        self._ids: set[int] = set()
        self._order: deque[int] = deque()
        self._held: deque[ChannelMessage] = deque(maxlen=HELD)

    @property
    def after(self) -> int:
        """The id after which to read the history."""
        assert self.newest is not None
        return max(self._oldest, self.newest - OVERLAP)

    def begin(self, newest: int) -> None:
        """Everything up to this id was said before this client listened."""
        self._oldest = newest
        self.newest = max(newest, self.newest or 0)

    def hear(self, message: ChannelMessage) -> bool:
        """Note a message. False if it is to be told later, or was heard before."""
        if message.id is None:
            return True
        if self.is_filling and not message.is_missed:
            self._held.append(message)
            return False
        if message.id in self._ids or (message.is_missed and message.id <= self._oldest):
            return False
        if self.newest is None:
            self._oldest = message.id - 1
        self.newest = max(message.id, self.newest or 0)
        self._ids.add(message.id)
        self._order.append(message.id)
        if len(self._order) > REMEMBERED:
            self._ids.discard(self._order.popleft())
        return True

    def filled(self) -> Iterable[ChannelMessage]:
        """The gap is closed, or as closed as it gets: what came meanwhile, and is new."""
        self.is_filling = False
        held, self._held = self._held, deque(maxlen=HELD)
        return [message for message in held if self.hear(message)]

    def leave_gap(self) -> None:
        """The connection went before the gap was closed: what came meanwhile is in the history, and read next time."""
        self.is_filling = False
        self._held.clear()
