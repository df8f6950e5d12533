"""Every kind of frame with an example of it, for whatever describes the protocol. Pure: no I/O, no clock.

The pages, the AsyncAPI document and the tests all take their frames from here: what is shown is what is tried.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import msgspec
from msgspec import UNSET, Struct

from shared.protocol.base import Incoming, Outgoing
from shared.protocol.codes import COMMON, SENTENCES, Code
from shared.protocol.events import INCOMING, OUTGOING

FLAGLESS = ("core", "sync", "moderation", "reports")
"""Families of events that need no flag in `supports`."""


class Kind(StrEnum):
    """What a frame is: asked by a peer, its answer (good or bad), or said by the worker unasked."""

    REQUEST = "request"
    SUCCESS = "success"
    FAILURE = "failure"
    EVENT = "event"


class FrameKind(NamedTuple):
    """One kind of frame.

    payload: the class of its payload, None where it has none. example: a whole frame; further: frames of this kind that
    look different. codes: those a failure may have.
    """

    event: str
    flag: str
    kind: Kind
    payload: type[Incoming] | type[Outgoing] | None
    example: dict[str, Any]
    codes: tuple[Code, ...] = ()
    further: tuple[dict[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """A name of its own, such as `channels-send.request`."""
        return f"{anchor(self.event)}.{self.kind}"

    @property
    def is_from_peer(self) -> bool:
        """Whether peers send it, and not the worker."""
        return self.kind is Kind.REQUEST


def anchor(event: str) -> str:
    """The event's name where no slash may be: `channels-send`."""
    return event.replace("/", "-")


def answer_of(cls: type[Incoming]) -> type[Outgoing] | None:
    """The class of the answer to a request, None where the answer has no payload (or there is none)."""
    found = OUTGOING.get(cls.event)
    return found if found is not None and (cls.needs_ref or found.status == "success") else None


def answering_events(cls: type[Incoming]) -> list[type[Outgoing]]:
    """The events that answer a request under names of their own, as `sync/…` does `sync`."""
    return [found for event, found in OUTGOING.items() if cls.needs_ref and event.startswith(cls.event + "/")]


def events_of_worker() -> list[type[Outgoing]]:
    """What the worker says of its own accord."""
    answers = {answer_of(cls) for cls in INCOMING.values()}
    return [cls for cls in OUTGOING.values() if cls not in answers]


def failure_codes(cls: type[Incoming]) -> tuple[Code, ...]:
    """What may come of a request, its own failures first."""
    flag = (Code.MISSING_SUPPORT,) if cls.flag not in FLAGLESS else ()
    return tuple(dict.fromkeys((*cls.failures, *flag, *COMMON)))


def frame_kinds() -> list[FrameKind]:
    """All of them: each request with its answers behind it, then what the worker says."""
    return [*(kind for cls in INCOMING.values() for kind in kinds_of(cls)), *map(event_kind, events_of_worker())]


def kinds_of(cls: type[Incoming]) -> Iterator[FrameKind]:
    """A request and what answers it under the same name."""
    ref: dict[str, Any] = {} if cls.flag == "core" else {"ref": example_ref(cls.event)}
    head: dict[str, Any] = {"event": cls.event, **ref}
    yield FrameKind(cls.event, cls.flag, Kind.REQUEST, cls, {**head, "payload": cls.example})
    if not cls.is_answered:
        return
    answer = answer_of(cls)
    example = head if answer is not None and answer.status is None else {**head, "status": "success"}
    if answer is not None:
        example = {**example, "payload": answer.example}
    if answer is not None or not answering_events(cls):
        yield FrameKind(cls.event, cls.flag, Kind.SUCCESS, answer, example)
    codes = failure_codes(cls)
    failure = {**head, "status": "failure", "error": SENTENCES[codes[0]][0], "code": str(codes[0])}
    yield FrameKind(cls.event, cls.flag, Kind.FAILURE, None, failure, codes)


def event_kind(cls: type[Outgoing]) -> FrameKind:
    """What the worker says of its own accord."""
    example: dict[str, Any] = {"event": cls.event}
    if not cls.bare:
        example |= {"ref": example_ref(f"worker:{cls.event}"), "payload": cls.example}
    elif cls.example:
        example |= {"ref": example_ref(f"worker:{cls.event}"), "status": cls.status, **cls.example}
    further = tuple({**example, "payload": payload} for payload in cls.further_examples)
    codes = tuple(SENTENCES) if cls.status else ()
    return FrameKind(cls.event, cls.flag, Kind.EVENT, cls, example, codes, further)


def example_ref(text: str) -> str:
    """A ref for an example: looks like any, and is always the same for the same text."""
    return str(uuid5(NAMESPACE_URL, text))


def summary(cls: type[Struct]) -> str:
    """The first paragraph of the class's docstring on one line, without the direction and what it cites."""
    first = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
    return re.sub(r"^\w+ → \w+\. | See docs/[^ ]+ §\d+\.$", "", first)


def required_fields(cls: type[Struct]) -> set[str]:
    """The fields that are always there; of a request, those without which it fails."""
    if issubclass(cls, Incoming):
        return {field.encode_name for field in msgspec.structs.fields(cls) if field.required} | set(cls.demanded)
    if issubclass(cls, Outgoing):
        return {field.encode_name for field in msgspec.structs.fields(cls) if field.default is not UNSET}
    return {field.encode_name for field in msgspec.structs.fields(cls) if field.required}


def record_of(cls: type[Struct]) -> type[Struct] | None:
    """The class of the records that an event carries as ready JSON."""
    found: type[Struct] | None = getattr(cls, "record", None)
    return found
