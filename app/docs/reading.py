"""The protocol as its page shows it, made from the classes of the frames and the tables beside them."""

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
        "Where every socket begins, and what keeps it open. These events belong to no flag.",
    ),
    "channels": (
        "Channels",
        "Flag `channels`, which every client declares. Players of all games talk in named rooms; your own players' "
        "lines do not come back to you, so show them yourself.",
    ),
    "players": ("Players", "Flag `players`. Who is online, here and elsewhere."),
    "tells": (
        "Tells",
        "Flag `tells`. A private line from one player to another of another game. `system` at `Grapevine`, which is "
        "this site, is always online and answers.",
    ),
    "games": ("Games", "Flag `games`. Which games are online, and what is known of them."),
    "sync": (
        "Sync",
        "For network applications only: the records of all channels and games, whole and then change by change, so "
        "that a copy can be kept.",
    ),
    "moderation": (
        "Moderation",
        "For network applications with the scope `moderate`: they pause channels, impose and lift sanctions, take "
        "messages away, and are told of every act.",
    ),
    "reports": (
        "Reports",
        "Any game may report a player or a message to the moderators. These events belong to no flag.",
    ),
}

_WORDS: dict[type[types.Type], tuple[str, str]] = {
    types.StrType: ("string", "strings"),
    types.IntType: ("whole number", "whole numbers"),
    types.BoolType: ("true or false", "true or false"),
    types.DateTimeType: ("time", "times"),
    types.StructType: ("object", "objects"),
    types.RawType: ("object", "objects"),
    types.NoneType: ("null", "null"),
    types.AnyType: ("value", "values"),
}


class Field(NamedTuple):
    """A row of a table of fields. type and meaning are text with `code` in it."""

    name: str
    type: str
    is_required: bool
    meaning: str


class Fields(NamedTuple):
    """A table of fields. within: the field whose objects have these; None for the payload's own."""

    within: str | None
    rows: list[Field]


@dataclass(frozen=True)
class Part:
    """One kind of frame of an event."""

    kind: FrameKind
    title: str
    text: str
    tables: list[Fields]


@dataclass(frozen=True)
class Event:
    """An event with all that is sent under its name. failures: the codes of its own; answered_by: other events."""

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
    """Every event, by flag."""
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
    answered = request if request is not None and request.is_answered else None
    return Event(
        name,
        anchor(name),
        parts,
        [code for code in failure_codes(answered) if code not in COMMON] if answered else [],
        [cls.event for cls in answering_events(answered)] if answered else [],
    )


def _part(kind: FrameKind) -> Part:
    title = {Kind.REQUEST: "You send", Kind.SUCCESS: "The answer", Kind.EVENT: "You get"}[kind.kind]
    if kind.payload is None:
        return Part(kind, title, "A success, without a payload.", [])
    return Part(kind, title, summary(kind.payload), list(_tables(kind.payload, None)))


def _tables(cls: type[Struct], within: str | None) -> Iterator[Fields]:
    """The fields of a class, then those of the objects in them."""
    info = types.type_info(cls)
    assert isinstance(info, types.StructType)
    required = required_fields(cls)
    if info.fields:
        rows = [
            Field(field.name, _words(field.type, cls), field.name in required, _meaning(field, cls))
            for field in info.fields
        ]
        yield Fields(within, rows)
    for field in info.fields:
        for inner in _objects(field.type, cls):
            yield from _tables(inner, field.name)


def _objects(found: types.Type, cls: type[Struct]) -> Iterator[type[Struct]]:
    for part in alternatives(found):
        if isinstance(part, types.StructType):
            yield part.cls
        elif isinstance(part, types.ListType):
            yield from _objects(part.item_type, cls)
        elif isinstance(part, types.RawType) and (record := record_of(cls)) is not None:
            yield record


def _words(found: types.Type, cls: type[Struct]) -> str:
    """A type for people. That a request's field may be null is not said: it counts as missing."""
    parts = list(alternatives(found))
    if not hasattr(cls, "event"):  # a record: there null means something
        return " or ".join(_word(part) for part in parts)
    return " or ".join(_word(part) for part in parts if not isinstance(part, types.NoneType))


def _word(part: types.Type) -> str:
    if isinstance(part, types.ListType):
        (item,) = alternatives(part.item_type)
        return f"list of {_WORDS[type(item)][1]}"
    if isinstance(part, types.DictType):
        (value,) = alternatives(part.value_type)
        return f"object of {_WORDS[type(value)][1]}"
    if isinstance(part, types.LiteralType):
        return " or ".join(f"`{msgspec.json.encode(value).decode()}`" for value in part.values)
    return _WORDS[type(part)][0]


def _meaning(field: types.Field, cls: type[Struct]) -> str:
    """What is said about a field's type, from the outside in, and the default of a request's, if it is one of note."""
    found, meaning = field.type, ""
    while isinstance(found, types.Metadata) and not meaning:
        meaning = (found.extra_json_schema or {}).get("description", "")
        found = found.type
    default = field.default
    if issubclass(cls, Incoming) and default != "" and isinstance(default, str | int) and not isinstance(default, bool):
        meaning += f"; `{default}` if it is missing"
    return meaning


class Failure(NamedTuple):
    """A row of the table of failures. events: the names of those it comes up with; None for any."""

    code: Code
    sentences: tuple[str, ...]
    events: list[str] | None


@cache
def failures() -> list[Failure]:
    """Every code."""
    asked = [cls for cls in INCOMING.values() if cls.is_answered]
    return [
        Failure(code, SENTENCES[code], None if code in COMMON else [c.event for c in asked if code in failure_codes(c)])
        for code in Code
    ]


# Limits of what an event does, not of the event: what it is, and of what.
_LIMITS_IN_WORDS = {NEW_CHANNELS: ("channels/subscribe", "game, where it creates a channel")}


class LimitRow(NamedTuple):
    """A row of the table of limits. event: None for all of them together."""

    event: str | None
    of_each: str
    burst: int
    refill: str


def limits(known: Mapping[str, Limit]) -> list[LimitRow]:
    """The rate limits, as the settings have them."""
    rows = []
    for name, limit in known.items():
        event, of_each = _LIMITS_IN_WORDS.get(name) or name.split(":", 1)
        refill = f"{limit.per_second:g} a second" if limit.per_second >= 1 else f"1 in {1 / limit.per_second:g} s"
        rows.append(LimitRow(None if event == "events" else event, of_each, limit.burst, refill))
    return rows


def said(text: str) -> Markup:
    """Plain text as HTML, with what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def frame(value: Mapping[str, Any]) -> Markup:
    """A frame as people read it. Quotes need no escape in an element's text, and there are many."""
    text = _pretty(value, "")
    return Markup(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


WIDTH = 64


def _pretty(value: Any, indent: str) -> str:
    """JSON on as few lines as WIDTH allows."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    deeper = indent + "  "
    if isinstance(value, dict):
        parts = [f"{deeper}{json.dumps(key)}: {_pretty(item, deeper)}" for key, item in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    return "[\n" + ",\n".join(deeper + _pretty(item, deeper) for item in value) + f"\n{indent}]"
