"""The parser understands every frame in the recordings of real clients (docs/protocol.md, §10)."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.protocol import INCOMING, decode_payload, parse_frame

TRANSCRIPTS = sorted((Path(__file__).parents[1] / "transcripts").glob("*.jsonl"))


def client_frames() -> list[Any]:
    return [
        pytest.param(line["data"], id=f"{path.stem}-{number}")
        for path in TRANSCRIPTS
        for number, line in enumerate(map(json.loads, path.read_text("utf-8").splitlines()), 1)
        if line["dir"] == "client" and line["kind"] == "text"
    ]


def test_the_recordings_exist() -> None:
    assert len(TRANSCRIPTS) == 5
    assert len(client_frames()) == 72


@pytest.mark.parametrize("data", client_frames())
def test_a_recorded_frame_is_understood(data: str) -> None:
    sent = json.loads(data)
    frame = parse_frame(data.encode())

    assert frame.event == sent.get("event", sent.get("events"))
    assert (None if frame.ref is None else json.loads(bytes(frame.ref))) == sent.get("ref")
    value = decode_payload(INCOMING[frame.event], frame.payload)
    for field, said in sent.get("payload", {}).items():
        if field not in ("sent_at", "message"):
            assert getattr(value, field) == said


@pytest.mark.parametrize("data", client_frames())
def test_a_recorded_frame_in_lower_case_is_understood(data: str) -> None:
    frame = parse_frame(data.lower())

    assert isinstance(decode_payload(INCOMING[frame.event], frame.payload), INCOMING[frame.event])
