"""Frames of the "games" flag. Source: docs/protocol.md, §7. Pure: no I/O, no clock."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from msgspec import UNSET, Struct, UnsetType

from shared.protocol.base import Incoming, Outgoing
from shared.protocol.codes import Code
from shared.protocol.types import ShortName, about


class GameNotice(Outgoing):
    """A notice about another game."""

    game: Annotated[ShortName, about("Its short name")]

    example: ClassVar[dict[str, Any]] = {"game": "ExVenture"}


class GameConnected(GameNotice, event="games/connect"):
    """Server → peer. A game came online: its first socket has just authenticated."""


class GameDisconnected(GameNotice, event="games/disconnect"):
    """Server → peer. A game has had no socket for a minute. If it reconnects sooner, there is no notice."""


class RequestGames(Incoming, event="games/status"):
    """Peer → server. Ask about one game, or about all online games."""

    game: Annotated[ShortName | None, about("A short name, in any case; if missing, all online games")] = None

    failures: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_GAME,)
    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"game": "ExVenture"}


class WayToConnect(Struct, frozen=True, kw_only=True, gc=False):
    """How players reach a game: a page (`url`), or a host and a port."""

    type: Annotated[Literal["web", "telnet", "secure telnet"], about("The kind of connection")]
    url: Annotated[str | UnsetType, about("A page to play on")] = UNSET
    host: Annotated[str | UnsetType, about("A host to connect to")] = UNSET
    port: Annotated[int | UnsetType, about("The port of that host")] = UNSET


class GameStatus(Outgoing, event="games/status"):
    """Server → peer. Information about one game. Unknown values have no key.

    Use `of`, which writes both spellings of the keys that clients disagree on.
    """

    game: Annotated[ShortName, about("The short name")]
    display_name: Annotated[str, about("The name to display")]
    connections: Annotated[list[WayToConnect], about("How players connect; may be empty")]
    description: Annotated[str | UnsetType, about("As the owner wrote it")] = UNSET
    homepage_url: Annotated[str | UnsetType, about("As the owner wrote it")] = UNSET
    user_agent: Annotated[str | UnsetType, about("The game's software")] = UNSET
    user_agent_url: Annotated[str | UnsetType, about("The home page of that software")] = UNSET
    user_agent_repo_url: Annotated[str | UnsetType, about("The same value, because clients read either key")] = UNSET
    supports: Annotated[list[str] | UnsetType, about("While it is online: the flags it declared")] = UNSET
    channels: Annotated[
        list[str] | UnsetType, about("While it is online: the public channels that it is subscribed to")
    ] = UNSET
    players_online_count: Annotated[int | UnsetType, about("While it is online: how many players are online")] = UNSET
    player_online_count: Annotated[int | UnsetType, about("The same value, because clients read either key")] = UNSET

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
        """Return the status, without keys for values that are None or empty. The last three are for online games."""
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
