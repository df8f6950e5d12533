"""Every frame of the examples parses or fails as marked, and encoded frames are what docs/protocol.md promises."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from shared.errors import DomainError
from shared.protocol import (
    HEARTBEAT,
    INCOMING,
    FrameError,
    decode_payload,
    encode,
    encode_answer,
    encode_event,
    encode_failure,
    encode_success,
    fresh_ref,
    parse_frame,
)
from shared.protocol.channels import Broadcast, HistoryAnswer, SendMessage
from shared.protocol.players import PlayerSignedIn, PlayerStatus

HERE = Path(__file__).parent
GOOD = json.loads((HERE / "frames" / "good.json").read_text("utf-8"))
BAD = json.loads((HERE / "frames" / "bad.json").read_text("utf-8"))
NOW = datetime(2026, 11, 23, 6, 15, 44, 849000, tzinfo=UTC)


def read(raw: Raw | None) -> str | None:
    return None if raw is None else bytes(raw).decode()


@pytest.mark.parametrize("as_text", [False, True], ids=["bytes", "text"])
@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["why"])
def test_good_frames_parse_as_marked(case: dict[str, Any], as_text: bool) -> None:
    frame = parse_frame(case["frame"] if as_text else case["frame"].encode())

    assert (frame.event, read(frame.ref)) == (case["event"], case["ref"])
    value = decode_payload(INCOMING[frame.event], frame.payload)
    for field, expected in case["fields"].items():
        assert msgspec.to_builtins(getattr(value, field)) == expected, field


@pytest.mark.parametrize("case", BAD, ids=lambda case: case["why"])
def test_bad_frames_fail_as_marked(case: dict[str, Any]) -> None:
    frame = None
    with pytest.raises(DomainError) as caught:
        frame = parse_frame(case["frame"].encode())
        decode_payload(INCOMING[frame.event], frame.payload)

    error = caught.value
    assert (error.code, error.message, error.field) == (case["code"], case["error"], case["field"])
    if frame is not None:
        assert (frame.event, read(frame.ref)) == (case["event"], case["ref"])
    else:
        assert isinstance(error, FrameError)
        assert (error.event, read(error.ref)) == (case["event"], case["ref"])


@pytest.mark.parametrize("event", INCOMING)
@pytest.mark.parametrize("payload", [b"null", b"[]", b"{}", b'"x"', b"5", b"true", b"[[[]]]", b'{"name":{}}', b"1e999"])
def test_payloads_raise_only_domain_errors(event: str, payload: bytes) -> None:
    try:
        decode_payload(INCOMING[event], Raw(payload))
    except DomainError as error:
        assert error.field
        assert error.field in error.message or error.field == "payload"


@pytest.mark.parametrize(
    "data",
    [
        b'{"event":"sync","payload":' + b"[" * 60000 + b"]" * 60000 + b"}",
        b"[" * 65000,
        b'{"a":' * 13000,
        b'{"event":"sync","payload":' + b"[" * 30000,
        b'{"event":"sync","payload":{"since":' + b"9" * 60000 + b"}}",
        b'{"event":"sync","x":"\\ud800","payload":{"since":' + b"9" * 60000 + b"}}",
        b'{"event":"sync","x":"\\ud800","payload":{"since":[' + b"[" * 900 + b"]" * 901 + b"}}",
        b'{"event":"' + b"\xff" * 10 + b'"}',
        b'{"event":"sync","ref":' + b"9" * 60000 + b"}",
        b"\xef\xbb\xbf" * 3 + b"{}",
        b"\x00" * 100,
        b'{"event":"sync","ref":1e99999999999999}',
        b'{"event":"heartbeat","payload":{"players":' + b"[" * 400 + b"]" * 400 + b"}}",
        '{"event":"\ud800"}',
        '{"event":"heartbeat"}'.encode("utf-16-le"),
    ],
    ids=range(15),
)
def test_hostile_messages_raise_only_domain_errors(data: bytes | str) -> None:
    try:
        frame = parse_frame(data)
        decode_payload(INCOMING[frame.event], frame.payload)
    except DomainError:
        pass


@given(st.binary(max_size=200))
def test_any_bytes_give_a_frame_or_a_frame_error(data: bytes) -> None:
    try:
        parse_frame(data)
    except FrameError as error:
        assert error.code in ("not-json", "invalid")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(
    event=st.sampled_from(sorted(INCOMING)),
    ref=json_values,
    payload=json_values
    | st.fixed_dictionaries(
        {}, optional={name: json_values for name in ("name", "players", "supports", "sync", "limit")}
    ),
)
def test_any_json_gives_a_value_or_a_domain_error(event: str, ref: Any, payload: Any) -> None:
    try:
        frame = parse_frame(json.dumps({"event": event, "ref": ref, "payload": payload}))
        decode_payload(INCOMING[frame.event], frame.payload)
    except DomainError as error:
        msgspec.json.encode(error.message)  # can be answered


@given(ref=st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False), ascii_only=st.booleans())
def test_refs_are_echoed_exactly(ref: str | float, ascii_only: bool) -> None:
    text = json.dumps(ref, ensure_ascii=ascii_only)
    frame = parse_frame('{"ref": ' + text + ', "event": "games/status"}')

    assert read(frame.ref) == text
    assert f'"ref":{text},' in encode_success("games/status", frame.ref).decode()


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=100))
def test_a_message_is_broadcast_unchanged(said: str) -> None:
    try:
        value = decode_payload(
            SendMessage, Raw(json.dumps({"channel": "gossip", "name": "Alice", "message": said}).encode())
        )
    except DomainError:
        return
    sent = encode(Broadcast(channel="gossip", message=value.message, game="A", name=value.name))

    assert b"\n" not in sent
    assert json.loads(sent)["payload"]["message"] == value.message
    again = decode_payload(SendMessage, Raw(msgspec.json.encode(value)))
    assert again == value


def test_the_ref_of_an_event_is_a_new_uuid() -> None:
    refs = {fresh_ref() for _ in range(1000)}

    assert len(refs) == 1000
    for ref in refs:
        parsed = uuid.UUID(ref)
        assert (str(parsed), parsed.version, parsed.variant) == (ref, 4, uuid.RFC_4122)


def test_encoded_frames_have_the_keys_of_the_protocol_in_order() -> None:
    message = Broadcast(channel="gossip", message="a ✔ <3", game="A", name="B")
    sent = encode(message)
    ref = json.loads(sent)["ref"]

    assert uuid.UUID(ref).version == 4
    assert sent.decode() == (
        '{"event":"channels/broadcast","ref":"' + ref + '",'
        '"payload":{"channel":"gossip","message":"a ✔ <3","game":"A","name":"B"}}'
    )
    assert json.loads(encode(message.in_history(7, NOW)))["payload"] == {
        "channel": "gossip", "message": "a ✔ <3", "game": "A", "name": "B", "id": 7, "sent_at": "2026-11-23T06:15:44Z",
    }  # fmt: skip
    assert encode_event("x", {}, "r") == b'{"event":"x","ref":"r","payload":{}}'
    assert encode(PlayerSignedIn(game="A", name="B"), "r") == (
        b'{"event":"players/sign-in","ref":"r","payload":{"game":"A","name":"B"}}'
    )
    assert HEARTBEAT == b'{"event":"heartbeat"}'


def test_answers_have_a_status_except_those_of_players_status() -> None:
    ref = Raw(b"1.0")
    status = PlayerStatus(game="A", players=["B"])

    assert encode_success("channels/send", ref) == b'{"event":"channels/send","ref":1.0,"status":"success"}'
    assert encode_success("channels/send", None) == b'{"event":"channels/send","status":"success"}'
    assert encode_success("x", ref, {"a": 1}) == b'{"event":"x","ref":1.0,"status":"success","payload":{"a":1}}'
    assert encode_answer("players/status", ref, status) == encode(status, ref)
    assert encode(status, ref) == b'{"event":"players/status","ref":1.0,"payload":{"game":"A","players":["B"]}}'


def test_other_encodings_are_not_json() -> None:
    for data in ('{"event":"heartbeat"}'.encode("utf-16-le"), b'{"event":"\xff"}'):
        with pytest.raises(FrameError) as caught:
            parse_frame(data)
        assert caught.value.code == "not-json"


def test_an_answer_has_the_status_of_its_class() -> None:
    answer = HistoryAnswer(channel="gossip", messages=[], more=False)
    end = b',"status":"success","payload":{"channel":"gossip","messages":[],"more":false}}'

    assert encode(answer, Raw(b"5")) == b'{"event":"channels/history","ref":5' + end
    assert encode(answer, "r") == b'{"event":"channels/history","ref":"r"' + end
    assert encode(answer) == b'{"event":"channels/history"' + end


def test_a_failure_without_a_ref_is_an_error_event() -> None:
    """Some clients read `event` unchecked and crash on unexpected answers (docs/protocol.md, §2)."""
    failure = json.loads(encode_failure("channels/send", None, "invalid", "bad"))

    assert list(failure) == ["event", "ref", "status", "error", "code"]
    assert failure["event"] == "error"
    assert uuid.UUID(failure["ref"]).version == 4
    assert encode_failure("channels/send", None, "invalid", "bad", debug=True) == (
        b'{"event":"channels/send","status":"failure","error":"bad","code":"invalid"}'
    )
    assert encode_failure("authenticate", None, "invalid", "bad").startswith(b'{"event":"authenticate","status"')
    assert encode_failure(None, Raw(b'"x"'), "invalid", "bad").startswith(b'{"event":"error","ref":"x","status"')
    assert json.loads(encode_failure("tells/send", Raw(b"1"), "rate-limited", "slow", retry_after_ms=5)) == {
        "event": "tells/send", "ref": 1, "status": "failure", "error": "slow", "code": "rate-limited",
        "retry_after_ms": 5,
    }  # fmt: skip
