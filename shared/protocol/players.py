"""Frames of the "players" flag. Source: docs/protocol.md, §5. Pure: no I/O, no clock."""

from typing import Annotated, Any, ClassVar

from shared.protocol.base import Incoming, Outgoing
from shared.protocol.codes import Code
from shared.protocol.types import Name, ShortName, about


class SignIn(Incoming, event="players/sign-in"):
    """Peer → server. A player has come online there."""

    name: Name

    example: ClassVar[dict[str, Any]] = {"name": "Alice"}


class SignOut(Incoming, event="players/sign-out"):
    """Peer → server. A player has left, on all of the game's sockets."""

    name: Name

    example: ClassVar[dict[str, Any]] = {"name": "Alice"}


class PlayerNotice(Outgoing):
    """What is said of a player of another game."""

    game: Annotated[ShortName, about("The player's game, its short name")]
    name: Annotated[Name, about("The player's name")]

    example: ClassVar[dict[str, Any]] = {"game": "ExVenture", "name": "Alice"}


class PlayerSignedIn(PlayerNotice, event="players/sign-in"):
    """Server → peer. A player of another game came online."""


class PlayerSignedOut(PlayerNotice, event="players/sign-out"):
    """Server → peer. A player of another game left."""


class RequestPlayers(Incoming, event="players/status"):
    """Peer → server. Who is online: in every online game, or in the one named."""

    game: Annotated[ShortName | None, about("A game's short name, in any case; without it, every online game")] = None

    failures: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_GAME,)
    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"game": "ExVenture"}


class PlayerStatus(Outgoing, event="players/status"):
    """Server → peer. Who is online in one game. There is no `status` key in the frame."""

    game: Annotated[ShortName, about("The game's short name")]
    players: Annotated[list[str], about("Who is online; empty for a game that is offline")]

    example: ClassVar[dict[str, Any]] = {"game": "ExVenture", "players": ["Alice", "Bob"]}
