"""The state that one process gives to another: every field survives, and a parser continues at any byte."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from bench.takeovers import Tally
from shared.limits import DEFAULTS, EVENTS
from shared.peer_keys import PeerKey
from shared.signals import RestartAnnounced, TakeoverMarked, encode
from worker.signals import Mark, Signals
from worker.sockets.connection import Callbacks, Connection, ConnectionState
from worker.sockets.limits import RateLimits
from worker.takeover import messages
from worker.takeover.messages import AnyMessage, Hello, WorkerState
from worker.wire.reader import Limits, Reader, ReaderState

TEXT, CONT, PING = 1, 0, 9


# The format


def sample(kind: inspect.Type) -> Any:
    """Return a value of a type that differs from every default."""
    match kind:
        case inspect.IntType():
            return 7
        case inspect.FloatType():
            return 2.5
        case inspect.StrType() | inspect.AnyType():
            return "text \N{SNOWMAN}"
        case inspect.BytesType():
            return b"\x81\x7e\x00\xff"
        case inspect.BoolType():
            return True
        case inspect.RawType():
            return msgspec.Raw(b'{"a":1}')
        case inspect.ListType():
            return [sample(kind.item_type)] * 2
        case inspect.FrozenSetType():
            return frozenset([sample(kind.item_type)])
        case inspect.TupleType():
            return tuple(map(sample, kind.item_types))
        case inspect.VarTupleType():
            return (sample(kind.item_type),) * 2
        case inspect.DictType():
            return {sample(kind.key_type): sample(kind.value_type)}
        case inspect.UnionType():
            return sample(next(each for each in kind.types if not isinstance(each, inspect.NoneType)))
        case inspect.StructType() | inspect.DataclassType() | inspect.NamedTupleType():
            return kind.cls(**{field.name: sample(field.type) for field in kind.fields})
    raise AssertionError(f"no sample of {kind}")


@pytest.mark.parametrize("message_class", AnyMessage.__args__, ids=lambda kind: kind.__name__)  # type: ignore[attr-defined]
def test_every_field_survives(message_class):
    message = sample(inspect.type_info(message_class))
    for field in msgspec.structs.fields(message_class):
        assert getattr(message, field.name) != field.default
    assert messages.decode(messages.encode(message)) == message


def test_a_state_without_newer_fields_is_read_and_unknown_fields_are_ignored():
    """As long as that is enough, processes of two versions understand each other, in both directions."""
    written = {"message": "state", "mark": None, "feed_position": 3, "of_a_later_version": [1, {"a": b"b"}]}
    state = messages.decode(msgspec.msgpack.encode(written))
    assert isinstance(state, WorkerState)
    assert (state.feed_position, state.presence.others, state.job) == (3, [], None)
    hello = {"message": "hello", "formats": [1, 2, 3], "version": "9", "of_a_later_version": True}
    assert messages.decode(msgspec.msgpack.encode(hello)) == Hello([1, 2, 3], "9")


def test_the_state_of_a_connection_has_every_attribute():
    """An attribute that is missing in the state would be reset by a takeover."""
    passed_on_otherwise = {"callbacks", "transport", "limits", "is_open", "goodbye", "__weakref__"}
    of_this_process = {"has_spoken"}
    assert set(Connection.__slots__) - passed_on_otherwise - of_this_process == {
        field.name for field in msgspec.structs.fields(ConnectionState)
    }


def test_a_connection_gets_every_attribute_back():
    class Transport:
        address = "192.0.2.7"

    def connection() -> Connection:
        return Connection(Callbacks(None, None, None), Transport())  # type: ignore[arg-type]

    state = sample(inspect.type_info(ConnectionState))
    restored = connection()
    restored.restore(state)
    assert restored.export_state() == msgspec.structs.replace(
        state, trace=[]
    )  # with a peer, the recorder has the trace
    restored.peer = None
    assert restored.export_state().trace == state.trace


# The parser


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += struct.pack("!BH", 0x80 | 126, len(payload))
    else:
        head += struct.pack("!BQ", 0x80 | 127, len(payload))
    mask = b"\x01\x02\x03\x04"
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def receive(reader: Reader, data: bytes) -> list[bytes]:
    """Pass bytes to a reader as a transport does. Return what it answers."""
    reader.receive_data(data)
    for event in reader.events_received():
        if event.opcode in (TEXT, CONT):  # type: ignore[union-attr]
            reader.take(event)  # type: ignore[arg-type]
    return reader.data_to_send()


def pass_on(reader: Reader) -> Reader:
    """Return a reader of another process that continues."""
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(reader.export_state()), type=ReaderState)
    continuing = Reader(Limits())
    continuing.set_trusted(True)
    continuing.restore(state)
    if state.raw:
        assert receive(continuing, state.raw) == []
    return continuing


STREAM = (
    frame(TEXT, b"one")
    + frame(TEXT, b"two, in ", fin=False)
    + frame(PING, b"are you there")
    + frame(CONT, b"three ", fin=False)
    + frame(CONT, "frames \N{SNOWMAN}".encode())
    + frame(TEXT, b"m" * 300)
    + frame(TEXT, b"the last")
)
EXPECTED = [b"one", "two, in three frames \N{SNOWMAN}".encode(), b"m" * 300, b"the last"]


def test_a_reader_continues_at_any_byte():
    """Between frames, in each part of a frame's head, in its payload, between the fragments of a message."""
    for cut in range(len(STREAM) + 1):
        reader = Reader(Limits())
        reader.set_trusted(True)
        answers = receive(reader, STREAM[:cut]) if cut else []
        continuing = pass_on(reader)
        if cut < len(STREAM):
            answers += receive(continuing, STREAM[cut:])
        assert list(continuing.inbox) == EXPECTED, cut
        assert len(answers) == 1, "the ping is answered once"
        continuing.inbox.clear()
        assert continuing.is_at_boundary and not continuing.reader.taken


