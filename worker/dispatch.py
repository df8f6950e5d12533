"""From the text of a frame to the frames that answer it: parse, admit, call the handler, reply (docs/protocol.md, §2).

Touches no socket.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import gevent
import structlog

from shared.errors import (
    Banned,
    DomainError,
    Forbidden,
    Invalid,
    MissingScope,
    MissingSupport,
    NotAnApplication,
    Unauthenticated,
)
from shared.protocol import (
    FrameError,
    Outgoing,
    RawFrame,
    at_least,
    decode_payload,
    encode_failure,
    encode_success,
    parse_frame,
)
from shared.protocol.codes import SENTENCES, Code, missing_scope, missing_support, sentence
from shared.protocol.core import Authenticate
from shared.protocol.frames import encode_answer
from shared.services.authority.actors import MODERATE, Role
from shared.services.authority.permissions import RULES
from worker.answers import ANSWERED, Deferred
from worker.routes import Replies, Route

if TYPE_CHECKING:
    from worker.sockets.connection import Connection

CLOSE_AUTHENTICATION_FAILED = CLOSE_ABUSIVE = 4000
CLOSE_BANNED = 4003
CLOSE_INTERNAL = 1011
GOODBYE = SENTENCES[Code.RATE_LIMITED][1]

_log = structlog.get_logger(__name__)


def dispatch(connection: Connection, data: bytes) -> list[bytes]:
    """Handle the text of one message; returns the JSON of the frames to send back, often none."""
    is_admitted = connection.worker.limits.admit_event(connection)
    try:
        frame = parse_frame(data)
    except FrameError as error:
        connection.worker.diagnostics.refused(connection, data, error.event, error.code, error.message)
        if not is_admitted and error.ref is None:
            return _put_out_if_abusive(connection, [])
        if error.event == Authenticate.event and connection.peer is None:
            _turn_away(connection, error)
        answer = encode_failure(error.event, error.ref, error.code, error.message, debug=connection.is_debugging)
        return [answer] if is_admitted else _put_out_if_abusive(connection, [answer])
    try:
        if not is_admitted:
            raise connection.worker.limits.wait_for_event(connection)
        result = _call(connection, frame)
    except DomainError as error:
        answers = _failure(connection, frame, error, data)
        return answers if is_admitted else _put_out_if_abusive(connection, answers)
    except Exception:
        _log.exception("a handler failed", frame_event=frame.event, peer=connection.peer_key, connection=connection.id)
        return _failure(connection, frame, _Internal(sentence(Code.INTERNAL)), data)
    if isinstance(result, Deferred):
        event, ref = frame.event, None if frame.ref is None else type(frame.ref)(bytes(frame.ref))
        kept = RawFrame(event, ref, None)
        result.then(lambda error: _answer_later(connection, kept, error, data))
        return []
    return _success(connection, frame, result)


def _put_out_if_abusive(connection: Connection, answers: list[bytes]) -> list[bytes]:
    """The answers, and the goodbye for a socket that has gone on over the limit of all events for too long."""
    if connection.goodbye is None and connection.worker.limits.is_abusive(connection):
        connection.goodbye = (CLOSE_ABUSIVE, GOODBYE)
        answers.append(encode_failure(None, None, Code.RATE_LIMITED, GOODBYE))
    return answers


def _call(connection: Connection, frame: RawFrame) -> Any:
    route = connection.routes.get(frame.event)
    if connection.peer is None and (route is None or not route.is_anonymous):
        raise Unauthenticated(sentence(Code.UNAUTHENTICATED))
    if route is None or (route.since is not None and not at_least(connection.version, route.since)):
        raise _UnknownEvent(sentence(Code.UNKNOWN_EVENT))
    _admit(connection, route)
    if route.payload.needs_ref and frame.ref is None:
        raise Invalid('"ref" is missing: the answer needs it', field="ref")
    payload = decode_payload(route.payload, frame.payload)
    for limit in route.limits:
        connection.worker.limits.spend_of_socket(connection, limit)
    return route.handler(connection, payload, frame.ref) if route.wants_ref else route.handler(connection, payload)


def _admit(connection: Connection, route: Route) -> None:
    """Who may call what; the table of events says it.

    Raises MissingSupport, NotAnApplication, MissingScope, Forbidden.
    """
    if route.application and not connection.is_application:
        raise NotAnApplication(sentence(Code.NOT_AN_APPLICATION))
    if route.flag is not None and connection.peer is not None and route.flag not in connection.supports:
        raise MissingSupport(missing_support(route.flag))
    if route.act is not None and not RULES[route.act] & roles_of(connection):
        if route.application:
            raise MissingScope(missing_scope(MODERATE))
        raise Forbidden(f"{route.payload.event} is for games")


def roles_of(connection: Connection) -> frozenset[Role]:
    """What a socket's peer is, for the table of permissions."""
    peer = connection.peer
    if peer is None:
        return frozenset([Role.VISITOR])
    if not peer.is_application:
        return frozenset([Role.GAME])
    may_moderate = connection.worker.moderation.may_moderate(peer.id)
    return frozenset([Role.APPLICATION, *([Role.MODERATING_APPLICATION] if may_moderate else [])])


