"""Frames of moderation, for network applications with the scope `moderate`, and reports, which games may send.

Source: docs/protocol.md, §12. Pure: no I/O, no clock.
"""

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, UnsetType

from shared.protocol.base import Incoming, Outgoing
from shared.protocol.codes import Code
from shared.protocol.types import ChannelName, Name, RecordId, ShortName, Text, UtcTime, about, whole_number

_FAILURES = (Code.NOT_AN_APPLICATION, Code.MISSING_SCOPE)


class PauseChannel(Incoming, event="moderation/pause"):
    """Application → server. Stop a channel for a while: nobody can speak on it. The channel is notified."""

    channel: ChannelName
    reason: Annotated[Text, about("Why: one line, announced on the channel")]
    minutes: Annotated[int | None, about("The duration; null or missing: until it is resumed")] = None

    failures: ClassVar[tuple[Code, ...]] = (*_FAILURES, Code.NOT_FOUND)
    example: ClassVar[dict[str, Any]] = {"channel": "gossip", "minutes": 5, "reason": "calm down, please"}

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """Accept 5.0 for 5."""
        return _with_whole(payload, "minutes")


class ResumeChannel(Incoming, event="moderation/resume"):
    """Application → server. Open a paused channel again."""

    channel: ChannelName

    failures: ClassVar[tuple[Code, ...]] = (*_FAILURES, Code.NOT_FOUND, Code.CONFLICT)
    example: ClassVar[dict[str, Any]] = {"channel": "gossip"}


class ImposeSanction(Incoming, event="moderation/sanction"):
    """Application → server. Warn, mute or ban a player, a game, a site user or an address."""

    kind: Annotated[str, about("`warn`, `mute` or `ban`")]
    target: Annotated[str, about("`Bob@Game`, `Game`, a username, or an address or CIDR network")]
    reason: Annotated[Text, about("Why: one line, shown to the sanctioned person")]
    target_kind: Annotated[str, about("`player`, `game`, `user` or `address`")] = "player"
    channel: Annotated[
        ChannelName | None, about("Limits the sanction to this channel; null or missing: everywhere")
    ] = None
    seconds: Annotated[int | None, about("The duration; null or missing: permanent")] = None

    failures: ClassVar[tuple[Code, ...]] = (*_FAILURES, Code.NOT_FOUND, Code.FORBIDDEN)
    example: ClassVar[dict[str, Any]] = {
        "kind": "mute",
        "target_kind": "player",
        "target": "Bob@ExVenture",
        "seconds": 600,
        "reason": "flooding",
    }

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """Accept 600.0 for 600."""
        return _with_whole(payload, "seconds")


class SanctionAnswer(Outgoing, event="moderation/sanction"):
    """Server → application. The sanction is in force, or will be on every worker in a moment."""

    id: Annotated[int, about("The sanction's id, which `moderation/lift` needs")]

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {"id": 1}


class LiftSanction(Incoming, event="moderation/lift"):
    """Application → server. End a sanction early."""

    id: Annotated[RecordId, about("The sanction's id")]
    reason: Annotated[Text, about("Why: one line")]

    failures: ClassVar[tuple[Code, ...]] = (*_FAILURES, Code.NOT_FOUND, Code.CONFLICT, Code.FORBIDDEN)
    example: ClassVar[dict[str, Any]] = {"id": 1, "reason": "promised to behave"}

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """Accept 1.0 for 1."""
        return _with_whole(payload, "id")


class RedactMessage(Incoming, event="moderation/redact"):
    """Application → server. Permanently remove a message's text from the history and from all pages."""

    message_id: Annotated[RecordId, about("The message's id, as in `channels/broadcast`")]
    reason: Annotated[Text, about("Why: one line")]

    failures: ClassVar[tuple[Code, ...]] = (*_FAILURES, Code.NOT_FOUND, Code.CONFLICT)
    example: ClassVar[dict[str, Any]] = {"message_id": 1199, "reason": "an address of somebody's home"}

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """Accept 1199.0 for 1199."""
        return _with_whole(payload, "message_id")


class ModerationAct(Outgoing, event="moderation/act"):
    """Server → application. An act of moderation: an entry of the audit trail, sent as soon as it is committed."""

    number: Annotated[int, about("Its position in the audit trail: 1, 2, 3 … without gaps")]
    at: Annotated[UtcTime, about("When it happened")]
    act: Annotated[str, about("What was done, such as `sanction`, `lift`, `redact`, `channel/pause`")]
    by: Annotated[str, about("Who did it")]
    role: Annotated[str, about("In which role: `moderator`, `admin`, `application`, `operator`")]
    target_kind: Annotated[str, about("What `target` is, such as `player` or `channel`")]
    target: Annotated[str, about("The person or thing that it was done to, in words")]
    reason: Annotated[str, about("Why; may be empty")]
    before: Annotated[dict[str, Any] | UnsetType, about("The state before, if there is something to say")] = UNSET
    after: Annotated[dict[str, Any] | UnsetType, about("The state after; for a sanction `id`, `kind`, `until` …")] = (
        UNSET
    )

    example: ClassVar[dict[str, Any]] = {
        "number": 12,
        "at": "2026-11-23T06:15:44Z",
        "act": "sanction",
        "by": "alice",
        "role": "moderator",
        "target_kind": "player",
        "target": "Bob@ExVenture",
        "reason": "flooding",
        "after": {
            "id": 1,
            "kind": "mute",
            "channel": None,
            "until": "2026-11-23T06:25:44+00:00",
            "state": "in force",
        },
    }


class CreateReport(Incoming, event="reports/create"):
    """Peer → server. Report a player, or one of their messages, to the moderators. Since 2.4.0."""

    game: Annotated[ShortName, about("The short name of the player's game")]
    name: Annotated[Name, about("The player")]
    text: Annotated[Text, about("What is wrong, at most 1,000 characters")]
    message_id: Annotated[
        RecordId | None, about("The message's id, as in `channels/broadcast`; missing: the report is about the player")
    ] = None

    failures: ClassVar[tuple[Code, ...]] = (Code.NOT_FOUND, Code.CONFLICT, Code.FORBIDDEN, Code.UNKNOWN_EVENT)
    example: ClassVar[dict[str, Any]] = {
        "game": "ExVenture",
        "name": "Bob",
        "message_id": 1199,
        "text": "He says this to everybody who joins",
    }

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """Accept 1199.0 for 1199."""
        return _with_whole(payload, "message_id")


class ReportAnswer(Outgoing, event="reports/create"):
    """Server → peer. The report is in the moderators' queue. The game's owner can see the outcome on the site."""

    id: Annotated[int, about("The report's id; the same for everybody who reports the same thing")]

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {"id": 1}


def _with_whole(payload: Any, field: str) -> Any:
    if not isinstance(payload, dict):
        return {} if payload is None else payload
    return payload | {field: whole_number(payload.get(field))}
