"""The protocol as an AsyncAPI 3 document, generated from the classes of its payloads. Pure: no I/O, no clock.

As usual in AsyncAPI, the document takes the worker's side: it receives what peers send. It describes correct payloads
only, not what the worker tolerates (docs/protocol.md, §10).
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
A chat network for text games over one WebSocket. Every message is a text message with one JSON object, a *frame*.
Peers (games and network applications) authenticate first.

The operations are the worker's: it *receives* what peers send.
A request with a `ref` is answered with the same `event` and `ref`. Without one, only `authenticate` is.
Both sides ignore unknown keys.

`x-failure-codes` lists the `code` of every failure, `x-close-codes` the codes with which the worker closes a socket,
and `x-rate-limits` the default token buckets, which an operator can change.
"""


def document(server_url: str, version: str) -> JSON:
    """Return the document as plain JSON values.

    Args:
        server_url: The address of the socket.
        version: The version of the protocol.
    """
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
                "description": "The only channel: a socket. A peer may have several open at once.",
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
    "description": "Any string or number that the sender chooses, usually a UUID; echoed exactly as written.",
    "type": ["string", "number"],
}
_FRESH_REF: JSON = {"description": "A new UUID from the worker.", "type": "string", "format": "uuid"}


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
    """Return the schema of a whole frame."""
    properties: JSON = {"event": {"const": kind.event}}
    required = ["event"]
    cls = kind.payload
    is_bare = cls is not None and issubclass(cls, Outgoing) and cls.bare
    if kind.kind is not Kind.EVENT:
        properties["ref"] = {"$ref": REFS.format(name="Ref")}
    elif "ref" in kind.example:
        # Events that answer a request carry the request's ref.
        may_answer = kind.flag == "sync" or kind.codes
        properties["ref"] = {"$ref": REFS.format(name="Ref" if may_answer else "FreshRef")}
        required.append("ref")
    if "status" in kind.example:
        properties["status"] = {"const": kind.example["status"]}
        required.append("status")
    if kind.codes:
        properties |= {
            "error": {"type": "string", "description": "A sentence for people"},
            "code": {"enum": [str(code) for code in kind.codes], "description": "A short word for programs"},
            "retry_after_ms": {
                "type": "integer",
                "minimum": 0,
                "description": "Milliseconds until a retry can succeed",
            },
            "seconds_left": {
                "type": "integer",
                "minimum": 0,
                "description": "Seconds until the mute, ban or pause ends",
            },
            "reason": {"type": "string", "description": "Why the channel is paused"},
            "lifted_by": {"type": "string", "description": "Who can lift the mute or ban earlier"},
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
    """Return the schemas of the payloads and their parts, by the names of their classes."""
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
            # A default on a required field would say that the field may be missing.
            schema["properties"][name].pop("default", None)
        record = record_of(cls)
        for field in schema["properties"].values():
            if record is not None and field.get("items") == {}:
                field["items"] = {"$ref": REFS.format(name=record.__name__)}
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            if "$ref" in field and len(field) > 1:
                # Older dialects of JSON Schema ignore everything next to a $ref.
                schema["properties"][name] = {"allOf": [{"$ref": field.pop("$ref")}], **field}
    return schemas


def _failure(code: Code) -> JSON:
    events = [cls.event for cls in INCOMING.values() if cls.is_answered and code in failure_codes(cls)]
    return {"code": str(code), "sentences": list(SENTENCES[code]), "events": events}
