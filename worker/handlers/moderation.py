"""Moderation by applications with the scope `moderate`, and reports by games (docs/protocol.md, §12).

The services check permissions and rules. Each worker follows the audit trail, and sends each act to its applications
with that scope as `moderation/act`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from msgspec import UNSET
from sqlalchemy.orm import Session

from shared.models.audit import AuditEntry
from shared.protocol import encode_event
from shared.protocol.moderation import (
    CreateReport,
    ImposeSanction,
    LiftSanction,
    ModerationAct,
    PauseChannel,
    RedactMessage,
    ReportAnswer,
    ResumeChannel,
    SanctionAnswer,
)
from shared.protocol.types import whole_seconds
from shared.services.authority import actors
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act
from shared.services.moderation import channel_states, messages, reports, sanctions
from worker.moderation.view import MODERATION
from worker.parts import Parts
from worker.sockets.connection import Connection
from worker.wire.broadcasts import Frames
from worker.wire.frames import frame_text

T = TypeVar("T")


def pause(parts: Parts, connection: Connection, request: PauseChannel) -> None:
    """Pause a channel. Raises NotFound, Invalid."""
    _act(
        parts,
        connection,
        lambda session, actor: channel_states.pause(
            session, actor, channel=request.channel, minutes=request.minutes, reason=request.reason
        ),
    )


def resume(parts: Parts, connection: Connection, request: ResumeChannel) -> None:
    """Resume a paused channel. Raises NotFound, Conflict."""
    _act(parts, connection, lambda session, actor: channel_states.resume(session, actor, channel=request.channel))


def sanction(parts: Parts, connection: Connection, request: ImposeSanction) -> SanctionAnswer:
    """Warn, mute or ban a player, a game, an account or an address. Raises NotFound, Invalid, Forbidden."""
    record = _act(
        parts,
        connection,
        lambda session, actor: sanctions.sanction(
            session,
            actor,
            kind=request.kind,
            target_kind=request.target_kind,
            target=request.target,
            channel=request.channel,
            seconds=request.seconds,
            reason=request.reason,
        ),
    )
    return SanctionAnswer(id=record.id)


def lift(parts: Parts, connection: Connection, request: LiftSanction) -> None:
    """End a sanction. Raises NotFound, Conflict, Forbidden."""
    _act(
        parts,
        connection,
        lambda session, actor: sanctions.lift(session, actor, sanction_id=request.id, reason=request.reason),
    )


def redact(parts: Parts, connection: Connection, request: RedactMessage) -> None:
    """Remove a message's text. Raises NotFound, Conflict."""
    _act(
        parts,
        connection,
        lambda session, actor: messages.redact(session, actor, message_id=request.message_id, reason=request.reason),
    )


def report(parts: Parts, connection: Connection, request: CreateReport) -> ReportAnswer:
    """Report a player or a message. Raises NotFound, Invalid, Conflict."""
    record = _act(
        parts,
        connection,
        lambda session, actor: reports.create_report(
            session,
            actor,
            game=request.game,
            name=request.name,
            text=request.text,
            message_id=request.message_id,
        ),
    )
    return ReportAnswer(id=record.id)


def follow_acts(parts: Parts, acts: list[AuditEntry]) -> None:
    """Send acts to this worker's applications with the scope. Remove redacted text from traces and open pages."""
    for entry in acts:
        if entry.act == Act.REDACT:
            message = json.loads(entry.after or "{}")
            parts.diagnostics.forget_lines(message["channel_id"], message["peer"])
            parts.browsers.line_redacted(message["channel_id"], message["message"])
        frame = frame_text(encode_event(ModerationAct.event, act_payload(entry)))
        parts.fanout.broadcast(MODERATION, Frames.same(frame))


def act_payload(entry: AuditEntry) -> ModerationAct:
    """Return the payload of `moderation/act` for an entry of the audit trail."""
    return ModerationAct(
        number=entry.number,
        at=whole_seconds(entry.at),
        act=entry.act,
        by=entry.actor_name,
        role=entry.actor_role,
        target_kind=entry.target_kind,
        target=entry.target,
        reason=entry.reason,
        before=UNSET if entry.before is None else json.loads(entry.before),
        after=UNSET if entry.after is None else json.loads(entry.after),
    )


def _act(parts: Parts, connection: Connection, service: Callable[[Session, Actor], T]) -> T:
    """Call a service in one transaction, with the socket's peer as the actor. Returns once this worker enforces it."""
    peer = connection.peer
    assert peer is not None

    def write(session: Session) -> T:
        actor = (actors.of_application if peer.is_application else actors.of_game)(session, peer.id)
        return service(session, actor)

    result = parts.database.write(write)
    parts.moderation.wait_until_enforced()
    return result
