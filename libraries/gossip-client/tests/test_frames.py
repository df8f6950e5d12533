"""Frames as text: reading, ignoring, writing."""

from __future__ import annotations

import json

import pytest
from gossip_client.frames import encode, parse
from hypothesis import given, settings
from hypothesis import strategies as st

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.text() | st.binary())
def test_parse_never_raises(text):
    parse(text)


@settings(deadline=None)
@given(st.text(), anything, st.text() | st.integers() | st.none())
def test_frames_are_one_line_of_json(event, payload, ref):
    text = encode(event, {"x": payload}, ref)
    assert "\n" not in text and json.loads(text)["event"] == event


@settings(deadline=None)
@given(anything)
def test_parse_reads_what_encode_writes(payload):
    frame = parse(encode("x", {"payload": payload}))
    assert frame is not None and frame.payload == {"payload": payload}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_invalid_numbers_are_not_json(number):
    """Python's own reader would return nan or inf."""
    assert parse(f'{{"event": "sync/games", "payload": {{"games": [{{"id": {number}}}]}}}}') is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"\ud800", "\ufffd"),
        (r"\uD800 and \udfff", "\ufffd and \ufffd"),
        (r"\ude00\ud83d", "\ufffd\ufffd"),
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\\ud800", r"\ud800"),
        (r"\\\ud800", "\\\ufffd"),
    ],
)
def test_lone_surrogates_are_replaced(written, read):
    """They cannot be encoded, so printing or storing them would fail."""
    frame = parse(f'{{"event": "x", "payload": {{"{written}": ["{written}"]}}, "error": "{written}"}}')
    assert frame is not None and frame.error == read and frame.payload == {read: [read]}
    str(frame.payload).encode()
