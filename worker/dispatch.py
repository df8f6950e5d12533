"""From a message to the frames that answer it: parse, admit, call the handler, reply (docs/protocol.md, §2).

Touches no socket, unless the answer comes later.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import structlog

from shared import traces
from shared.db import describe_error, is_unavailable
from shared.errors import (
    Banned,
    DomainError,
    Forbidden,
    Invalid,
    MissingScope,
    MissingSupport,
    NotAnApplication,
    TooMany,
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
from shared.protocol.codes import RATE_LIMITED_GOODBYE, Code, missing_scope, missing_support, sentence
from shared.protocol.core import Authenticate
from shared.protocol.frames import encode_answer
from shared.services.authority.actors import MODERATE, Role
from shared.services.authority.permissions import RULES
from worker.answers import ANSWERED, Deferred
from worker.network.peers import TooManySockets
from worker.parts import Parts
from worker.routes import Replies, Route
from worker.sockets.connection import Connection

CLOSE_AUTHENTICATION_FAILED = CLOSE_ABUSIVE = 4000
CLOSE_BANNED = 4003
CLOSE_INTERNAL = 1011

_log = structlog.get_logger(__name__)


class Dispatcher:
    """Answers the messages of one endpoint's sockets. `routes` are the events it knows."""

    def __init__(self, parts: Parts, routes: Mapping[str, Route]) -> None:
        self._parts = parts
        self._routes = routes

    def answer(self, connection: Connection, data: bytes) -> list[bytes]:
        """Handle one message. May wait.

        Returns:
            The frames to send back, as JSON; often none.
        """
        limits = self._parts.limits
        is_admitted = limits.admit_event(connection)
        try:
            frame = parse_frame(data)
        except FrameError as error:
            return self._answer_to_no_frame(connection, error, data, is_admitted=is_admitted)
        try:
            if not is_admitted:
                raise limits.wait_for_event(connection)
            self._parts.moderation.ensure_fresh()
            with self._trace(frame):
                result = self._call_handler(connection, frame)
        except DomainError as error:
            answers = self._failure(connection, frame, error, data)
            return answers if is_admitted else self._disconnect_if_abusive(connection, answers)
        except Exception as error:
            self._log_fault(connection, frame, error)
            return self._failure(connection, frame, _Internal(sentence(Code.INTERNAL)), data)
        if isinstance(result, Deferred):
            # The ref is a view of the whole message: a copy of it alone is kept until the answer.
            ref = None if frame.ref is None else type(frame.ref)(bytes(frame.ref))
            request = RawFrame(frame.event, ref, None)
            result.then(lambda error: self._answer_later(connection, request, error, data))
            return []
        return self._success(connection, frame, result)

    def admit_control_frame(self, connection: Connection) -> bool:
        """Charge a ping or pong as an event, and close a socket that floods. Returns whether it is admitted."""
        limits = self._parts.limits
        if limits.admit_event(connection):
            return True
        if connection.goodbye is None and limits.is_abusive(connection):
            connection.goodbye = (CLOSE_ABUSIVE, RATE_LIMITED_GOODBYE)
            connection.close(*connection.goodbye)
        return False

    def _answer_to_no_frame(
        self, connection: Connection, error: FrameError, data: bytes, *, is_admitted: bool
    ) -> list[bytes]:
        self._parts.diagnostics.record_refusal(connection, data, error.event, error.code, error.message)
        if not is_admitted and error.ref is None:
            return self._disconnect_if_abusive(connection, [])
        if error.event == Authenticate.event and connection.peer is None:
            self._reject(connection, error)
        answer = encode_failure(error.event, error.ref, error.code, error.message, debug=connection.is_debugging)
        return [answer] if is_admitted else self._disconnect_if_abusive(connection, [answer])

    def _disconnect_if_abusive(self, connection: Connection, answers: list[bytes]) -> list[bytes]:
        """Close a socket that has been far over the limit of all events for too long. Returns all answers."""
        if connection.goodbye is None and self._parts.limits.is_abusive(connection):
            connection.goodbye = (CLOSE_ABUSIVE, RATE_LIMITED_GOODBYE)
            answers.append(encode_failure(None, None, Code.RATE_LIMITED, RATE_LIMITED_GOODBYE))
        return answers

    def _trace(self, frame: RawFrame) -> Any:
        """Return the span of a message. Clients can send any event: those that nobody serves share a name."""
        return traces.span(frame.event if frame.event in self._routes else "unknown event")

    def _call_handler(self, connection: Connection, frame: RawFrame) -> Any:
        route = self._routes.get(frame.event)
        if connection.peer is None and (route is None or not route.is_anonymous):
            raise Unauthenticated(sentence(Code.UNAUTHENTICATED))
        if route is None or (route.since is not None and not at_least(connection.version, route.since)):
            raise _UnknownEvent(sentence(Code.UNKNOWN_EVENT))
        self._admit(connection, route)
        if route.payload.needs_ref and frame.ref is None:
            raise Invalid('"ref" is missing: the answer needs it', field="ref")
        payload = decode_payload(route.payload, frame.payload)
        for limit in route.limits:
            self._parts.limits.spend_of_socket(connection, limit)
        if route.wants_ref:
            return route.handler(self._parts, connection, payload, frame.ref)
        return route.handler(self._parts, connection, payload)

    def _admit(self, connection: Connection, route: Route) -> None:
        """Check that the socket may send this event.

        Raises:
            MissingSupport, NotAnApplication, MissingScope, Forbidden.
        """
        if route.application and not connection.is_application:
            raise NotAnApplication(sentence(Code.NOT_AN_APPLICATION))
        if route.flag is not None and connection.peer is not None and route.flag not in connection.supports:
            raise MissingSupport(missing_support(route.flag))
        if route.act is not None and not RULES[route.act] & self._roles(connection):
            if route.application:
                raise MissingScope(missing_scope(MODERATE))
            raise Forbidden(f"{route.payload.event} is for games")

    def _log_fault(self, connection: Connection, frame: RawFrame, error: Exception) -> None:
        """Log an error that is not the peer's: in one line while the database is down, else with its traceback."""
        log = _log.bind(frame_event=frame.event, peer=connection.peer_key, connection=connection.id)
        if is_unavailable(error):
            log.error("a handler failed: the database is down or busy", error=describe_error(error))
        else:
            log.error("a handler failed", exc_info=error)

    def _roles(self, connection: Connection) -> frozenset[Role]:
        """Return the roles of a socket's peer in the table of permissions."""
        peer = connection.peer
        if peer is None:
            return frozenset([Role.VISITOR])
        if not peer.is_application:
            return frozenset([Role.GAME])
        if not self._parts.moderation.may_moderate(peer.id):
            return frozenset([Role.APPLICATION])
        return frozenset([Role.APPLICATION, Role.MODERATING_APPLICATION])

    def _success(self, connection: Connection, frame: RawFrame, result: Any) -> list[bytes]:
        replies = self._routes[frame.event].replies
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

    def _failure(self, connection: Connection, frame: RawFrame, error: DomainError, data: bytes) -> list[bytes]:
        self._parts.diagnostics.record_refusal(connection, data, frame.event, error.code, error.message)
        route = self._routes.get(frame.event)
        replies = Replies.TO_REF if route is None else route.replies
        if replies is Replies.ALWAYS and connection.peer is None:
            if isinstance(error, _Internal):
                # No answer: clients take any failed `authenticate` as final, but come back from a lost connection.
                connection.goodbye = (CLOSE_INTERNAL, error.message)
                return []
            if isinstance(error, TooManySockets):
                connection.goodbye = (CLOSE_AUTHENTICATION_FAILED, error.message)
                return []
            self._reject(connection, error)
        is_debugging = connection.is_debugging
        is_answered = (
            isinstance(error, (Unauthenticated, _UnknownEvent))
            or replies is Replies.ALWAYS
            or (replies is Replies.TO_REF and (frame.ref is not None or is_debugging))
        )
        if not is_answered:
            return []
        details = {name: value for name, value in error.details.items() if value is not None}
        return [encode_failure(frame.event, frame.ref, error.code, error.message, debug=is_debugging, **details)]

    def _reject(self, connection: Connection, error: DomainError) -> None:
        """Close the socket once it has the answer to a failed `authenticate`, after a delay that grows with each.

        Exceeding a rate limit does not count as a failure.
        """
        if isinstance(error, Banned):
            connection.goodbye = (CLOSE_BANNED, error.message)
            return
        connection.goodbye = (CLOSE_AUTHENTICATION_FAILED, error.message)
        if isinstance(error, TooMany):
            return
        failures = self._parts.failures
        delay = failures.delay(connection.claimed_id.strip().lower(), connection.transport.address, time.monotonic())
        if delay > 0:
            with failures.holding() as is_room:
                if is_room:
                    failures.wait(delay)

    def _answer_later(self, connection: Connection, frame: RawFrame, error: DomainError | None, data: bytes) -> None:
        if error is None:
            answers = self._success(connection, frame, None)
        else:
            answers = self._failure(connection, frame, error, data)
        for answer in answers:
            connection.send(answer)


class _UnknownEvent(DomainError):
    code = Code.UNKNOWN_EVENT


class _Internal(DomainError):
    code = Code.INTERNAL
