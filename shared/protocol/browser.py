"""Frames of the socket for browsers. Source: docs/browser-chat.md. Pure: no I/O, no clock.

The envelope is that of games' sockets, and so are `heartbeat`, `restart`, `channels/broadcast` and `tells/receive`. Who
speaks is never said in a frame: it is the account that has signed in.
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
    """Worker → page. From now on the page hears these channels. channels: in their own spelling."""

    username: Name
    channels: list[ChannelName]

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {"username": "wren", "channels": ["gossip"]}


class Beat(Incoming, event="heartbeat"):
    """Page → worker. The answer to a heartbeat."""


class Say(Incoming, event="channels/send"):
    """Page → worker. The person says something. A success: it is stored, and has come as a broadcast too."""

    channel: ChannelName
    message: Words

    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"channel": "gossip", "message": "Hello, world!"}


class MarkRead(Incoming, event="channels/read"):
    """Page → worker. The person has read a channel up to a line. Not answered, and written with a delay."""

    channel: ChannelName
    id: Cursor

    example: ClassVar[dict[str, Any]] = {"channel": "gossip", "id": 1199}


class AskWhoHears(Incoming, event="channels/listeners"):
    """Page → worker. Who hears a channel now?"""

    channel: ChannelName

    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"channel": "gossip"}


class ListeningGame(Struct, frozen=True, kw_only=True):
    """A game that hears a channel, and how many of its players are online."""

    game: ShortName
    players: int


class WhoHears(Outgoing, event="channels/listeners"):
    """Worker → page. The people in their browsers, some hundred at most, how many they are, and the games."""

    people: list[Name]
    people_count: Annotated[int, about("All of them, those not listed too")]
    games: list[ListeningGame]

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {
        "people": ["wren"],
        "people_count": 1,
        "games": [{"game": "MidMUD", "players": 3}],
    }


class ChannelClosed(Outgoing, event="channels/closed"):
    """Worker → page. The channel was deleted or is not public any more: the page hears no more of it."""

    id: Annotated[int, about("The channel's id: its name may be another one by now, or nobody's")]

    example: ClassVar[dict[str, Any]] = {"id": 1}


class ChannelChanged(Outgoing, event="channels/changed"):
    """Worker → page. Something about a channel that the page hears is another now; lines come under this name."""

    id: int
    name: ChannelName

    example: ClassVar[dict[str, Any]] = {"id": 1, "name": "small-talk"}


class LineRedacted(Outgoing, event="channels/redacted"):
    """Worker → page. A moderator took the text of a line away: what shows it shows it no more."""

    id: Annotated[int, about("The line's id, as its broadcast had it")]

    example: ClassVar[dict[str, Any]] = {"id": 1199}


class SendTellFromBrowser(Incoming, event="tells/send"):
    """Page → worker. The person tells one player of a game something. At most once, and stored nowhere."""

    to_game: ShortName
    to_name: Name
    message: Words

    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"to_game": "MidMUD", "to_name": "Bob", "message": "Are you there?"}
