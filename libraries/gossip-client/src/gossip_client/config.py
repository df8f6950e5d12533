"""The settings of a client, and the limits that the protocol sets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gossip_client.backoff import Backoff

PROTOCOL_VERSION = "2.4.0"
LONGEST_PAYLOAD = 65_000  # bytes; with its event and ref the frame stays below the 64 KiB that a server accepts


@dataclass(frozen=True)
class Config:
    """The settings of one client. All times are in seconds.

    Attributes:
        client_id: The id that the site shows on the game's page.
        client_secret: The secret that the site shows beside it.
        channels: Channels to subscribe to when the client connects.
        supports: Support flags to declare; `channels` is always declared.
        players: Returns the names of the players who are online here. Called at each heartbeat, which has room for some
            64 kB of names.
        user_agent: The name and version of the game's software.
        game: This game's short name. If it is set, the history never repeats this game's own lines.
        sync: For applications: returns the value of `sync` in each authentication (docs/protocol.md, section 8).
        keeps_view: Whether to keep a `View` of the games and players that are online.
        fills_gaps: Whether to read missed messages from the history.
        queue_limit: How many sends may wait for the connection.
        queue_seconds: How long a send may wait for the connection.
        answer_seconds: How long to wait for an answer.
        quiet_seconds: Servers before 2.4.0 do not mark the end of a list; it has ended after this much silence.
        silence_seconds: How long a server may be silent before the client considers it gone.
        refresh_seconds: How often to ask for the whole view again.
        history_pages: How many messages to read after a gap, at most, in hundreds.
        backoff: How long to wait before connecting again.
    """

    client_id: str
    client_secret: str = field(repr=False)
    channels: Collection[str] = ()
    supports: Collection[str] = ("channels",)
    players: Callable[[], Iterable[str] | None] | None = None
    user_agent: str | None = None
    game: str | None = None
    sync: Callable[[], Mapping[str, Any] | bool | None] | None = None
    keeps_view: bool = True
    fills_gaps: bool = True
    queue_limit: int = 100
    queue_seconds: float = 120.0
    answer_seconds: float = 15.0
    quiet_seconds: float = 1.0
    silence_seconds: float = 60.0
    refresh_seconds: float = 300.0
    history_pages: int = 10
    backoff: Backoff = field(default_factory=Backoff)
