"""Canonical JSON of records, and digests over it. Source: docs/protocol.md, "Digests". Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def canonical_json(record: Mapping[str, Any]) -> bytes:
    """Return the record as UTF-8 JSON: keys sorted, no spaces, `connections` by id, `redirect_uris` by text."""
    return _encode(with_sorted_lists(record)).encode("utf-8", "surrogatepass")


def with_sorted_lists(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the record with its lists in the order that digests are computed over."""
    result = dict(record)
    ways, uris = result.get("connections"), result.get("redirect_uris")
    if isinstance(ways, list) and all(isinstance(way, dict) for way in ways):
        result["connections"] = sorted(ways, key=lambda way: str(way.get("id")))
    if isinstance(uris, list):
        result["redirect_uris"] = sorted(uris, key=str)
    return result


def digest(records: Iterable[Mapping[str, Any]]) -> tuple[int, str]:
    """Return the count and the hexadecimal SHA-256 digest of a kind's records, given by ascending id."""
    total, count = hashlib.sha256(), 0
    for record in records:
        total.update(canonical_json(record) + b"\n")
        count += 1
    return count, total.hexdigest()
