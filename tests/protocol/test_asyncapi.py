"""The AsyncAPI document is complete and self-contained, and describes what the classes accept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from shared.limits import DEFAULTS
from shared.protocol import INCOMING, OUTGOING, Code
from shared.protocol.asyncapi import document
from shared.protocol.catalogue import FrameKind, Kind, anchor, frame_kinds
from shared.protocol.codes import CLOSE_CODES, SENTENCES
from shared.protocol.core import PROTOCOL_VERSION
from tests.support.asyncapi import Described

KINDS = frame_kinds()


@pytest.fixture(scope="module")
def described() -> Described:
    return Described()


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    return document("wss://gossip.example.com:8443/socket", PROTOCOL_VERSION)


def parts(value: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object in the document, with its path."""
    if isinstance(value, dict):
        yield path, value
        for key, part in value.items():
            yield from parts(part, f"{path}/{key}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from parts(part, f"{path}/{number}")


def resolve(asyncapi: dict[str, Any], reference: str) -> Any:
    part: Any = asyncapi
    for key in reference.removeprefix("#/").split("/"):
        part = part[key]
    return part


def test_the_document_is_plain_json_and_always_the_same(asyncapi: dict[str, Any]) -> None:
    assert json.loads(json.dumps(asyncapi)) == asyncapi
    assert document("wss://gossip.example.com:8443/socket", PROTOCOL_VERSION) == asyncapi


def test_the_document_has_the_structure_of_asyncapi_3(asyncapi: dict[str, Any]) -> None:
    """It has the required parts, and names of the allowed characters."""
    assert asyncapi["asyncapi"] == "3.0.0"
    assert asyncapi["info"]["title"] and asyncapi["info"]["version"] == PROTOCOL_VERSION
    assert asyncapi["servers"] == {
        "worker": {"host": "gossip.example.com:8443", "pathname": "/socket", "protocol": "wss"}
    }
    known_keys = {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"}
    assert {key for key in asyncapi if not key.startswith("x-")} <= known_keys
    for table in (asyncapi["operations"], asyncapi["components"]["messages"], asyncapi["components"]["schemas"]):
        assert all(re.fullmatch(r"[\w.-]+", name) for name in table)
    for operation in asyncapi["operations"].values():
        assert operation["action"] in ("send", "receive") and operation["channel"] and operation["messages"]


def test_every_reference_resolves(asyncapi: dict[str, Any]) -> None:
    references = [(path, part["$ref"]) for path, part in parts(asyncapi) if isinstance(part.get("$ref"), str)]
    assert len(references) > 100
    for path, reference in references:
        assert reference.startswith("#/") and resolve(asyncapi, reference) is not None, f"{path}: {reference}"
    # The specification wants operations to refer to the messages of the channel, not of the components.
    for operation in asyncapi["operations"].values():
        for message in operation["messages"] + operation.get("reply", {}).get("messages", []):
            assert message["$ref"].startswith("#/channels/socket/messages/")


def test_the_document_has_every_event(asyncapi: dict[str, Any]) -> None:
    for event in INCOMING:
        assert asyncapi["operations"][f"receive-{anchor(event)}"]["action"] == "receive"
    messages = asyncapi["components"]["messages"]
    for event in OUTGOING:
        assert any(
            message["name"] == event and not name.endswith((".request", ".failure"))
            for name, message in messages.items()
        ), event
    assert {message["name"] for message in messages.values()} == {*INCOMING, *OUTGOING}
    used = {
        message["$ref"].rpartition("/")[2]
        for operation in asyncapi["operations"].values()
        for message in operation["messages"] + operation.get("reply", {}).get("messages", [])
    }
    assert used == set(messages) == set(asyncapi["channels"]["socket"]["messages"])


def test_every_field_has_a_type_and_a_meaning(asyncapi: dict[str, Any]) -> None:
    for name, schema in asyncapi["components"]["schemas"].items():
        assert schema.get("description"), name
        assert not re.search(r"→|docs/|§", schema["description"]), name
        for field, about in schema.get("properties", {}).items():
            assert about.get("description"), f"{name}.{field}"
            assert {"type", "anyOf", "allOf", "enum", "$ref"} & set(about), f"{name}.{field}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_example_matches_its_schema(described: Described, kind: FrameKind) -> None:
    shown = described.document["components"]["messages"][kind.name]["examples"]
    assert [example["payload"] for example in shown] == [kind.example, *kind.further]
    for frame in (kind.example, *kind.further):
        assert described.name(frame, from_peer=kind.kind is Kind.REQUEST) == kind.name


def _without(frame: dict[str, Any], *path: str) -> dict[str, Any]:
    """Return the frame without the key at this path."""
    first, *rest = path
    if not rest:
        return {key: value for key, value in frame.items() if key != first}
    return {**frame, first: _without(frame[first], *rest)}


def test_frames_without_a_required_key_are_refused(described: Described) -> None:
    """Tries every required key of frames and of payloads."""
    for kind in KINDS:
        schema = described.document["components"]["messages"][kind.name]["payload"]
        for key in schema["required"]:
            assert described.names(_without(kind.example, key), from_peer=kind.kind is Kind.REQUEST) == [], (
                kind.name,
                key,
            )
        payload = schema["properties"].get("payload")
        if payload is not None:
            for key in resolve(described.document, payload["$ref"])["required"]:
                frame = _without(kind.example, "payload", key)
                assert described.names(frame, from_peer=kind.kind is Kind.REQUEST) == [], (kind.name, key)


@pytest.mark.parametrize(
    "frame",
    [
        None,
        [],
        {},
        {"event": "no/such"},
        {"event": "heartbeat", "payload": {}},
        {"event": "channels/subscribe", "status": "success", "payload": {}},
        {"event": "channels/subscribe", "ref": None, "status": "success"},
        {"event": "channels/subscribe", "ref": "1", "status": "failure", "error": "x", "code": "asyncapi-up"},
        {"event": "channels/subscribe", "ref": "1", "status": "failure", "error": "x", "code": "game-offline"},
        {"event": "players/status", "ref": "1", "status": "success", "payload": {"game": "A", "players": []}},
        {"event": "players/status", "ref": "1", "payload": {"game": "A", "players": [1]}},
        {"event": "players/sign-in", "ref": "no uuid", "payload": {"game": "A", "name": "B"}},
        {
            "event": "channels/history",
            "ref": "1",
            "status": "success",
            "payload": {
                "channel": "gossip",
                "messages": [{"id": 1, "sent_at": "yesterday", "game": "A", "name": "B", "message": "C"}],
                "more": False,
            },
        },
        {"event": "sync/channels", "ref": "1", "payload": {"channels": [{"id": 1}]}},
        {"event": "games/status", "ref": "1", "status": "success", "payload": {"game": "A", "display_name": "B"}},
    ],
    ids=repr,
)
def test_frames_that_no_worker_sends_are_refused(described: Described, frame: Any) -> None:
    assert described.names(frame, from_peer=False) == []


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("authenticate", {"client_id": "a", "client_secret": "b", "supports": "channels"}),
        ("channels/subscribe", {"channel": 1}),
        ("channels/send", {"channel": "gossip", "name": "A", "message": ""}),
        ("channels/send", {"channel": "gossip", "name": "x" * 61, "message": "hi"}),
        ("channels/history", {"channel": "gossip", "limit": 101}),
        ("tells/send", {"from_name": "A", "to_game": "B", "to_name": "C", "message": "hi", "sent_at": "now"}),
        ("sync", {"since": "42"}),
    ],
)
def test_invalid_requests_are_refused(described: Described, event: str, payload: Any) -> None:
    assert described.names({"event": event, "ref": "1", "payload": payload}, from_peer=True) == []


def test_the_document_has_all_codes_and_limits(asyncapi: dict[str, Any]) -> None:
    assert {row["code"]: row["sentences"] for row in asyncapi["x-failure-codes"]} == {
        str(code): list(SENTENCES[code]) for code in Code
    }
    assert {row["code"] for row in asyncapi["x-close-codes"]} == set(CLOSE_CODES)
    assert {row["limit"]: (row["burst"], row["per_second"]) for row in asyncapi["x-rate-limits"]["limits"]} == {
        name: (limit.burst, limit.per_second) for name, limit in DEFAULTS.items()
    }
