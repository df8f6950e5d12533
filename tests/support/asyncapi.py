"""Check frames against the schemas of the AsyncAPI document. A key that the document does not name is an error."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from shared.protocol.asyncapi import document
from shared.protocol.core import PROTOCOL_VERSION

_formats = FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@_formats.checks("uuid", raises=ValueError)
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or str(uuid.UUID(value)) == value


class Described:
    """The messages that the document describes."""

    def __init__(self) -> None:
        self.document = document("ws://127.0.0.1:4110/socket", PROTOCOL_VERSION)
        self._validators = {
            name: Draft202012Validator(_closed(self._schema_of(name)), format_checker=_formats)
            for name in self.document["components"]["messages"]
        }

    def _schema_of(self, message: str) -> Any:
        """Return a schema of one message's frames, with everything that it refers to."""
        components = self.document["components"]
        return {**components["messages"][message]["payload"], "components": components}

    def names(self, frame: Any, *, from_peer: bool) -> list[str]:
        """Return the names of the messages that match a frame of a peer, or of the worker."""
        return [
            name
            for name, validator in self._validators.items()
            if name.endswith(".request") is from_peer and validator.is_valid(frame)
        ]

    def name(self, frame: Any, *, from_peer: bool = False) -> str:
        """Return the name of the only message that matches a frame. Fails the test if none matches, or several."""
        names = self.names(frame, from_peer=from_peer)
        assert len(names) == 1, f"{names}: {frame}\n{self.faults(frame)}"
        return names[0]

    def faults(self, frame: Any) -> str:
        """Return what is wrong with a frame, for each message of its event."""
        event = frame.get("event") if isinstance(frame, dict) else None
        return "\n".join(
            f"{name}: {fault.json_path}: {fault.message}"
            for name, validator in self._validators.items()
            if name.rpartition(".")[0] == str(event).replace("/", "-")
            for fault in validator.iter_errors(frame)
        )


def _closed(schema: Any) -> Any:
    """Return a copy of the schema that forbids keys it does not name."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(part) for key, part in schema.items()}
    return {**closed, "additionalProperties": False} if isinstance(schema.get("properties"), dict) else closed
