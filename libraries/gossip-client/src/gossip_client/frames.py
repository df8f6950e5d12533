"""Frames as JSON text: reads those of every server version, and writes those that every version accepts. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

Ref = str | int | float
LONGEST_MS = 86_400_000.0  # a day
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the server. Missing fields are None."""

    event: str
    ref: Ref | None = None
    status: str | None = None
    payload: Any = None
    error: str | None = None
    code: str | None = None
    retry_after_ms: float | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        """The payload if it is an object, or else an empty mapping."""
        return self.payload if isinstance(self.payload, dict) else {}

    @property
    def is_failure(self) -> bool:
        """Whether it reports a failure."""
        return self.status == "failure"


def parse(text: str | bytes) -> Frame | None:
    """Read a message.

    NaN, Infinity and numbers too large for a float (1e999) count as invalid JSON. A lone surrogate becomes U+FFFD: a
    string that contains one cannot be encoded, printed or stored.

    Returns:
        The frame; None if the message is not JSON, not an object, or has no event.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        data = _JSON.decode(text)
        if "\\" in text and ("\\ud" in text or "\\uD" in text):  # only an escape can be a surrogate
            cleaned, count = _LONE_SURROGATE.subn("\ufffd", json.dumps(data, ensure_ascii=False))
            data = _JSON.decode(cleaned) if count else data
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
    """Write a frame. Omits `ref` and `payload` if they are None. Raises like `dump`."""
    return join(event, None if payload is None else dump(payload), ref)


def dump(value: object) -> str:
    """Write a value as JSON. Raises TypeError or ValueError if JSON cannot express it: bytes, NaN, a cycle."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def join(event: str, payload: str | None, ref: Ref | None) -> str:
    """Write a frame whose payload is already JSON."""
    parts = [f'"event":{dump(event)}']
    if ref is not None:
        parts.append(f'"ref":{dump(ref)}')
    if payload is not None:
        parts.append(f'"payload":{payload}')
    return "{" + ",".join(parts) + "}"


def text_or_none(value: object) -> str | None:
    """Return the value if it is a string, or else None."""
    return value if isinstance(value, str) else None


def _read_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        _reject_number(text)
    return value


def _reject_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a valid number")


_JSON = json.JSONDecoder(parse_float=_read_float, parse_constant=_reject_number)


def _milliseconds(value: object) -> float | None:
    """Return the value if it is a sensible waiting time, or else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_MS:
        return None
    return float(value)
