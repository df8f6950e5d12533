"""The worker's copy of the network's records: all channels, and the games that were requested. The feed updates it.

So `*/status`, subscribing to an existing channel and the fan-out need no database.
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
    """All channels at a cursor."""

    cursor: int
    channels: list[ChannelRecord]


_channel_decoder = msgspec.json.Decoder(ChannelRecord)
_game_decoder = msgspec.json.Decoder(GameRecord)


def load(session: Session) -> State:
    """Read all channels, and the cursor at which they are up to date."""
    cursor = versions.last_cursor(session)
    channels: list[ChannelRecord] = []
    while page := versions.state_page(session, "channels", cursor=cursor, after_id=channels[-1].id if channels else 0):
        channels += [_channel_decoder.decode(record) for _, record in page]
    return State(cursor, channels)


def load_games(session: Session, game_ids: Sequence[int]) -> tuple[int, list[GameRecord]]:
    """Return a cursor, and the records of these games at that cursor."""
    cursor = versions.last_cursor(session)
    return cursor, [_game_decoder.decode(record) for _, record in versions.newest_records(session, "games", game_ids)]


class Directory:
    """All channels by id and by name, and the games that were requested, by id."""

    def __init__(self) -> None:
        self.channels: dict[int, ChannelRecord] = {}
        self.games: dict[int, GameRecord] = {}
        self._channel_ids: dict[str, int] = {}

    def fill(self, state: State) -> None:
        """Replace everything with a state from the database."""
        self.channels = {channel.id: channel for channel in state.channels}
        self._channel_ids = {channel_key(channel.name): channel.id for channel in state.channels}
        self.games.clear()

    def find_channel(self, name: str) -> ChannelRecord | None:
        """Return the channel of this name. Ignores case."""
        channel_id = self._channel_ids.get(channel_key(name))
        return None if channel_id is None else self.channels.get(channel_id)

    def put_channel(self, channel: ChannelRecord) -> None:
        """Add a channel, or replace it."""
        self.remove_channel(channel.id)
        self.channels[channel.id] = channel
        self._channel_ids[channel_key(channel.name)] = channel.id

    def remove_channel(self, channel_id: int) -> ChannelRecord | None:
        """Remove a channel and return it. Returns None if there is none with this id."""
        channel = self.channels.pop(channel_id, None)
        if channel is not None and self._channel_ids.get(channel_key(channel.name)) == channel_id:
            del self._channel_ids[channel_key(channel.name)]
        return channel

    def decode_game(self, change: Change) -> GameRecord | None:
        """Return the record of a changed game, or None if it was deleted."""
        return None if change.record is None else _game_decoder.decode(change.record)

    def apply(self, change: Change) -> None:
        """Apply one change from the log."""
        if change.kind == "channels":
            if change.record is None:
                self.remove_channel(change.record_id)
            else:
                self.put_channel(_channel_decoder.decode(change.record))
        elif change.kind == "games" and change.record_id in self.games:
            if change.record is None:
                del self.games[change.record_id]
            else:
                self.games[change.record_id] = _game_decoder.decode(change.record)
