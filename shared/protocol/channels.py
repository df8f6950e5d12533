"""Frames of the "channels" flag. Source: docs/protocol.md, §4. Pure: no I/O, no clock.

Names of channels are only read here, not judged: a bad one is answered `Could not subscribe to 'name'`.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

import msgspec
from msgspec import UNSET, Struct, UnsetType

from shared.protocol.base import Incoming, Outgoing, invalid
from shared.protocol.codes import Code
from shared.protocol.types import (
    ChannelName,
    Cursor,
    Name,
    PageSize,
    ShortName,
    Text,
    UtcTime,
    Words,
    about,
    whole_number,
    whole_seconds,
)


class Subscribe(Incoming, event="channels/subscribe"):
    """Peer → server. The socket wants what is said on a channel; a valid unknown name creates it, hidden."""

    channel: ChannelName

    failures: ClassVar[tuple[Code, ...]] = (Code.CHANNEL_REFUSED,)
    example: ClassVar[dict[str, Any]] = {"channel": "gossip"}


class Unsubscribe(Incoming, event="channels/unsubscribe"):
    """Peer → server. The socket wants no more of a channel; a success also when it was not subscribed."""

    channel: ChannelName

    example: ClassVar[dict[str, Any]] = {"channel": "gossip"}


class SendMessage(Incoming, event="channels/send"):
    """Peer → server. A player says something on a channel. A success: it is stored, and handed on."""

    channel: Annotated[ChannelName, about("A channel that this socket is subscribed to")]
    name: Name
    message: Words

    failures: ClassVar[tuple[Code, ...]] = (
        Code.NOT_SUBSCRIBED,
        Code.CHANNEL_PAUSED,
        Code.MUTED,
        Code.BANNED,
        Code.FILTERED,
    )
    example: ClassVar[dict[str, Any]] = {"channel": "gossip", "name": "Alice", "message": "Hello, world!"}


class Broadcast(Outgoing, event="channels/broadcast"):
    """Server → peer. Someone of another game said something on a channel.

    id and sent_at are only for sockets of version 2.4.0 and later: `in_history` sets them.
    """

    channel: Annotated[ChannelName, about("The channel, in its own spelling")]
    message: Annotated[Text, about("Plain text")]
    game: Annotated[ShortName, about("The sender's short name")]
    name: Annotated[Name, about("The player's name")]
    id: Annotated[int | UnsetType, about("For clients of 2.4.0 and later: its place in the history")] = UNSET
    sent_at: Annotated[UtcTime | UnsetType, about("For clients of 2.4.0 and later: when the worker took it in")] = UNSET

    example: ClassVar[dict[str, Any]] = {
        "channel": "gossip",
        "message": "Hello, world!",
        "game": "ExVenture",
        "name": "Alice",
    }
    further_examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {**example, "id": 1199, "sent_at": "2026-11-23T06:15:44Z"},
    )

    def in_history(self, message_id: int, sent_at: datetime) -> Self:
        """The same broadcast as clients of version 2.4.0 get it."""
        return msgspec.structs.replace(self, id=message_id, sent_at=whole_seconds(sent_at))


class RequestHistory(Incoming, event="channels/history"):
    """Peer → server. What was said on a channel, a page at a time; the newest lines, unless it is said from where."""

    channel: Annotated[ChannelName, about("A channel that this socket is subscribed to")]
    before: Annotated[Cursor | None, about("The newest lines older than this `id`")] = None
    after: Annotated[Cursor | None, about("The oldest lines newer than this `id`; not together with `before`")] = None
    limit: PageSize = 50

    failures: ClassVar[tuple[Code, ...]] = (Code.NOT_SUBSCRIBED,)
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
    """One line of a channel's history."""

    id: Annotated[int, about("Its place in the history")]
    sent_at: Annotated[UtcTime, about("When the worker took it in")]
    game: Annotated[ShortName, about("The sender's short name")]
    name: Annotated[Name, about("The player's name")]
    message: Annotated[Text, about("Plain text")]


class HistoryAnswer(Outgoing, event="channels/history"):
    """Server → peer. A page of history."""

    channel: Annotated[ChannelName, about("The channel, in its own spelling")]
    messages: Annotated[list[HistoryMessage], about("What was said, oldest first, by the asker's own game too")]
    more: Annotated[bool, about("Whether there are others in the direction asked for")]

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
