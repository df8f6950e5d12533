"""Frames of the "tells" flag. Source: docs/protocol.md, §6. Pure: no I/O, no clock."""

from datetime import datetime
from typing import Any, ClassVar, Self

from shared.protocol.base import Incoming, Outgoing
from shared.protocol.types import Name, ShortName, Text, UtcTime, whole_seconds


class SendTell(Incoming, event="tells/send"):
    """Peer → server. A player here speaks to one player of another game.

    to_game is a name matched without case and spaces. sent_at is UTC, None where the time of arrival is meant. message
    is plain text, never HTML.
    """

    from_name: Name
    to_game: ShortName
    to_name: Name
    message: Text
    sent_at: UtcTime | None = None

    example: ClassVar[dict[str, Any]] = {
        "from_name": "Alice",
        "to_game": "ExVenture",
        "to_name": "Bob",
        "sent_at": "2026-11-23T06:15:44Z",
        "message": "Are you there?",
    }

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """An empty `sent_at` is a missing one."""
        if isinstance(payload, dict) and payload.get("sent_at") == "":
            return payload | {"sent_at": None}
        return super().forgive(payload)


class ReceiveTell(Outgoing, event="tells/receive"):
    """Server → peer. A player of another game speaks to one here. from_game is a short name, sent_at UTC."""

    from_game: ShortName
    from_name: Name
    to_name: Name
    sent_at: UtcTime
    message: Text

    example: ClassVar[dict[str, Any]] = {
        "from_game": "MidMUD",
        "from_name": "Alice",
        "to_name": "Bob",
        "sent_at": "2026-11-23T06:15:44Z",
        "message": "Are you there?",
    }

    @classmethod
    def of(cls, from_game: str, tell: SendTell, *, arrived_at: datetime) -> Self:
        """The tell as its receiver gets it. from_game: the sender's short name, in its own spelling."""
        return cls(
            from_game=from_game,
            from_name=tell.from_name,
            to_name=tell.to_name,
            sent_at=whole_seconds(tell.sent_at or arrived_at),
            message=tell.message,
        )
