"""The requests that a client can send: a function for each, which also knows how to read the answer. Pure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from gossip_client import events
from gossip_client.errors import GossipError, RequestTimedOut
from gossip_client.events import GameStatus, HistoryPage, PlayersStatus, SyncComplete
from gossip_client.frames import Frame, Ref, dump

T = TypeVar("T")
_log = logging.getLogger("gossip_client")


class Answers(Enum):
    """How many answers a request gets: one; many, whose end is not marked; or a sync, which `sync/complete` ends."""

    ONE = auto()
    MANY = auto()
    SYNC = auto()


class Request(Generic[T]):
    """One request, from the moment it is asked until it has ended.

    Set `on_done` to be called once when it has ended, by the thread or task that drives the core.

    Args:
        event: The name of the event to send.
        payload: Its payload, or None.
        read: Makes the result from the answers.
        answers: How many answers the server sends.
        waits: Whether it waits for a connection if there is none.
        seconds: How long to wait for the answer; None for the client's `answer_seconds`.

    Raises:
        TypeError: The payload cannot be expressed as JSON.
        ValueError: The payload cannot be expressed as JSON (NaN, a cycle).
    """

    def __init__(
        self,
        event: str,
        payload: Mapping[str, Any] | None,
        read: Callable[[Sequence[Frame]], T],
        *,
        answers: Answers = Answers.ONE,
        waits: bool = False,
        seconds: float | None = None,
    ) -> None:
        self.event = event
        self.payload = payload
        self.body = None if payload is None else dump(payload)
        self.mode = answers
        self.waits = waits
        self.seconds = seconds
        self.ref: Ref | None = None
        self.answers: list[Frame] = []
        self.error: GossipError | None = None
        self.is_done = False
        self.on_done: Callable[[Request[T]], None] | None = None
        self.asked_at = 0.0
        self.deadline: float | None = None
        self._read = read

    def result(self) -> T:
        """Return the result. Raises the GossipError of a request that failed."""
        if self.error is not None:
            raise self.error
        try:
            return self._read(self.answers)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise RequestTimedOut(f"{self.event}: the answer is malformed ({error!r})") from error

    def finish(self, error: GossipError | None = None) -> None:
        """End the request. Does nothing if it has ended already."""
        if not self.is_done:
            self.is_done = True
            self.error = error
            if self.on_done is not None:
                try:
                    self.on_done(self)
                except Exception:  # the caller's bug must not keep other requests from their answers
                    _log.exception("the on_done of %s failed", self.event)


def _read_nothing(answers: Sequence[Frame]) -> None:
    return None


def any_request(event: str, payload: Mapping[str, Any] | None) -> Request[Any]:
    """Make a request for any event with one answer. Its result is the answer's payload."""
    return Request(event, payload, lambda answers: answers[-1].payload)


def subscribe(channel: str) -> Request[None]:
    return Request("channels/subscribe", {"channel": channel}, _read_nothing)


def unsubscribe(channel: str) -> Request[None]:
    return Request("channels/unsubscribe", {"channel": channel}, _read_nothing)


def send(channel: str, name: str, message: str) -> Request[None]:
    payload = {"channel": channel, "name": name, "message": message}
    return Request("channels/send", payload, _read_nothing, waits=True)


def history(channel: str, *, before: int | None, after: int | None, limit: int) -> Request[HistoryPage]:
    def read(answers: Sequence[Frame]) -> HistoryPage:
        fields = answers[-1].fields
        name = str(fields["channel"])
        messages = [events.read_message(message, channel=name, is_missed=True) for message in fields["messages"]]
        return HistoryPage(name, tuple(messages), bool(fields.get("more")))

    payload: dict[str, Any] = {"channel": channel, "limit": limit}
    if before is not None:
        payload["before"] = before
    if after is not None:
        payload["after"] = after
    return Request("channels/history", payload, read)


def sign_in(name: str) -> Request[None]:
    return Request("players/sign-in", {"name": name}, _read_nothing)


def sign_out(name: str) -> Request[None]:
    return Request("players/sign-out", {"name": name}, _read_nothing)


def players_status(game: str | None = None) -> Request[list[PlayersStatus]]:
    return _status("players/status", game, events.read_players)


def games_status(game: str | None = None) -> Request[list[GameStatus]]:
    return _status("games/status", game, events.read_game)


def _status(event: str, game: str | None, read: Callable[[Mapping[str, Any]], T]) -> Request[list[T]]:
    def read_all(answers: Sequence[Frame]) -> list[T]:
        return [read(answer.fields) for answer in answers if "game" in answer.fields]

    if game is None:
        return Request(event, None, read_all, answers=Answers.MANY)
    return Request(event, {"game": game}, read_all)


def tell(from_name: str, to_game: str, to_name: str, message: str, sent_at: datetime | None) -> Request[None]:
    payload = {"from_name": from_name, "to_game": to_game, "to_name": to_name, "message": message}
    if sent_at is not None:
        payload["sent_at"] = sent_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Request("tells/send", payload, _read_nothing, waits=True)


def sync(since: int | None) -> Request[SyncComplete]:
    """Make a request of an application for changes. The records arrive as events with its ref, before the result."""

    def read(answers: Sequence[Frame]) -> SyncComplete:
        complete = events.read_sync(answers[-1])
        if not isinstance(complete, SyncComplete):
            raise ValueError("not a sync/complete")
        return complete

    return Request("sync", {"since": since}, read, answers=Answers.SYNC, seconds=120.0)
