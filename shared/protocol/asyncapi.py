"""The protocol as an AsyncAPI 3 document, made from the classes of its payloads. Pure: no I/O, no clock.

It is written from the worker's side, as AsyncAPI has it: what peers send, it receives. What it says of payloads is what
is sent and taken without any forgiving (docs/protocol.md, §10).
"""

from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from shared.limits import APPLICATION_FACTOR, DEFAULTS
from shared.protocol.base import Outgoing
from shared.protocol.catalogue import (
    FrameKind,
    Kind,
    anchor,
    answering_events,
    events_of_worker,
    failure_codes,
    frame_kinds,
    record_of,
    required_fields,
    summary,
)
from shared.protocol.codes import CLOSE_CODES, SENTENCES, Code
from shared.protocol.events import INCOMING, OUTGOING

JSON = dict[str, Any]
REFS = "#/components/schemas/{name}"

_DESCRIPTION = """\
A chat network for text games. One WebSocket; every message is a text message that holds one JSON object, a *frame*.
Peers (games, and network applications) authenticate first.

The operations are the worker's: what it *receives* is what peers send, what it *sends* is what they get.
A request with a `ref` is answered with the same `event` and `ref`; one without is not answered, `authenticate` aside.
Unknown keys are ignored on both sides.

`x-failure-codes` lists the `code` of every failure, `x-close-codes` what the worker closes a socket with,
`x-rate-limits` the token buckets that hold unless the operator has set others.
"""


