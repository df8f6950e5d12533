"""Moderation by applications with the scope `moderate`, and reports by games (docs/protocol.md, §12).

Who may is in the table of events; every rule is in the services. What was done is told to all such applications by
`moderation/act`, on every worker, from the audit trail.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

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
from worker.wire.fanout import Frames
from worker.wire.frames import frame_text

if TYPE_CHECKING:
    from worker.sockets.connection import Connection
    from worker.worker import Worker

MODERATION = "moderation"  # the fan-out topic of applications with the scope

T = TypeVar("T")


def pause(connection: Connection, request: PauseChannel) -> None:
    """Pause a channel. Raises NotFound, Invalid."""
    _act(
        connection,
        lambda session, actor: channel_states.pause(
            session, actor, channel=request.channel, minutes=request.minutes, reason=request.reason
        ),
    )


def resume(connection: Connection, request: ResumeChannel) -> None:
    """Open a paused channel again. Raises NotFound, Conflict."""
    _act(connection, lambda session, actor: channel_states.resume(session, actor, channel=request.channel))


def sanction(connection: Connection, request: ImposeSanction) -> SanctionAnswer:
    """Warn, mute or ban. Raises NotFound, Invalid, Forbidden."""
    made = _act(
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
    return SanctionAnswer(id=made.id)


def lift(connection: Connection, request: LiftSanction) -> None:
    """End a sanction. Raises NotFound, Conflict, Forbidden."""
    _act(
        connection,
        lambda session, actor: sanctions.lift(session, actor, sanction_id=request.id, reason=request.reason),
    )


def redact(connection: Connection, request: RedactMessage) -> None:
    """Take a message's text away. Raises NotFound, Conflict."""
    _act(
        connection,
        lambda session, actor: messages.redact(session, actor, message_id=request.message_id, reason=request.reason),
    )


def report(connection: Connection, request: CreateReport) -> ReportAnswer:
    """Report a player or a message. Raises NotFound, Invalid, Conflict."""
    made = _act(
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
    return ReportAnswer(id=made.id)


def follow_acts(worker: Worker, acts: list[AuditEntry]) -> None:
    """Push what was done to this worker's applications with the scope; forget what was redacted here and on open
    pages."""
    for entry in acts:
        if entry.act == Act.REDACT:
            message = json.loads(entry.after or "{}")
            worker.diagnostics.forget_said(message["channel_id"], message["peer"])
            worker.browsers.line_redacted(message["channel_id"], message["message"])
        frame = frame_text(encode_event(ModerationAct.event, form_of(entry)))
        worker.fanout.broadcast(MODERATION, Frames.same(frame))


def form_of(entry: AuditEntry) -> ModerationAct:
    """An entry of the audit trail as applications get it."""
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


def _act(connection: Connection, do: Callable[[Session, Actor], T]) -> T:
    """Do something as the socket's peer, in one transaction."""
    peer = connection.peer
    assert peer is not None

    def write(session: Session) -> Any:
        found = (actors.of_application if peer.is_application else actors.of_game)(session, peer.id)
        return do(session, found)

    return connection.worker.database.write(write)
