"""Digests follow docs/protocol.md, §8, byte for byte."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Invalid
from shared.protocol import encode
from shared.protocol.sync import Digest, SyncChannels, SyncComplete, canonical_json

records = st.dictionaries(
    st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=3)
)


@given(records)
def test_canonical_json_follows_the_protocol(record: dict[str, Any]) -> None:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert canonical_json(record) == text.encode()


@given(st.lists(records, max_size=4))
def test_a_digest_has_one_line_for_each_record(kind: list[dict[str, Any]]) -> None:
    digest, ready = Digest(), Digest()
    for record in kind:
        digest.add(record)
        ready.add_canonical(canonical_json(record).decode())

    lines = b"".join(canonical_json(record) + b"\n" for record in kind)
    assert digest.hexdigest() == ready.hexdigest() == hashlib.sha256(lines).hexdigest()
    assert digest.count == len(kind)


def test_a_lone_surrogate_has_no_digest() -> None:
    with pytest.raises(Invalid):
        canonical_json({"id": 1, "name": "\ud800"})


def test_records_are_sent_unchanged() -> None:
    ready = msgspec.Raw(b'{"description":null,"hidden":false,"id":1,"name":"gossip"}')

    assert encode(SyncChannels(channels=[ready]), "r") == (
        b'{"event":"sync/channels","ref":"r","payload":{"channels":[' + bytes(ready) + b"]}}"
    )
    assert encode(SyncChannels(deleted=[3], cursor=9), "r") == (
        b'{"event":"sync/channels","ref":"r","payload":{"channels":[],"deleted":[3],"cursor":9}}'
    )
    assert encode(SyncComplete(cursor=9, counts={"channels": 1}, digests={"channels": "x"}), "r") == (
        b'{"event":"sync/complete","ref":"r","payload":{"cursor":9,"counts":{"channels":1},"digests":{"channels":"x"}}}'
    )
    assert encode(SyncComplete(cursor=9, counts={}, digests={}, reset=True), "r").endswith(b'"reset":true}}')
