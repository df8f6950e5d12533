"""The messages of the play socket. Source: docs/play.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta, Struct

Side = Annotated[int, Meta(ge=1, le=500)]
Position = Annotated[int, Meta(ge=0, le=2**53)]
LINE_CHARACTERS = 4_000


class _Incoming(Struct, tag_field="event", frozen=True):
    """Page → gateway."""


class Open(_Incoming, tag="open", frozen=True):
    """Connect to the game of a token. encoding: the player's choice; empty for the owner's."""

    token: Annotated[str, Meta(max_length=1_000)]
    columns: Side = 80
    rows: Side = 24
    uses_screen_reader: bool = False
    encoding: Annotated[str, Meta(max_length=20)] = ""


class Resume(_Incoming, tag="resume", frozen=True):
    """Go on with a session. position: of the last message that the page has; 0 for everything that is kept."""

    session: Annotated[str, Meta(max_length=100)]
    position: Position = 0


class Line(_Incoming, tag="line", frozen=True):
    """What the player has typed."""

    text: Annotated[str, Meta(max_length=LINE_CHARACTERS)]


class Resize(_Incoming, tag="resize", frozen=True):
    """The page shows so many columns and rows."""

    columns: Side
    rows: Side


class ChooseEncoding(_Incoming, tag="encoding", frozen=True):
    """Read and write another encoding from now on."""

    encoding: Annotated[str, Meta(max_length=20)]


class Received(_Incoming, tag="received", frozen=True):
    """The page has shown all messages up to this position."""

    position: Position


class Close(_Incoming, tag="close", frozen=True):
    """Disconnect from the game."""


Incoming = Open | Resume | Line | Resize | ChooseEncoding | Received | Close


class Opened(Struct, tag_field="event", tag="opened", frozen=True):
    """Gateway → page. The game has answered. session: what `resume` needs, a secret of this page."""

    session: str
    game: str
    host: str
    port: int
    is_tls: bool
    encoding: str


class Resumed(Struct, tag_field="event", tag="resumed", frozen=True):
    """Gateway → page. The session goes on; what the page lacks follows.

    Attributes:
        position: of the last message before those that follow.
        last: of the last message that follows.
        is_complete: whether nothing is missing between the page's position and this one.
        is_hidden, encoding: the state at the end of what follows.
    """

    position: int
    last: int
    is_complete: bool
    is_hidden: bool
    encoding: str
    game: str
    host: str
    port: int
    is_tls: bool


class Refused(Struct, tag_field="event", tag="refused", frozen=True):
    """Gateway → page. There is no session, and the socket is closed."""

    code: str
    text: str


class Text(Struct, tag_field="event", tag="text", frozen=True):
    """Text of the game with its escape sequences. Lines end with a line feed."""

    position: int
    text: str


class Prompt(Struct, tag_field="event", tag="prompt", frozen=True):
    """The text since the last line end is a prompt."""

    position: int


class Echo(Struct, tag_field="event", tag="echo", frozen=True):
    """Whether the game hides what the player types."""

    position: int
    is_hidden: bool


class Gmcp(Struct, tag_field="event", tag="gmcp", frozen=True):
    """A message of GMCP."""

    position: int
    package: str
    data: Any


class EncodingChanged(Struct, tag_field="event", tag="encoding", frozen=True):
    """The game has chosen an encoding."""

    position: int
    encoding: str


class Ended(Struct, tag_field="event", tag="ended", frozen=True):
    """The session is over, and the socket is closed."""

    position: int
    code: str
    text: str


Numbered = Text | Prompt | Echo | Gmcp | EncodingChanged | Ended
MakeNumbered = Callable[[int], Numbered]
"""Creates a message with its position."""
