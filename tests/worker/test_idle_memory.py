"""What is kept for each idle connection, since a worker has thousands of them."""

from __future__ import annotations

import gc
import sys
from types import SimpleNamespace

from shared.protocol import decode_payload
from shared.protocol.core import Authenticate
from worker.sockets.connection import Callbacks, Connection
from worker.sockets.newest import Newest


def test_a_list_of_the_newest_keeps_no_more_than_its_limit():
    newest: Newest[int] = Newest(3)
    newest.add_all(range(5))
    assert newest == [2, 3, 4]
    newest.add(5)
    assert newest == [3, 4, 5]
    newest.clear()
    newest.add(6)
    assert newest == [6]


def test_an_empty_list_of_the_newest_is_small():
    assert sys.getsizeof(Newest(100)) <= 80


def test_sockets_with_equal_flags_share_them():
    payload = b'{"client_id": "a", "client_secret": "b", "supports": ["channels", "tells", "unknown"]}'
    first, second = (decode_payload(Authenticate, payload) for _ in range(2))
    assert first.flags is second.flags
    assert first.flags == {"channels", "tells"}


def test_a_connection_begins_with_few_objects():
    callbacks = Callbacks(*3 * [lambda *arguments: []])
    transport = SimpleNamespace(address="127.0.0.1")
    first = Connection(callbacks, transport)  # what is made once is made now
    gc.collect()
    before = len(gc.get_objects())
    second = Connection(callbacks, transport)
    gc.collect()
    # Itself, its trace and its limits. Empty dictionaries do not count until they contain objects.
    assert len(gc.get_objects()) - before <= 5
    assert first.id != second.id
