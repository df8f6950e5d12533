"""The content of the protocol's page, generated from the classes of the frames and the tables of codes and limits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import msgspec
from markupsafe import Markup, escape
from msgspec import Struct
from msgspec import inspect as types

from shared.limits import NEW_CHANNELS, Limit
from shared.protocol import INCOMING, OUTGOING, Incoming
from shared.protocol.base import alternatives
from shared.protocol.catalogue import (
    FrameKind,
    Kind,
    anchor,
    answering_events,
    event_kind,
    events_of_worker,
    failure_codes,
    kinds_of,
    record_of,
    required_fields,
    summary,
)
from shared.protocol.codes import COMMON, SENTENCES, Code

FLAGS: dict[str, tuple[str, str]] = {
    "core": (
        "Core",
        "Signing in and staying connected. These events belong to no flag.",
    ),
    "channels": (
        "Channels",
        "Flag `channels`, which every client declares. Players of all games talk in named rooms. Lines of your own "
        "players are not sent back to you, so show them yourself.",
    ),
    "players": ("Players", "Flag `players`. Who is online, here and elsewhere."),
    "tells": (
        "Tells",
        "Flag `tells`. Private lines between players of different games. `system` at `Grapevine`, which is this site, "
        "is always online and answers.",
    ),
    "games": ("Games", "Flag `games`. Which games are online, and their details."),
    "sync": (
        "Sync",
        "For network applications only: the records of all channels and games, first in full and then change by "
        "change, to keep a copy up to date.",
    ),
    "moderation": (
        "Moderation",
        "For network applications with the scope `moderate`: they can pause channels, impose and lift sanctions and "
        "redact messages, and are notified of every act.",
    ),
    "reports": (
        "Reports",
        "Any game can report a player or a message to the moderators. These events belong to no flag.",
    ),
}

TYPE_NAMES: dict[type[types.Type], tuple[str, str]] = {
    types.StrType: ("string", "strings"),
    types.IntType: ("whole number", "whole numbers"),
    types.BoolType: ("true or false", "true or false"),
    types.DateTimeType: ("time", "times"),
    types.StructType: ("object", "objects"),
    types.RawType: ("object", "objects"),
    types.NoneType: ("null", "null"),
    types.AnyType: ("value", "values"),
}
"""What the page calls each type: the singular, and the plural for lists."""


WIDTH = 64
"""The length of a line of an example, in characters."""


class Field(NamedTuple):
    """A row of a table of fields. `type` and `meaning` may contain `code` in backticks."""

    name: str
    type: str
    is_required: bool
    meaning: str


class Fields(NamedTuple):
    """A table of fields. `within` is the field whose objects have these fields; None for the payload itself."""

    within: str | None
    rows: list[Field]


@dataclass(frozen=True)
class Part:
    """One kind of frame that an event has."""

    kind: FrameKind
    title: str
    text: str
    tables: list[Fields]


@dataclass(frozen=True)
class Event:
    """An event with all frames that are sent under its name.

    Attributes:
        failures: The codes of failures, without those that any event can have.
        answered_by: Other events that answer it.
    """

    name: str
    anchor: str
    parts: list[Part]
    failures: list[Code]
    answered_by: list[str]


@dataclass(frozen=True)
class Group:
    """The events of one flag."""

    flag: str
    title: str
    text: str
    events: list[Event]


@cache
def groups() -> list[Group]:
    """Return all events, grouped by flag."""
    names = dict.fromkeys([*INCOMING, *OUTGOING])
    flags = {name: (INCOMING.get(name) or OUTGOING[name]).flag for name in names}
    return [
        Group(flag, title, text, [_event(name) for name in names if flags[name] == flag])
        for flag, (title, text) in FLAGS.items()
    ]


def _event(name: str) -> Event:
    parts = []
    request = INCOMING.get(name)
    if request is not None:
        parts = [_part(kind) for kind in kinds_of(request) if kind.kind is not Kind.FAILURE]
    parts += [_part(event_kind(cls)) for cls in events_of_worker() if cls.event == name]
    answered_request = request if request is not None and request.is_answered else None
    return Event(
        name,
        anchor(name),
        parts,
        [code for code in failure_codes(answered_request) if code not in COMMON] if answered_request else [],
        [cls.event for cls in answering_events(answered_request)] if answered_request else [],
    )


def _part(kind: FrameKind) -> Part:
    title = {Kind.REQUEST: "You send", Kind.SUCCESS: "The answer", Kind.EVENT: "You get"}[kind.kind]
    if kind.payload is None:
        return Part(kind, title, "Success, without a payload.", [])
    return Part(kind, title, summary(kind.payload), list(_tables(kind.payload, None)))


def _tables(cls: type[Struct], within: str | None) -> Iterator[Fields]:
    """Yield the table of a class's fields, then the tables of the objects in those fields."""
    info = types.type_info(cls)
    assert isinstance(info, types.StructType)
    required = required_fields(cls)
    if info.fields:
        rows = [
            Field(field.name, _type_text(field.type, cls), field.name in required, _meaning(field, cls))
            for field in info.fields
        ]
        yield Fields(within, rows)
    for field in info.fields:
        for inner in _objects(field.type, cls):
            yield from _tables(inner, field.name)