def _success(connection: Connection, frame: RawFrame, result: Any) -> list[bytes]:
    replies = connection.routes[frame.event].replies
    is_answered = replies is Replies.TO_REF and (frame.ref is not None or connection.is_debugging)
    if result is ANSWERED or not is_answered:
        return []
    if result is None:
        return [encode_success(frame.event, frame.ref)]
    answers: list[Outgoing] = result if isinstance(result, list) else [result]
    return [
        encode_success(frame.event, frame.ref, answer)
        if answer.status is not None
        else encode_answer(frame.event, frame.ref, answer)
        for answer in answers
    ]


def _failure(connection: Connection, frame: RawFrame, error: DomainError, data: bytes) -> list[bytes]:
    connection.worker.diagnostics.refused(connection, data, frame.event, error.code, error.message)
    route = connection.routes.get(frame.event)
    replies = Replies.TO_REF if route is None else route.replies
    if replies is Replies.ALWAYS and connection.peer is None:
        _turn_away(connection, error)
    is_answered = (
        isinstance(error, (Unauthenticated, _UnknownEvent))
        or replies is Replies.ALWAYS
        or (replies is Replies.TO_REF and (frame.ref is not None or connection.is_debugging))
    )
    if not is_answered:
        return []
    details = {name: value for name, value in error.details.items() if value is not None}
    return [encode_failure(frame.event, frame.ref, error.code, error.message, debug=connection.is_debugging, **details)]


def _turn_away(connection: Connection, error: DomainError) -> None:
    """An `authenticate` failed: the socket closes after the answer, and both come later each time.

    A fault of ours is no failed attempt, and its close code does not say so.
    """
    if isinstance(error, _Internal):
        connection.goodbye = (CLOSE_INTERNAL, error.message)
        return
    if isinstance(error, Banned):
        connection.goodbye = (CLOSE_BANNED, error.message)
        return
    connection.goodbye = (CLOSE_AUTHENTICATION_FAILED, error.message)
    failures = connection.worker.failures
    delay = failures.delay(connection.claimed_id.strip().lower(), connection.transport.address, time.monotonic())
    if delay > 0:
        with failures.holding() as is_room:
            if is_room:
                gevent.sleep(delay)


def _answer_later(connection: Connection, frame: RawFrame, error: DomainError | None, data: bytes) -> None:
    frames = _success(connection, frame, None) if error is None else _failure(connection, frame, error, data)
    for answer in frames:
        connection.send(answer)


class _UnknownEvent(DomainError):
    code = Code.UNKNOWN_EVENT


class _Internal(DomainError):
    code = Code.INTERNAL
