"""The worker's own copy of the network's records, fed by the log of changes: all channels, and games asked for.

`*/status`, subscribing to a known channel and fan-out need no database that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy.orm import Session

from shared.protocol.sync import ChannelRecord, GameRecord
from shared.protocol.types import channel_key
from shared.services import versions
from shared.services.versions import Change


@dataclass(frozen=True, slots=True)
class State:
    """What `load` read: every channel at a cursor."""

    cursor: int
    channels: list[ChannelRecord]


_channel = msgspec.json.Decoder(ChannelRecord)
_game = msgspec.json.Decoder(GameRecord)


def load(session: Session) -> State:
    """Read all channels and the cursor they are of."""
    cursor = versions.last_cursor(session)
    found: list[ChannelRecord] = []
    while page := versions.state_page(session, "channels", cursor=cursor, after_id=found[-1].id if found else 0):
        found += [_channel.decode(record) for _, record in page]
    return State(cursor, found)


def load_games(session: Session, game_ids: Sequence[int]) -> tuple[int, list[GameRecord]]:
    """A cursor, and the records of these games at it."""
    cursor = versions.last_cursor(session)
    return cursor, [_game.decode(record) for _, record in versions.newest_records(session, "games", game_ids)]


class Directory:
    """Channels by id and by name; games by id, those that were asked for."""

    def __init__(self) -> None:
        self.channels: dict[int, ChannelRecord] = {}
        self.games: dict[int, GameRecord] = {}
        self._channel_ids: dict[str, int] = {}

    def fill(self, state: State) -> None:
        """Start from what was read."""
        self.channels = {channel.id: channel for channel in state.channels}
        self._channel_ids = {channel_key(channel.name): channel.id for channel in state.channels}
        self.games.clear()

    def find_channel(self, name: str) -> ChannelRecord | None:
        """The channel of this name in any case."""
        channel_id = self._channel_ids.get(channel_key(name))
        return None if channel_id is None else self.channels.get(channel_id)

    def keep_channel(self, channel: ChannelRecord) -> None:
        """Put in a channel that is new or has changed."""
        self.drop_channel(channel.id)
        self.channels[channel.id] = channel
        self._channel_ids[channel_key(channel.name)] = channel.id

    def drop_channel(self, channel_id: int) -> ChannelRecord | None:
        """Take out a channel."""
        channel = self.channels.pop(channel_id, None)
        if channel is not None and self._channel_ids.get(channel_key(channel.name)) == channel_id:
            del self._channel_ids[channel_key(channel.name)]
        return channel

    def decode_game(self, change: Change) -> GameRecord | None:
        """The record of a change of a game; None if it was deleted."""
        return None if change.record is None else _game.decode(change.record)

    def apply(self, change: Change) -> None:
        """Take over one change of the log."""
        if change.kind == "channels":
            if change.record is None:
                self.drop_channel(change.record_id)
            else:
                self.keep_channel(_channel.decode(change.record))
        elif change.kind == "games" and change.record_id in self.games:
            if change.record is None:
                del self.games[change.record_id]
            else:
                self.games[change.record_id] = _game.decode(change.record)
