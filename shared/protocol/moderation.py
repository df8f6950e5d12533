"""Frames of moderation, for network applications with the scope `moderate`, and reports, which games may make.

Source: docs/protocol.md, §12. Pure: no I/O, no clock.
"""

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, UnsetType

from shared.protocol.base import Incoming, Outgoing
from shared.protocol.codes import Code
from shared.protocol.types import ChannelName, Name, RecordId, ShortName, Text, UtcTime, about, whole_number

_FAILURES = (Code.NOT_AN_APPLICATION, Code.MISSING_SCOPE)


class PauseChannel(Incoming, event="moderation/pause"):
    """Application → server. Nobody may speak on a channel for a while; the channel is told."""

    channel: ChannelName
    reason: Annotated[Text, about("Why: one line, which the channel is told")]
    minutes: Annotated[int | None, about("How long; null or missing: until it is resumed")] = None

    failures: ClassVar[tuple[Code, ...]] = (*_FAILURES, Code.NOT_FOUND)
    example: ClassVar[dict[str, Any]] = {"channel": "gossip", "minutes": 5, "reason": "calm down, please"}

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """The minutes may come as 5.0."""
        return _with_whole(payload, "minutes")


class ResumeChannel(Incoming, event="moderation/resume"):
    """Application → server. A paused channel is open again."""

    channel: ChannelName

    failures: ClassVar[tuple[Code, ...]] = (*_FAILURES, Code.NOT_FOUND, Code.CONFLICT)
    example: ClassVar[dict[str, Any]] = {"channel": "gossip"}


class ImposeSanction(Incoming, event="moderation/sanction"):
    """Application → server. A player, a game, a site user or an address is warned, muted or banned."""

    kind: Annotated[str, about("`warn`, `mute` or `ban`")]
    target: Annotated[str, about("`Bob@Game`, `Game`, a username, or an address or CIDR network")]
    reason: Annotated[Text, about("Why: one line, which whoever is sanctioned is told")]
    target_kind: Annotated[str, about("`player`, `game`, `user` or `address`")] = "player"
    channel: Annotated[ChannelName | None, about("On this channel alone; null or missing: everywhere")] = None
    seconds: Annotated[int | None, about("How long; null or missing: for good")] = None

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
        """The seconds may come as 600.0."""
        return _with_whole(payload, "seconds")


class SanctionAnswer(Outgoing, event="moderation/sanction"):
    """Server → application. The sanction is in force on every worker, or will be in a moment."""

    id: Annotated[int, about("What `moderation/lift` needs")]

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {"id": 1}


class LiftSanction(Incoming, event="moderation/lift"):
    """Application → server. A sanction ends before its time."""

    id: Annotated[RecordId, about("Of the sanction")]
    reason: Annotated[Text, about("Why: one line")]

    failures: ClassVar[tuple[Code, ...]] = (*_FAILURES, Code.NOT_FOUND, Code.CONFLICT, Code.FORBIDDEN)
    example: ClassVar[dict[str, Any]] = {"id": 1, "reason": "promised to behave"}

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """The id may come as 1.0."""
        return _with_whole(payload, "id")


class RedactMessage(Incoming, event="moderation/redact"):
    """Application → server. A message's text is taken away for good, from the history and all pages."""

    message_id: Annotated[RecordId, about("Of the message, as in `channels/broadcast`")]
    reason: Annotated[Text, about("Why: one line")]

    failures: ClassVar[tuple[Code, ...]] = (*_FAILURES, Code.NOT_FOUND, Code.CONFLICT)
    example: ClassVar[dict[str, Any]] = {"message_id": 1199, "reason": "an address of somebody's home"}

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """The id may come as 1199.0."""
        return _with_whole(payload, "message_id")


class ModerationAct(Outgoing, event="moderation/act"):
    """Server → application. Somebody moderated: an entry of the audit trail, as soon as it is written."""

    number: Annotated[int, about("Its place in the audit trail: 1, 2, 3 … without a gap")]
    at: Annotated[UtcTime, about("When")]
    act: Annotated[str, about("What was done, such as `sanction`, `lift`, `redact`, `channel/pause`")]
    by: Annotated[str, about("Who did it")]
    role: Annotated[str, about("As what: `moderator`, `admin`, `application`, `operator`")]
    target_kind: Annotated[str, about("What `target` is, such as `player` or `channel`")]
    target: Annotated[str, about("Whom or what it was done to, in words")]
    reason: Annotated[str, about("Why; may be empty")]
    before: Annotated[dict[str, Any] | UnsetType, about("What was before, where there was something")] = UNSET
    after: Annotated[dict[str, Any] | UnsetType, about("What is now; of a sanction `id`, `kind`, `until` …")] = UNSET

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
    """Peer → server. A game reports a player, or one message of theirs, to the moderators. Since 2.4.0."""

    game: Annotated[ShortName, about("The game of whom it is about")]
    name: Annotated[Name, about("The player whom it is about")]
    text: Annotated[Text, about("What is wrong, 1,000 characters at most")]
    message_id: Annotated[RecordId | None, about("The message, as in `channels/broadcast`; missing: the player")] = None

    failures: ClassVar[tuple[Code, ...]] = (Code.NOT_FOUND, Code.CONFLICT, Code.FORBIDDEN, Code.UNKNOWN_EVENT)
    example: ClassVar[dict[str, Any]] = {
        "game": "ExVenture",
        "name": "Bob",
        "message_id": 1199,
        "text": "He says this to everybody who joins",
    }

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """The id may come as 1199.0."""
        return _with_whole(payload, "message_id")


class ReportAnswer(Outgoing, event="reports/create"):
    """Server → peer. The report is in the moderators' queue; what comes of it is on the owner's page."""

    id: Annotated[int, about("Of the report; the same for all who report the same")]

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {"id": 1}


def _with_whole(payload: Any, field: str) -> Any:
    if not isinstance(payload, dict):
        return {} if payload is None else payload
    return payload | {field: whole_number(payload.get(field))}
