"""Frames as JSON text: reading what a server of any version sends, writing what all of them take. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

Ref = str | int | float
LONGEST_MS = 86_400_000.0  # a day
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the server. Whatever is missing is None."""

    event: str
    ref: Ref | None = None
    status: str | None = None
    payload: Any = None
    error: str | None = None
    code: str | None = None
    retry_after_ms: float | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        """The payload if it is an object, else an empty one."""
        return self.payload if isinstance(self.payload, dict) else {}

    @property
    def is_failure(self) -> bool:
        """Whether it says that something did not work."""
        return self.status == "failure"


def parse(text: str | bytes) -> Frame | None:
    """Read a message; None where it is no frame: no JSON, no object, or without an event.

    A number that is none (NaN, Infinity, or too large: 1e999) is no JSON. Half of a character (a lone surrogate)
    becomes U+FFFD: whoever prints or stores such a text would fail.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        data = _JSON.decode(text)
        if "\\" in text and ("\\ud" in text or "\\uD" in text):  # only an escape can be one
            plain, halves = _HALF.subn("\ufffd", json.dumps(data, ensure_ascii=False))
            data = _JSON.decode(plain) if halves else data
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("event"), str):
        return None
    ref = data.get("ref")
    return Frame(
        event=data["event"],
        ref=ref if isinstance(ref, str | int | float) else None,
        status=text_or_none(data.get("status")),
        payload=data.get("payload"),
        error=text_or_none(data.get("error")),
        code=text_or_none(data.get("code")),
        retry_after_ms=_milliseconds(data.get("retry_after_ms")),
    )


def encode(event: str, payload: Mapping[str, Any] | None = None, ref: Ref | None = None) -> str:
    """Write a frame. ref and payload are left out when None. Raises as `dump`."""
    return join(event, None if payload is None else dump(payload), ref)


def dump(value: object) -> str:
    """A value as JSON. Raises TypeError or ValueError for what JSON does not know: bytes, NaN, a circle."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def join(event: str, payload: str | None, ref: Ref | None) -> str:
    """Write a frame whose payload is JSON already."""
    parts = [f'"event":{dump(event)}']
    if ref is not None:
        parts.append(f'"ref":{dump(ref)}')
    if payload is not None:
        parts.append(f'"payload":{payload}')
    return "{" + ",".join(parts) + "}"


def text_or_none(value: object) -> str | None:
    """The value if it is a text."""
    return value if isinstance(value, str) else None


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        _no_number(text)
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


_JSON = json.JSONDecoder(parse_float=_number, parse_constant=_no_number)


def _milliseconds(value: object) -> float | None:
    """The value if it is a time that can be waited for."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_MS:
        return None
    return float(value)
