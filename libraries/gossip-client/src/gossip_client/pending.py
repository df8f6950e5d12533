"""Requests that have been sent and wait for their answers. Pure."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

from gossip_client.config import Config
from gossip_client.errors import GossipError, RequestFailed, RequestTimedOut
from gossip_client.frames import Frame, Ref, encode, join
from gossip_client.requests import Answers, Request

_PEER_OF_END_MARK = "Grapevine"  # it is always online: the site itself is that game


class PendingRequests:
    """Gives each request a ref and a deadline, and matches answers to requests.

    The protocol does not mark the end of a list of answers. Servers of 2.4.0 and later answer status requests in
    order, so after each request for a list this class asks for the status of one game: the answer to that second
    request ends the list. With older servers, `quiet_seconds` without an answer ends it.
    """

    def __init__(self, config: Config, rng: random.Random) -> None:
        self._config = config
        self._rng = rng
        self._requests: dict[Ref, Request[Any]] = {}
        self._end_marks: dict[Ref, Ref] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Request[Any], now: float, *, is_ordered: bool) -> list[str]:
        """Start waiting for a request's answers.

        Args:
            request: The request. Gets a new ref and a deadline.
            now: The current time.
            is_ordered: Whether the server answers status requests in order.

        Returns:
            The frames to send.
        """
        config = self._config
        request.ref = self._new_ref()
        request.answers = []
        request.deadline = now + (config.answer_seconds if request.seconds is None else request.seconds)
        self._requests[request.ref] = request
        frames = [join(request.event, request.body, request.ref)]
        if request.mode is Answers.MANY:
            if is_ordered:
                end_mark = self._new_ref()
                self._end_marks[end_mark] = request.ref
                frames.append(encode(request.event, {"game": _PEER_OF_END_MARK}, end_mark))
            else:
                request.deadline = now + max(2.0, 2 * config.quiet_seconds)
        return frames

    def find(self, ref: Ref | None) -> Request[Any] | None:
        """Return the pending request with this ref, or None."""
        return None if ref is None else self._requests.get(ref)

    def is_end_mark(self, ref: Ref | None) -> bool:
        """Return whether an answer with this ref ends a list."""
        return ref is not None and ref in self._end_marks

    def end_list(self, ref: Ref) -> Request[Any] | None:
        """Remove an end mark. Return the request whose list it ends, or None if that is no longer pending."""
        return self._requests.get(self._end_marks.pop(ref))

    def receive(self, request: Request[Any], frame: Frame, now: float, *, is_ordered: bool) -> bool:
        """Add a successful answer to its request. Return whether it was the last one."""
        config = self._config
        if request.mode is Answers.ONE:
            request.answers.append(frame)
            return True
        if request.mode is Answers.MANY:
            request.answers.append(frame)
            request.deadline = now + (config.answer_seconds if is_ordered else config.quiet_seconds)
            return False
        request.answers = [frame]
        request.deadline = now + (request.seconds or config.answer_seconds)
        return frame.event == "sync/complete"

    def remove(self, request: Request[Any]) -> None:
        """Stop waiting for a request's answers."""
        if request.ref is not None:
            self._requests.pop(request.ref, None)
        if request.mode is Answers.MANY:
            self._end_marks = {mark: ref for mark, ref in self._end_marks.items() if ref != request.ref}

    def overdue(self, now: float) -> list[Request[Any]]:
        """Return the requests whose deadline has passed."""
        return [request for request in self._requests.values() if is_overdue(request, now)]

    def clear(self) -> list[Request[Any]]:
        """Remove all requests and return them."""
        requests = list(self._requests.values())
        self._requests.clear()
        self._end_marks.clear()
        return requests

    def wakes_at(self) -> float | None:
        """Return the earliest deadline, or None."""
        deadlines = [request.deadline for request in self._requests.values() if request.deadline is not None]
        return min(deadlines, default=None)

    def _new_ref(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))


def is_overdue(request: Request[Any], now: float) -> bool:
    """Return whether a request's deadline has passed."""
    return request.deadline is not None and request.deadline <= now


def failure_of(request: Request[Any], frame: Frame) -> RequestFailed | None:
    """Return the failure that an answer reports, or None if it reports success."""
    if not frame.is_failure and not (frame.event == "error" and frame.error):
        return None
    retry_after = None if frame.retry_after_ms is None else frame.retry_after_ms / 1000
    return RequestFailed(request.event, frame.error or "failed", code=frame.code, retry_after=retry_after)


def timeout_of(request: Request[Any], *, is_ordered: bool) -> GossipError | None:
    """Return the error of an overdue request, or None if silence is how its list ends."""
    if request.mode is Answers.MANY and not is_ordered:
        return None
    return RequestTimedOut(f"{request.event}: no answer in time")
