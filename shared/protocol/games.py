"""Frames of the "games" flag. Source: docs/protocol.md, §7. Pure: no I/O, no clock."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from msgspec import UNSET, Struct, UnsetType

from shared.protocol.base import Incoming, Outgoing
from shared.protocol.codes import Code
from shared.protocol.types import ShortName, about


class GameNotice(Outgoing):
    """What is said of another game."""

    game: Annotated[ShortName, about("Its short name")]

    example: ClassVar[dict[str, Any]] = {"game": "ExVenture"}


class GameConnected(GameNotice, event="games/connect"):
    """Server → peer. A game came online: its first socket has authenticated."""


class GameDisconnected(GameNotice, event="games/disconnect"):
    """Server → peer. A game has been without a socket for a minute; a quick reconnect shows no notice."""


class RequestGames(Incoming, event="games/status"):
    """Peer → server. What games are online, or what the one named is."""

    game: Annotated[ShortName | None, about("A short name, in any case; without it, every online game")] = None

    failures: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_GAME,)
    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"game": "ExVenture"}


class WayToConnect(Struct, frozen=True, kw_only=True, gc=False):
    """How players reach a game: a page (`url`), or a host and a port."""

    type: Annotated[Literal["web", "telnet", "secure telnet"], about("How")]
    url: Annotated[str | UnsetType, about("A page to play on")] = UNSET
    host: Annotated[str | UnsetType, about("A host, with a port")] = UNSET
    port: Annotated[int | UnsetType, about("Its port")] = UNSET


class GameStatus(Outgoing, event="games/status"):
    """Server → peer. What there is to know of one game; what is not known has no key.

    Use `of`: it writes both spellings of the keys that clients disagree on.
    """

    game: Annotated[ShortName, about("The short name")]
    display_name: Annotated[str, about("The name to show")]
    connections: Annotated[list[WayToConnect], about("How players get there; may be empty")]
    description: Annotated[str | UnsetType, about("As the owner wrote it")] = UNSET
    homepage_url: Annotated[str | UnsetType, about("As the owner wrote it")] = UNSET
    user_agent: Annotated[str | UnsetType, about("The game's software")] = UNSET
    user_agent_url: Annotated[str | UnsetType, about("Where that software lives")] = UNSET
    user_agent_repo_url: Annotated[str | UnsetType, about("The same again: clients read either")] = UNSET
    supports: Annotated[list[str] | UnsetType, about("While it is online: the flags it declared")] = UNSET
    channels: Annotated[list[str] | UnsetType, about("While it is online: the public channels it hears")] = UNSET
    players_online_count: Annotated[int | UnsetType, about("While it is online: how many players are")] = UNSET
    player_online_count: Annotated[int | UnsetType, about("The same again: clients read either")] = UNSET

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
