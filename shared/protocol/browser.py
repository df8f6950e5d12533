"""Frames of the socket for browsers. Source: docs/browser-chat.md. Pure: no I/O, no clock.

The envelope is that of games' sockets, and so are `heartbeat`, `restart`, `channels/broadcast` and `tells/receive`. No
frame names the speaker, which is always the signed-in account.
"""

from typing import Annotated, Any, ClassVar

from msgspec import Struct

from shared.protocol.base import Incoming, Outgoing
from shared.protocol.types import ChannelName, ChannelNames, Cursor, Name, ShortName, Words, about


class SignInBrowser(Incoming, event="authenticate"):
    """Page → worker. The first frame: a token from the site, and the channels that the page shows."""

    token: str
    channels: ChannelNames = []

    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"token": "WzcsIjU…", "channels": ["gossip"]}


class BrowserSignedIn(Outgoing, event="authenticate"):
    """Worker → page. The page now receives these channels, given in their own spelling."""

    username: Name
    channels: list[ChannelName]

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {"username": "wren", "channels": ["gossip"]}


class WatchChannels(Incoming, event="channels/watch"):
    """Page → worker. The first frame of a page whose visitor is not signed in. It receives these channels, to read."""

    channels: ChannelNames = []

    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"channels": ["gossip"]}


class WatchingChannels(Outgoing, event="channels/watch"):
    """Worker → page. The page now receives these channels, given in their own spelling."""

    channels: list[ChannelName]

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {"channels": ["gossip"]}


class Beat(Incoming, event="heartbeat"):
    """Page → worker. The answer to a heartbeat."""


class Say(Incoming, event="channels/send"):
    """Page → worker. The person says something. On success the line is stored, and the page has its broadcast."""

    channel: ChannelName
    message: Words

    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"channel": "gossip", "message": "Hello, world!"}


class MarkRead(Incoming, event="channels/read"):
    """Page → worker. The person has read a channel up to a line. Not answered, and stored with a delay."""

    channel: ChannelName
    id: Cursor

    example: ClassVar[dict[str, Any]] = {"channel": "gossip", "id": 1199}


class AskWhoHears(Incoming, event="channels/listeners"):
    """Page → worker. Ask who receives a channel now."""

    channel: ChannelName

    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"channel": "gossip"}


class ListeningGame(Struct, frozen=True, kw_only=True):
    """A game that is subscribed to a channel, and how many of its players are online."""

    game: ShortName
    players: int


class WhoHears(Outgoing, event="channels/listeners"):
    """Worker → page. The people in browsers (a bounded list and their total number), and the games."""

    people: list[Name]
    people_count: Annotated[int, about("The total number, including people who are not listed")]
    games: list[ListeningGame]

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {
        "people": ["wren"],
        "people_count": 1,
        "games": [{"game": "MidMUD", "players": 3}],
    }


class ChannelClosed(Outgoing, event="channels/closed"):
    """Worker → page. The channel was deleted or is no longer public. The page no longer receives it."""

    id: Annotated[int, about("The channel's id, because its name may have changed or been given up")]

    example: ClassVar[dict[str, Any]] = {"id": 1}


class ChannelChanged(Outgoing, event="channels/changed"):
    """Worker → page. One of the page's channels was changed. Its lines now carry this name."""

    id: int
    name: ChannelName

    example: ClassVar[dict[str, Any]] = {"id": 1, "name": "small-talk"}


class ChannelState(Outgoing, event="channels/state"):
    """Worker → page. What moderators did to one of its channels. A new page is sent those that something applies to."""

    id: int
    paused: bool
    closed: bool
    slow_seconds: Annotated[int, about("The least time between two lines of one person; 0 if there is none")]
    reason: Annotated[str, about("Why the channel is paused; may be empty")]
    seconds_left: Annotated[
        int | None, about("Seconds until the pause ends; null if it has no end, or there is no pause")
    ] = None

    example: ClassVar[dict[str, Any]] = {
        "id": 1,
        "paused": True,
        "closed": False,
        "slow_seconds": 0,
        "reason": "A flood of advertising",
        "seconds_left": 600,
    }


class LineRedacted(Outgoing, event="channels/redacted"):
    """Worker → page. A moderator redacted a line. The page removes its text."""

    id: Annotated[int, about("The line's id, as in its broadcast")]

    example: ClassVar[dict[str, Any]] = {"id": 1199}


class SendTellFromBrowser(Incoming, event="tells/send"):
    """Page → worker. The person sends a tell to a player of a game. Delivered at most once, and never stored."""

    to_game: ShortName
    to_name: Name
    message: Words

    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"to_game": "MidMUD", "to_name": "Bob", "message": "Are you there?"}
