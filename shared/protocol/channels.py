"""Frames of the "channels" flag. Source: docs/protocol.md, §4. Pure: no I/O, no clock.

Channel names are not validated here: the answer to a bad one is `Could not subscribe to 'name'`.
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
    """Peer → server. Subscribe this socket to a channel. A valid name that is not used yet creates a hidden channel."""

    channel: ChannelName

    failures: ClassVar[tuple[Code, ...]] = (Code.CHANNEL_REFUSED,)
    example: ClassVar[dict[str, Any]] = {"channel": "gossip"}


class Unsubscribe(Incoming, event="channels/unsubscribe"):
    """Peer → server. Unsubscribe this socket from a channel. Succeeds even if it was not subscribed."""

    channel: ChannelName

    example: ClassVar[dict[str, Any]] = {"channel": "gossip"}


class SendMessage(Incoming, event="channels/send"):
    """Peer → server. A player says something on a channel. Success means that the line was stored and passed on."""

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
    """Server → peer. A player of another game said something on a channel.

    Only sockets of version 2.4.0 and later get id and sent_at, which `in_history` sets.
    """

    channel: Annotated[ChannelName, about("The channel, in its own spelling")]
    message: Annotated[Text, about("Plain text")]
    game: Annotated[ShortName, about("The short name of the sender's game")]
    name: Annotated[Name, about("The player's name")]
    id: Annotated[int | UnsetType, about("For clients of 2.4.0 and later: its position in the history")] = UNSET
    sent_at: Annotated[UtcTime | UnsetType, about("For clients of 2.4.0 and later: when the worker received it")] = (
        UNSET
    )

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
        """Return this broadcast in the form for clients of version 2.4.0 and later."""
        return msgspec.structs.replace(self, id=message_id, sent_at=whole_seconds(sent_at))


class RequestHistory(Incoming, event="channels/history"):
    """Peer → server. Ask for earlier lines of a channel: the newest, unless `before` or `after` is given."""

    channel: Annotated[ChannelName, about("A channel that this socket is subscribed to")]
    before: Annotated[Cursor | None, about("Return the newest lines older than this `id`")] = None
    after: Annotated[
        Cursor | None, about("Return the oldest lines newer than this `id`; cannot be combined with `before`")
    ] = None
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
        """Accept 50.0 for 50."""
        if not isinstance(payload, dict):
            return super().forgive(payload)
        return payload | {field: whole_number(payload.get(field)) for field in ("before", "after", "limit")}


class HistoryMessage(Struct, frozen=True, kw_only=True, gc=False):
    """One line of a channel's history."""

    id: Annotated[int, about("Its position in the history")]
    sent_at: Annotated[UtcTime, about("When the worker received it")]
    game: Annotated[ShortName, about("The short name of the sender's game")]
    name: Annotated[Name, about("The player's name")]
    message: Annotated[Text, about("Plain text")]


class HistoryAnswer(Outgoing, event="channels/history"):
    """Server → peer. A page of a channel's history."""

    channel: Annotated[ChannelName, about("The channel, in its own spelling")]
    messages: Annotated[list[HistoryMessage], about("The lines, oldest first, including those of the requesting game")]
    more: Annotated[bool, about("Whether there are further lines in the requested direction")]

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
