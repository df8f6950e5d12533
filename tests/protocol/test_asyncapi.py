"""The AsyncAPI document is whole, points nowhere but into itself, and means what the classes mean."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from shared.limits import DEFAULTS
from shared.protocol import INCOMING, OUTGOING, Code
from shared.protocol.asyncapi import document
from shared.protocol.catalogue import FrameKind, anchor, frame_kinds
from shared.protocol.codes import CLOSE_CODES, SENTENCES
from shared.protocol.core import PROTOCOL_VERSION
from tests.support.asyncapi import Described

KINDS = frame_kinds()


@pytest.fixture(scope="module")
def described() -> Described:
    return Described()


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document("wss://gossip.example.com:8443/socket", PROTOCOL_VERSION)


def parts(value: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in the document, with its path."""
    if isinstance(value, dict):
        yield path, value
        for key, part in value.items():
            yield from parts(part, f"{path}/{key}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from parts(part, f"{path}/{number}")


def resolve(made: dict[str, Any], reference: str) -> Any:
    found: Any = made
    for key in reference.removeprefix("#/").split("/"):
        found = found[key]
    return found


def test_it_is_plain_json_and_always_the_same(made: dict[str, Any]) -> None:
    assert json.loads(json.dumps(made)) == made
    assert document("wss://gossip.example.com:8443/socket", PROTOCOL_VERSION) == made


def test_it_has_the_shape_of_asyncapi_3(made: dict[str, Any]) -> None:
    """The parts that the specification asks for, and names of its alphabet."""
    assert made["asyncapi"] == "3.0.0"
    assert made["info"]["title"] and made["info"]["version"] == PROTOCOL_VERSION
    assert made["servers"] == {"worker": {"host": "gossip.example.com:8443", "pathname": "/socket", "protocol": "wss"}}
    known = {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"}
    assert {key for key in made if not key.startswith("x-")} <= known
    for table in (made["operations"], made["components"]["messages"], made["components"]["schemas"]):
        assert all(re.fullmatch(r"[\w.-]+", name) for name in table)
    for operation in made["operations"].values():
        assert operation["action"] in ("send", "receive") and operation["channel"] and operation["messages"]


def test_every_reference_resolves(made: dict[str, Any]) -> None:
    references = [(path, part["$ref"]) for path, part in parts(made) if isinstance(part.get("$ref"), str)]
    assert len(references) > 100
    for path, reference in references:
        assert reference.startswith("#/") and resolve(made, reference) is not None, f"{path}: {reference}"
    # The messages of operations are those of the channel, not of the components: the specification says so.
    for operation in made["operations"].values():
        for message in operation["messages"] + operation.get("reply", {}).get("messages", []):
            assert message["$ref"].startswith("#/channels/socket/messages/")


def test_every_event_is_there(made: dict[str, Any]) -> None:
    for event in INCOMING:
        assert made["operations"][f"receive-{anchor(event)}"]["action"] == "receive"
    messages = made["components"]["messages"]
    for event in OUTGOING:
        assert any(
            message["name"] == event and not name.endswith((".request", ".failure"))
            for name, message in messages.items()
        ), event
    assert {message["name"] for message in messages.values()} == {*INCOMING, *OUTGOING}
    used = {
        message["$ref"].rpartition("/")[2]
        for operation in made["operations"].values()
        for message in operation["messages"] + operation.get("reply", {}).get("messages", [])
    }
    assert used == set(messages) == set(made["channels"]["socket"]["messages"])


def test_every_field_has_a_type_and_a_meaning(made: dict[str, Any]) -> None:
    for name, schema in made["components"]["schemas"].items():
        assert schema.get("description"), name
        assert not re.search(r"→|docs/|§", schema["description"]), name
        for field, about in schema.get("properties", {}).items():
            assert about.get("description"), f"{name}.{field}"
            assert {"type", "anyOf", "allOf", "enum", "$ref"} & set(about), f"{name}.{field}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_example_is_what_it_is_an_example_of(described: Described, kind: FrameKind) -> None:
    shown = described.document["components"]["messages"][kind.name]["examples"]
    assert [example["payload"] for example in shown] == [kind.example, *kind.further]
    for frame in (kind.example, *kind.further):
        assert described.name(frame, from_peer=kind.is_from_peer) == kind.name


def _without(frame: dict[str, Any], *path: str) -> dict[str, Any]:
    """The frame without the key at this path."""
    first, *rest = path
    if not rest:
        return {key: value for key, value in frame.items() if key != first}
    return {**frame, first: _without(frame[first], *rest)}


def test_frames_that_lack_something_are_refused(described: Described) -> None:
    """Whatever is required, of frames and of payloads, is missed."""
    for kind in KINDS:
        schema = described.document["components"]["messages"][kind.name]["payload"]
        for key in schema["required"]:
            assert described.names(_without(kind.example, key), from_peer=kind.is_from_peer) == [], (kind.name, key)
        payload = schema["properties"].get("payload")
        if payload is not None:
            for key in resolve(described.document, payload["$ref"])["required"]:
                frame = _without(kind.example, "payload", key)
                assert described.names(frame, from_peer=kind.is_from_peer) == [], (kind.name, key)


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
        {"event": "channels/subscribe", "ref": "1", "status": "failure", "error": "x", "code": "made-up"},
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
def test_requests_that_do_not_fit_are_refused(described: Described, event: str, payload: Any) -> None:
    assert described.names({"event": event, "ref": "1", "payload": payload}, from_peer=True) == []


def test_codes_and_limits_are_there(made: dict[str, Any]) -> None:
    assert {row["code"]: row["sentences"] for row in made["x-failure-codes"]} == {
        str(code): list(SENTENCES[code]) for code in Code
    }
    assert {row["code"] for row in made["x-close-codes"]} == set(CLOSE_CODES)
    assert {row["limit"]: (row["burst"], row["per_second"]) for row in made["x-rate-limits"]["limits"]} == {
        name: (limit.burst, limit.per_second) for name, limit in DEFAULTS.items()
    }