def document(server_url: str, version: str) -> JSON:
    """The document, of plain JSON values. server_url: the socket's address. version: that of the protocol."""
    server = urlsplit(server_url)
    kinds = frame_kinds()
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "The socket protocol", "version": version, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "worker": {"host": server.netloc, "pathname": server.path, "protocol": server.scheme},
        },
        "channels": {
            "socket": {
                "address": server.path,
                "description": "The one socket. A peer may hold several at once.",
                "servers": [{"$ref": "#/servers/worker"}],
                "messages": {kind.name: {"$ref": f"#/components/messages/{kind.name}"} for kind in kinds},
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": _operations(kinds),
        "components": {
            "messages": {kind.name: _message(kind) for kind in kinds},
            "schemas": {"Ref": _REF, "FreshRef": _FRESH_REF, **_schemas()},
        },
        "x-failure-codes": [_failure(code) for code in Code],
        "x-close-codes": [
            {"code": code, "meaning": close.meaning, "advice": close.advice} for code, close in CLOSE_CODES.items()
        ],
        "x-rate-limits": {
            "applications": APPLICATION_FACTOR,
            "limits": [
                {"limit": name, "burst": limit.burst, "per_second": limit.per_second}
                for name, limit in DEFAULTS.items()
            ],
        },
    }


_REF: JSON = {
    "description": "Any string or number of the sender's choice, by habit a UUID; echoed exactly as written.",
    "type": ["string", "number"],
}
_FRESH_REF: JSON = {"description": "A fresh UUID of the worker's.", "type": "string", "format": "uuid"}


def _operations(kinds: list[FrameKind]) -> JSON:
    channel = {"$ref": "#/channels/socket"}
    operations: JSON = {}
    for cls in INCOMING.values():
        answers = [kind.name for kind in kinds if kind.event == cls.event and kind.kind in (Kind.SUCCESS, Kind.FAILURE)]
        answers += [f"{anchor(answer.event)}.{Kind.EVENT}" for answer in answering_events(cls)]
        operations[f"receive-{anchor(cls.event)}"] = {
            "action": "receive",
            "channel": channel,
            "summary": summary(cls),
            "tags": [{"name": cls.flag}],
            "messages": _messages([f"{anchor(cls.event)}.{Kind.REQUEST}"]),
            **({"reply": {"channel": channel, "messages": _messages(answers)}} if answers else {}),
        }
    for sent in events_of_worker():
        operations[f"send-{anchor(sent.event)}"] = {
            "action": "send",
            "channel": channel,
            "summary": summary(sent),
            "tags": [{"name": sent.flag}],
            "messages": _messages([f"{anchor(sent.event)}.{Kind.EVENT}"]),
        }
    return operations


def _messages(names: list[str]) -> list[JSON]:
    return [{"$ref": f"#/channels/socket/messages/{name}"} for name in names]


def _message(kind: FrameKind) -> JSON:
    return {
        "name": kind.event,
        "title": f"{kind.event} ({kind.kind})",
        **({"summary": summary(kind.payload)} if kind.payload is not None else {}),
        "tags": [{"name": kind.flag}],
        "contentType": "application/json",
        **({"correlationId": {"location": "$message.payload#/ref"}} if "ref" in kind.example else {}),
        "payload": _frame(kind),
        "examples": [{"name": kind.name, "payload": frame} for frame in (kind.example, *kind.further)],
    }


def _frame(kind: FrameKind) -> JSON:
    """The schema of a whole frame."""
    properties: JSON = {"event": {"const": kind.event}}
    required = ["event"]
    cls = kind.payload
    is_bare = cls is not None and issubclass(cls, Outgoing) and cls.bare
    if kind.kind is not Kind.EVENT:
        properties["ref"] = {"$ref": REFS.format(name="Ref")}
    elif "ref" in kind.example:
        # What answers a request under a name of its own carries the request's ref.
        may_answer = kind.flag == "sync" or kind.codes
        properties["ref"] = {"$ref": REFS.format(name="Ref" if may_answer else "FreshRef")}
        required.append("ref")
    if "status" in kind.example:
        properties["status"] = {"const": kind.example["status"]}
        required.append("status")
    if kind.codes:
        properties |= {
            "error": {"type": "string", "description": "A sentence for people"},
            "code": {"enum": [str(code) for code in kind.codes], "description": "A word for programs"},
            "retry_after_ms": {"type": "integer", "minimum": 0, "description": "When to try again"},
            "seconds_left": {"type": "integer", "minimum": 0, "description": "Until a mute or a ban ends"},
            "lifted_by": {"type": "string", "description": "Who may lift a mute or a ban before"},
        }
        required += ["error", "code"]
    elif cls is not None and not is_bare:
        properties["payload"] = {"$ref": REFS.format(name=cls.__name__)}
        if kind.kind is not Kind.REQUEST or required_fields(cls):
            required.append("payload")
    if kind.kind is Kind.REQUEST and INCOMING[kind.event].needs_ref:
        required.append("ref")
    return {"type": "object", "properties": properties, "required": required}


def _schemas() -> JSON:
    """The payloads and what is in them, by the names of their classes."""
    classes: list[type[Struct]] = [*INCOMING.values()]
    classes += [cls for cls in OUTGOING.values() if not cls.bare]
    classes += [record for cls in OUTGOING.values() if (record := record_of(cls)) is not None]
    _, schemas = msgspec.json.schema_components(classes, ref_template=REFS)
    for cls in classes:
        schema = schemas[cls.__name__]
        schema["description"] = summary(cls)
        required = required_fields(cls)
        schema["required"] = [name for name in schema["properties"] if name in required]
        for name in required:
            # Beside what is always there, a default would say that it may be missing.
            schema["properties"][name].pop("default", None)
        record = record_of(cls)
        for field in schema["properties"].values():
            if record is not None and field.get("items") == {}:
                field["items"] = {"$ref": REFS.format(name=record.__name__)}
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            if "$ref" in field and len(field) > 1:
                # Older dialects of JSON Schema read nothing beside a $ref.
                schema["properties"][name] = {"allOf": [{"$ref": field.pop("$ref")}], **field}
    return schemas


def _failure(code: Code) -> JSON:
    events = [cls.event for cls in INCOMING.values() if cls.is_answered and code in failure_codes(cls)]
    return {"code": str(code), "sentences": list(SENTENCES[code]), "events": events}


def frame_schema(made: JSON, message: str) -> JSON:
    """The schema of one message's frames that stands by itself, with all it refers to. made: what `document` gave."""
    return {**made["components"]["messages"][message]["payload"], "components": made["components"]}
