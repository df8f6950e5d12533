"""Frames of the "games" flag. Source: docs/protocol.md, §7. Pure: no I/O, no clock."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, Self

from msgspec import UNSET, Struct, UnsetType

from shared.protocol.base import Incoming, Outgoing
from shared.protocol.types import ShortName


class GameNotice(Outgoing):
    """What is said of another game. game: its short name."""

    game: ShortName

    example: ClassVar[dict[str, Any]] = {"game": "ExVenture"}


class GameConnected(GameNotice, event="games/connect"):
    """Server → peer. A game came online: its first socket has authenticated."""


class GameDisconnected(GameNotice, event="games/disconnect"):
    """Server → peer. A game has been offline for a minute."""


class RequestGames(Incoming, event="games/status"):
    """Peer → server. What games are online, or what the one named is. game: a short name, in any case."""

    game: ShortName | None = None

    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"game": "ExVenture"}


class WayToConnect(Struct, frozen=True, kw_only=True, gc=False):
    """How players reach a game: a page (`url`), or a host and a port."""

    type: Literal["web", "telnet", "secure telnet"]
    url: str | UnsetType = UNSET
    host: str | UnsetType = UNSET
    port: int | UnsetType = UNSET


class GameStatus(Outgoing, event="games/status"):
    """Server → peer. What there is to know of one game; what is not known has no key.

    Use `of`: it writes both spellings of the keys that clients disagree on.
    """

    game: ShortName
    display_name: str
    description: str | UnsetType = UNSET
    homepage_url: str | UnsetType = UNSET
    user_agent: str | UnsetType = UNSET
    user_agent_url: str | UnsetType = UNSET
    user_agent_repo_url: str | UnsetType = UNSET
    connections: list[WayToConnect] | UnsetType = UNSET
    supports: list[str] | UnsetType = UNSET
    channels: list[str] | UnsetType = UNSET
    players_online_count: int | UnsetType = UNSET
    player_online_count: int | UnsetType = UNSET

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {
        "game": "ExVenture",
        "display_name": "ExVenture MUD",
        "description": "A game written in Elixir",
        "homepage_url": "https://exventure.example.com",
        "user_agent": "ExVenture 0.25.0",
        "user_agent_url": "https://example.com/exventure",
        "user_agent_repo_url": "https://example.com/exventure",
        "connections": [
            {"type": "web", "url": "https://exventure.example.com/play"},
            {"type": "telnet", "host": "exventure.example.com", "port": 5555},
        ],
        "supports": ["channels", "players", "tells", "games"],
        "channels": ["gossip"],
        "players_online_count": 2,
        "player_online_count": 2,
    }

    @classmethod
    def of(
        cls,
        *,
        game: str,
        display_name: str,
        description: str | None = None,
        homepage_url: str | None = None,
        user_agent: str | None = None,
        user_agent_url: str | None = None,
        connections: Sequence[WayToConnect] = (),
        supports: Iterable[str] | None = None,
        channels: Iterable[str] | None = None,
        players_online_count: int | None = None,
    ) -> Self:
        """The status, with no key for what is None or empty. The last three are for games that are online."""
        count = UNSET if players_online_count is None else players_online_count
        return cls(
            game=game,
            display_name=display_name,
            description=description or UNSET,
            homepage_url=homepage_url or UNSET,
            user_agent=user_agent or UNSET,
            user_agent_url=user_agent_url or UNSET,
            user_agent_repo_url=user_agent_url or UNSET,
            connections=list(connections),
            supports=UNSET if supports is None else list(supports),
            channels=UNSET if channels is None else list(channels),
            players_online_count=count,
            player_online_count=count,
        )