def _objects(type_: types.Type, cls: type[Struct]) -> Iterator[type[Struct]]:
    for part in alternatives(type_):
        if isinstance(part, types.StructType):
            yield part.cls
        elif isinstance(part, types.ListType):
            yield from _objects(part.item_type, cls)
        elif isinstance(part, types.RawType) and (record := record_of(cls)) is not None:
            yield record


def _type_text(type_: types.Type, cls: type[Struct]) -> str:
    """Describe a type. For requests, null is not mentioned, because it counts as missing."""
    parts = list(alternatives(type_))
    if not hasattr(cls, "event"):  # in a record, null has a meaning
        return " or ".join(_type_name(part) for part in parts)
    return " or ".join(_type_name(part) for part in parts if not isinstance(part, types.NoneType))


def _type_name(part: types.Type) -> str:
    if isinstance(part, types.ListType):
        (item,) = alternatives(part.item_type)
        return f"list of {TYPE_NAMES[type(item)][1]}"
    if isinstance(part, types.DictType):
        (value,) = alternatives(part.value_type)
        return f"object of {TYPE_NAMES[type(value)][1]}"
    if isinstance(part, types.LiteralType):
        return " or ".join(f"`{msgspec.json.encode(value).decode()}`" for value in part.values)
    return TYPE_NAMES[type(part)][0]


def _meaning(field: types.Field, cls: type[Struct]) -> str:
    """Return the outermost description of a field's type, and a request's default if it is worth showing."""
    type_, meaning = field.type, ""
    while isinstance(type_, types.Metadata) and not meaning:
        meaning = (type_.extra_json_schema or {}).get("description", "")
        type_ = type_.type
    default = field.default
    if issubclass(cls, Incoming) and default != "" and isinstance(default, str | int) and not isinstance(default, bool):
        meaning += f"; `{default}` if it is missing"
    return meaning


class Failure(NamedTuple):
    """A row of the table of failures. `events` lists the events that can fail with the code; None means any."""

    code: Code
    sentences: tuple[str, ...]
    events: list[str] | None


@cache
def failures() -> list[Failure]:
    """Return a row for every code."""
    requests = [cls for cls in INCOMING.values() if cls.is_answered]
    return [
        Failure(
            code, SENTENCES[code], None if code in COMMON else [c.event for c in requests if code in failure_codes(c)]
        )
        for code in Code
    ]


NAMED_LIMITS = {NEW_CHANNELS: ("channels/subscribe", "game, for new channels")}
"""Limits of one effect of an event: the event, and what is counted."""


class LimitRow(NamedTuple):
    """A row of the table of limits. `event` is None for the limit of all events together."""

    event: str | None
    of_each: str
    burst: int
    refill: str


def limits(configured: Mapping[str, Limit]) -> list[LimitRow]:
    """Return a row for each configured rate limit."""
    rows = []
    for name, limit in configured.items():
        event, of_each = NAMED_LIMITS.get(name) or name.split(":", 1)
        refill = f"{limit.per_second:g} a second" if limit.per_second >= 1 else f"1 in {1 / limit.per_second:g} s"
        rows.append(LimitRow(None if event == "events" else event, of_each, limit.burst, refill))
    return rows


def with_code(text: str) -> Markup:
    """Return plain text as HTML, with text in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def frame(value: Mapping[str, Any]) -> Markup:
    """Return a frame as readable HTML. Quotes are not escaped: text needs no escape for them, and there are many."""
    text = _pretty(value, "")
    return Markup(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _pretty(value: Any, indent: str) -> str:
    """Return JSON on as few lines as WIDTH allows."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    deeper = indent + "  "
    if isinstance(value, dict):
        parts = [f"{deeper}{json.dumps(key)}: {_pretty(item, deeper)}" for key, item in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    return "[\n" + ",\n".join(deeper + _pretty(item, deeper) for item in value) + f"\n{indent}]"
