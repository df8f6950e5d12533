"""Frames of the "tells" flag. Source: docs/protocol.md, §6. Pure: no I/O, no clock."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

from shared.protocol.base import Incoming, Outgoing
from shared.protocol.codes import Code
from shared.protocol.types import Name, ShortName, Text, UtcTime, Words, about, whole_seconds


class SendTell(Incoming, event="tells/send"):
    """Peer → server. Send a private line to a player of another game. Delivered at most once, and never stored."""

    from_name: Annotated[Name, about("The sender: a player who is online in this game")]
    to_game: Annotated[ShortName, about("The receiver's game; case and spaces do not matter")]
    to_name: Annotated[Name, about("The receiver; case does not matter")]
    message: Words
    sent_at: Annotated[UtcTime | None, about("ISO 8601 in UTC; missing, null or empty means now")] = None

    failures: ClassVar[tuple[Code, ...]] = (
        Code.GAME_OFFLINE,
        Code.NOT_SUPPORTED,
        Code.PLAYER_OFFLINE,
        Code.MUTED,
        Code.BANNED,
    )
    example: ClassVar[dict[str, Any]] = {
        "from_name": "Alice",
        "to_game": "ExVenture",
        "to_name": "Bob",
        "sent_at": "2026-11-23T06:15:44Z",
        "message": "Are you there?",
    }

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """Treat an empty `sent_at` as missing."""
        if isinstance(payload, dict) and payload.get("sent_at") == "":
            return payload | {"sent_at": None}
        return super().forgive(payload)


class ReceiveTell(Outgoing, event="tells/receive"):
    """Server → peer. A private line from a player of another game to one of this game."""

    from_game: Annotated[ShortName, about("The short name of the sender's game")]
    from_name: Annotated[Name, about("The sender")]
    to_name: Annotated[Name, about("The receiver")]
    sent_at: Annotated[UtcTime, about("A time in UTC, always in whole seconds with Z")]
    message: Annotated[Text, about("Plain text")]

    example: ClassVar[dict[str, Any]] = {
        "from_game": "MidMUD",
        "from_name": "Alice",
        "to_name": "Bob",
        "sent_at": "2026-11-23T06:15:44Z",
        "message": "Are you there?",
    }

    @classmethod
    def of(cls, from_game: str, tell: SendTell, *, arrived_at: datetime) -> Self:
        """Return the tell in the form for its receiver. from_game: the short name of the sender's game."""
        return cls(
            from_game=from_game,
            from_name=tell.from_name,
            to_name=tell.to_name,
            sent_at=whole_seconds(tell.sent_at or arrived_at),
            message=tell.message,
        )
