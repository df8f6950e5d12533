"""Frames of the "players" flag. Source: docs/protocol.md, §5. Pure: no I/O, no clock."""

from typing import Annotated, Any, ClassVar

from shared.protocol.base import Incoming, Outgoing
from shared.protocol.codes import Code
from shared.protocol.types import Name, ShortName, about


class SignIn(Incoming, event="players/sign-in"):
    """Peer → server. A player came online in this game."""

    name: Name

    example: ClassVar[dict[str, Any]] = {"name": "Alice"}


class SignOut(Incoming, event="players/sign-out"):
    """Peer → server. A player left. Removes them from all of the game's sockets."""

    name: Name

    example: ClassVar[dict[str, Any]] = {"name": "Alice"}


class PlayerNotice(Outgoing):
    """A notice about a player of another game."""

    game: Annotated[ShortName, about("The short name of the player's game")]
    name: Annotated[Name, about("The player's name")]

    example: ClassVar[dict[str, Any]] = {"game": "ExVenture", "name": "Alice"}


class PlayerSignedIn(PlayerNotice, event="players/sign-in"):
    """Server → peer. A player of another game came online."""


class PlayerSignedOut(PlayerNotice, event="players/sign-out"):
    """Server → peer. A player of another game left."""


class RequestPlayers(Incoming, event="players/status"):
    """Peer → server. Ask who is online, everywhere or in one game."""

    game: Annotated[ShortName | None, about("A game's short name, in any case; if missing, all online games")] = None

    failures: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_GAME,)
    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"game": "ExVenture"}


class PlayerStatus(Outgoing, event="players/status"):
    """Server → peer. The players who are online in one game. The frame has no `status` key."""

    game: Annotated[ShortName, about("The game's short name")]
    players: Annotated[list[str], about("Who is online; empty for a game that is offline")]

    example: ClassVar[dict[str, Any]] = {"game": "ExVenture", "players": ["Alice", "Bob"]}
