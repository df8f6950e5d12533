"""Frames of the "channels" flag. Source: docs/protocol.md, §4. Pure: no I/O, no clock.

Names of channels are only read here, not judged: a bad one is answered `Could not subscribe to 'name'`.
"""

from datetime import datetime
from typing import Any, ClassVar, Self

import msgspec
from msgspec import UNSET, Struct, UnsetType

from shared.protocol.base import Incoming, Outgoing, invalid
from shared.protocol.types import (
    ChannelName,
    Cursor,
    Name,
    PageSize,
    ShortName,
    Text,
    UtcTime,
    whole_number,
    whole_seconds,
)


class Subscribe(Incoming, event="channels/subscribe"):
    """Peer → server. The socket wants what is said on a channel; a valid unknown name creates it, hidden."""

    channel: ChannelName

    example: ClassVar[dict[str, Any]] = {"channel": "gossip"}


class Unsubscribe(Incoming, event="channels/unsubscribe"):
    """Peer → server. The socket wants no more of a channel; a success also when it was not subscribed."""

    channel: ChannelName

    example: ClassVar[dict[str, Any]] = {"channel": "gossip"}


class SendMessage(Incoming, event="channels/send"):
    """Peer → server. A player says something on a channel.

    name is the player's. message is plain text, never HTML.
    """

    channel: ChannelName
    name: Name
    message: Text

    example: ClassVar[dict[str, Any]] = {"channel": "gossip", "name": "Alice", "message": "Hello, world!"}


class Broadcast(Outgoing, event="channels/broadcast"):
    """Server → peer. Someone of another game said something on a channel.

    game: the sender's short name. id and sent_at are only for sockets of version 2.4.0 and later: `in_history` sets
    them. id: the message's place in the history.
    """

    channel: ChannelName
    message: Text
    game: ShortName
    name: Name
    id: int | UnsetType = UNSET
    sent_at: UtcTime | UnsetType = UNSET

    example: ClassVar[dict[str, Any]] = {
        "channel": "gossip",
        "message": "Hello, world!",
        "game": "ExVenture",
        "name": "Alice",
    }

    def in_history(self, message_id: int, sent_at: datetime) -> Self:
        """The same broadcast as clients of version 2.4.0 get it."""
        return msgspec.structs.replace(self, id=message_id, sent_at=whole_seconds(sent_at))


class RequestHistory(Incoming, event="channels/history"):
    """Peer → server. What was said on a subscribed channel, a page at a time.

    before: the newest ones older than this id. after: the oldest ones newer than this id. Neither: the newest. limit:
    how many at most, 1 to 100.
    """

    channel: ChannelName
    before: Cursor | None = None
    after: Cursor | None = None
    limit: PageSize = 50

    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"channel": "gossip", "before": 1200, "limit": 50}

    def __post_init__(self) -> None:
        Incoming.__post_init__(self)
        if self.before is not None and self.after is not None:
            raise invalid("before", 'and "after" exclude each other')

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """Whole numbers may come as 50.0."""
        if not isinstance(payload, dict):
            return super().forgive(payload)
        return payload | {field: whole_number(payload.get(field)) for field in ("before", "after", "limit")}


class HistoryMessage(Struct, frozen=True, kw_only=True, gc=False):
    """One message of a channel's history. id: its place there; sent_at: when the worker took it in."""

    id: int
    sent_at: UtcTime
    game: ShortName
    name: Name
    message: Text


class HistoryAnswer(Outgoing, event="channels/history"):
    """Server → peer. A page of history, oldest message first. more: there are others in the direction asked for."""

    channel: ChannelName
    messages: list[HistoryMessage]
    more: bool

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {
        "channel": "gossip",
        "messages": [
            {
                "id": 1199,
                "sent_at": "2026-11-23T06:15:44Z",
                "game": "ExVenture",
                "name": "Alice",
                "message": "Hello, world!",
            }
        ],
        "more": True,
    }
