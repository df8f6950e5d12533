"""Records as JSON, and digests of them: the one text of a record that both ends agree on. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def canonical_json(record: Mapping[str, Any]) -> bytes:
    """The record as UTF-8 JSON: sorted keys, no spaces, `connections` by id, `redirect_uris` by text."""
    return _encode(arranged(record)).encode("utf-8", "surrogatepass")


def arranged(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its lists in the order that digests want."""
    result = dict(record)
    ways, uris = result.get("connections"), result.get("redirect_uris")
    if isinstance(ways, list) and all(isinstance(way, dict) for way in ways):
        result["connections"] = sorted(ways, key=lambda way: str(way.get("id")))
    if isinstance(uris, list):
        result["redirect_uris"] = sorted(uris, key=str)
    return result


def digest(records: Iterable[Mapping[str, Any]]) -> tuple[int, str]:
    """Count and digest of a kind's records, which come by ascending id."""
    total, count = hashlib.sha256(), 0
    for record in records:
        total.update(canonical_json(record) + b"\n")
        count += 1
    return count, total.hexdigest()