def test_a_reader_survives_a_takeover_after_each_byte():
    reader = Reader(Limits())
    reader.set_trusted(True)
    answers = []
    for place in range(len(STREAM)):
        answers += receive(reader, STREAM[place : place + 1])
        reader = pass_on(reader)
    assert list(reader.inbox) == EXPECTED and len(answers) == 1
    assert reader.inbox_bytes == sum(map(len, EXPECTED))


def test_the_limit_on_a_message_counts_the_fragments_before_the_takeover():
    reader = Reader(Limits(message_bytes=1024))
    reader.set_trusted(True)
    receive(reader, frame(TEXT, b"a" * 800, fin=False))
    state = reader.export_state()
    continuing = Reader(Limits(message_bytes=1024))
    continuing.set_trusted(True)
    continuing.restore(state)
    receive(continuing, frame(CONT, b"b" * 800))
    assert continuing.close_sent is not None and continuing.close_sent.code == 1009


# Limits


def test_limits_hold_over_a_takeover():
    """Buckets of the peer, of its players and of its sockets. A limit that the new version lacks is skipped."""
    now = 1000.0

    class Socket:
        peer_key = PeerKey("game:1")
        is_application = False

        def __init__(self) -> None:
            from worker.sockets.buckets import SocketLimits

            self.limits = SocketLimits()

    def spend(limits: RateLimits, socket: Any, times: int) -> int:
        """Return how many of so many lines and events were admitted."""
        count = 0
        for _ in range(times):
            try:
                limits.spend_message(socket, "Alice")
                count += limits.admit_event(socket)
            except Exception:
                break
        return count

    before = RateLimits(DEFAULTS, is_on=True, clock=lambda: now)
    socket: Any = Socket()
    burst = spend(before, socket, 10_000)
    untouched: Any = Socket()
    assert 0 < burst < 10_000 and spend(before, untouched, 1) == 0
    states, of_socket = before.export_state(), before.export_socket(socket)
    assert set(of_socket.buckets) == {EVENTS}

    after = RateLimits(DEFAULTS, is_on=True, clock=lambda: now)
    states[0].whole["a/limit:of-a-later-version"] = now + 5
    after.restore(states)
    moved: Any = Socket()
    after.restore_socket(moved, of_socket)
    assert spend(after, moved, 1) == 0
    assert moved.limits.buckets[EVENTS].full_at == socket.limits.buckets[EVENTS].full_at
    assert after.headroom(Socket.peer_key, {"s": moved.limits}) == before.headroom(
        Socket.peer_key, {"s": socket.limits}
    )


# Signals


def restart(seconds: int) -> bytes:
    return encode(RestartAnnounced(seconds))


def mark(name: str, *topics: str) -> bytes:
    return encode(TakeoverMarked(name, "worker", topics))


@pytest.fixture
def listening():
    """Signals whose handler notes what it receives."""
    signals = Signals("redis://127.0.0.1:1", "worker")
    received: list[int] = []
    signals.on(RestartAnnounced, lambda signal: received.append(signal.downtime_seconds))
    return signals, received


def test_signals_before_the_mark_are_skipped_and_later_ones_handled(listening):
    signals, received = listening
    signals.hold_incoming()
    for body in (restart(1), mark("other", "network"), restart(2), mark("mine", "network"), restart(3)):
        signals._handle("network", body)
    assert received == []
    signals.release_incoming_after(Mark("mine", ["network"]))
    signals._handle("network", restart(4))
    assert received == [3, 4]


def test_a_topic_in_another_stream_has_a_mark_of_its_own(listening):
    """In a cluster, the topics of each shard have an order of their own."""
    signals, received = listening
    signals.hold_incoming()
    signals._handle("presence", mark("mine", "presence", "players"))
    signals._handle("network", restart(1))
    signals._handle("network", mark("mine", "network"))
    signals._handle("network", restart(2))
    signals.release_incoming_after(Mark("mine", ["network", "players", "presence"]))
    assert received == [2]


@pytest.mark.parametrize("place", [None, Mark("lost", ["network"]), Mark("mine", ["network", "presence"])])
def test_without_the_mark_signals_count_as_lost(listening, monkeypatch, place):
    """They may have been handled already, and arrive at most once. Everything that can be read is read again."""
    signals, received = listening
    calls: list[object] = []
    monkeypatch.setattr(signals, "_call_on_connected", lambda: calls.append(1))
    signals.hold_incoming()
    signals._handle("network", mark("mine", "network"))
    signals._handle("network", restart(1))
    signals.release_incoming_after(place)
    assert received == [] and len(calls) == 1


def test_a_takeover_that_fails_loses_no_signal(listening):
    signals, received = listening
    signals.hold_incoming()
    signals._handle("network", restart(1))
    signals.release_incoming()
    signals._handle("network", restart(2))
    assert received == [1, 2]


# The checker of bench/takeovers.py


@pytest.mark.parametrize(
    ("received", "found"),
    [
        ([0, 1, 2, 3], (0, 0, 0)),
        ([0, 1, 3], (1, 0, 0)),
        ([0, 1, 2], (1, 0, 0)),
        ([0, 1, 1, 2, 3], (0, 1, 0)),
        ([0, 2, 1, 3], (0, 0, 1)),
        ([0, 2, 1, 1, 3], (0, 1, 1)),
    ],
)
def test_the_checker_finds_lost_doubled_and_swapped_lines(received, found):
    tally = Tally(2)
    for number in received:
        tally.receive(1, number)
    assert (tally.lost({1: 4}), tally.doubled, tally.reordered) == found
