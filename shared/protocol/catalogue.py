"""Every kind of frame, each with an example. Pure: no I/O, no clock.

The pages, the AsyncAPI document and the tests all take their frames from here, so that what is shown is also tested.
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
"""The flags of events that need no flag in `supports`."""


class Kind(StrEnum):
    """A request of a peer, its success or failure answer, or an event that the worker sends on its own."""

    REQUEST = "request"
    SUCCESS = "success"
    FAILURE = "failure"
    EVENT = "event"


class FrameKind(NamedTuple):
    """One kind of frame.

    Attributes:
        payload: the class of its payload; None if it has none.
        example: a whole frame.
        codes: the codes of a failure.
        further: more examples, which look different.
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
        """A unique name, such as `channels-send.request`."""
        return f"{anchor(self.event)}.{self.kind}"


def anchor(event: str) -> str:
    """Return the event's name without a slash, such as `channels-send`."""
    return event.replace("/", "-")


def answer_of(cls: type[Incoming]) -> type[Outgoing] | None:
    """Return the class of the answer's payload; None if the answer has no payload or there is no answer."""
    answer = OUTGOING.get(cls.event)
    return answer if answer is not None and (cls.needs_ref or answer.status == "success") else None


def answering_events(cls: type[Incoming]) -> list[type[Outgoing]]:
    """Return the events with other names that answer a request, as `sync/…` answers `sync`."""
    return [answer for event, answer in OUTGOING.items() if cls.needs_ref and event.startswith(cls.event + "/")]


def events_of_worker() -> list[type[Outgoing]]:
    """Return the events that the worker sends on its own."""
    answers = {answer_of(cls) for cls in INCOMING.values()}
    return [cls for cls in OUTGOING.values() if cls not in answers]


def failure_codes(cls: type[Incoming]) -> tuple[Code, ...]:
    """Return the codes that a request may be answered with, its own before the general ones."""
    flag = (Code.MISSING_SUPPORT,) if cls.flag not in FLAGLESS else ()
    return tuple(dict.fromkeys((*cls.failures, *flag, *COMMON)))


def frame_kinds() -> list[FrameKind]:
    """Return all kinds of frames: each request followed by its answers, then the events of the worker."""
    return [*(kind for cls in INCOMING.values() for kind in kinds_of(cls)), *map(event_kind, events_of_worker())]


def kinds_of(cls: type[Incoming]) -> Iterator[FrameKind]:
    """Yield a request and its answers of the same name."""
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
    """Return the kind of an event that the worker sends on its own."""
    example: dict[str, Any] = {"event": cls.event}
    if not cls.bare:
        example |= {"ref": example_ref(f"worker:{cls.event}"), "payload": cls.example}
    elif cls.example:
        example |= {"ref": example_ref(f"worker:{cls.event}"), "status": cls.status, **cls.example}
    further = tuple({**example, "payload": payload} for payload in cls.further_examples)
    codes = tuple(SENTENCES) if cls.status else ()
    return FrameKind(cls.event, cls.flag, Kind.EVENT, cls, example, codes, further)


def example_ref(text: str) -> str:
    """Return a ref for an example, which is always the same for the same text."""
    return str(uuid5(NAMESPACE_URL, text))


def summary(cls: type[Struct]) -> str:
    """Return the first paragraph of a class's docstring on one line, without the direction and the cited source."""
    first = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
    return re.sub(r"^\w+ → \w+\. | See docs/[^ ]+ §\d+\.$", "", first)


def required_fields(cls: type[Struct]) -> set[str]:
    """Return the fields that are always present; for a request, those without which it fails."""
    if issubclass(cls, Incoming):
        return {field.encode_name for field in msgspec.structs.fields(cls) if field.required} | set(cls.demanded)
    if issubclass(cls, Outgoing):
        return {field.encode_name for field in msgspec.structs.fields(cls) if field.default is not UNSET}
    return {field.encode_name for field in msgspec.structs.fields(cls) if field.required}


def record_of(cls: type[Struct]) -> type[Struct] | None:
    """Return the class of the records that an event carries as encoded JSON; None for other events."""
    record: type[Struct] | None = getattr(cls, "record", None)
    return record
