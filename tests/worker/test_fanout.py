"""The fan-out, with transports that only record writes, and some tests over real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.wire_host import Host, ask
from worker.wire import fanout as module
from worker.wire.broadcasts import Frames
from worker.wire.fanout import BATCH_LIMIT, Fanout
from worker.wire.frames import frame_text
from worker.wire.groups import ANY_CHANNEL, ChannelTopic


class FakeTransport:
    def __init__(self) -> None:
        self.group: Any = None
        self.subscriber: Any = None
        self.pending_bytes = 0
        self.direct: Any = None
        self.is_closing = False
        self.written: list[bytes] = []
        self.is_flushed = False

    def write(self, data: bytes, sent: int = 0) -> None:
        assert data
        assert not sent
        self.written.append(data)

    def flushed(self) -> None:
        self.is_flushed = True

    @property
    def text(self) -> str:
        return b"".join(self.written).decode()


class FakeSubscriber:
    def __init__(self, peer: str | None = None, variant: int = 0) -> None:
        self.transport = FakeTransport()
        self.listener_key = peer
        self.variant = variant


def same(text: str) -> Frames:
    return Frames.same(text.encode())


@pytest.fixture
def fanout() -> Fanout:
    return Fanout()


def settle(fanout: Fanout) -> None:
    while fanout._is_flushing:
        gevent.sleep(0.001)


def test_queued_frames_are_joined_into_one_write(fanout: Fanout) -> None:
    members = [FakeSubscriber() for _ in range(3)]
    for member in members:
        fanout.join(member, ["a", "b"])
    for text in ("1", "2", "3"):
        fanout.broadcast("a", same(text))
    fanout.broadcast("other", same("x"))
    settle(fanout)
    assert [member.transport.written for member in members] == [[b"123"]] * 3
    assert (fanout.deliveries, fanout.writes, fanout.flushes) == (9, 3, 1)


class FakeSocket:
    """Accepts so many bytes of each write; refuses with BlockingIOError if that is none."""

    def __init__(self, accepts: int) -> None:
        self.accepts = accepts
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> int:
        if not self.accepts:
            raise BlockingIOError
        self.sent.append(data[: self.accepts])
        return len(self.sent[-1])


def test_a_broadcast_is_one_send_to_each_socket_and_a_write_of_what_is_left(fanout: Fanout) -> None:
    members = [FakeSubscriber() for _ in range(4)]
    for member, accepts in zip(members, (9, 9, 2, 0), strict=True):
        member.transport.direct = FakeSocket(accepts)
        fanout.join(member, ["t"])
    left: list[tuple[bytes, int]] = []
    for member in members:
        member.transport.write = lambda data, sent=0: left.append((data, sent))  # type: ignore[method-assign]
    for text in ("1", "2", "3"):
        fanout.broadcast("t", same(text))
    settle(fanout)
    assert [member.transport.direct.sent for member in members] == [[b"123"], [b"123"], [b"12"], []]
    assert left == [(b"123", 2), (b"123", 0)]
    assert (fanout.writes, fanout.flushes) == (4, 1)


def test_a_group_reads_its_members_again_only_after_it_has_changed(fanout: Fanout) -> None:
    members = [CountingSubscriber("p") for _ in range(3)]
    for member in members:
        fanout.join(member, ["t"])
    for _ in range(5):
        fanout.broadcast("t", same("1"), except_listener="q")
        settle(fanout)
    assert [member.reads for member in members] == [1, 1, 1]
    fanout.forget(members[0])
    for _ in range(2):
        fanout.broadcast("t", same("2"), except_listener="q")
        settle(fanout)
    assert [member.reads for member in members] == [1, 2, 2]
    assert [member.transport.text for member in members] == ["11111", "1111122", "1111122"]


class CountingSubscriber(FakeSubscriber):
    """Counts how often its key is read."""

    reads = 0

    @property
    def listener_key(self) -> str | None:
        self.reads += 1
        return self._key

    @listener_key.setter
    def listener_key(self, key: str | None) -> None:
        self._key = key


def test_frames_and_broadcasts_keep_the_order_of_the_calls(fanout: Fanout) -> None:
    first, second = FakeSubscriber("p"), FakeSubscriber("q")
    for member in (first, second):
        fanout.join(member, ["t"])
    fanout.broadcast("t", same("1"))
    fanout.unicast(first.transport, b"2")
    fanout.broadcast("t", same("3"), except_listener="p")
    fanout.broadcast("t", same("4"))
    fanout.unicast(first.transport, b"5")
    fanout.unicast(second.transport, b"6")
    assert (first.transport.pending_bytes, second.transport.pending_bytes) == (2, 1)
    settle(fanout)
    assert (first.transport.text, second.transport.text) == ("1245", "1346")
    assert first.transport.pending_bytes == second.transport.pending_bytes == 0
    assert fanout.deliveries == 5


def test_a_socket_receives_nothing_from_before_it_joined_or_after_it_left(fanout: Fanout) -> None:
    early, late, leaver = FakeSubscriber(), FakeSubscriber(), FakeSubscriber()
    fanout.join(early, ["t"])
    fanout.join(leaver, ["t", "u"])
    fanout.broadcast("t", same("1"))
    fanout.join(late, ["t"])
    fanout.leave(leaver, ["t"])
    fanout.broadcast("t", same("2"))
    fanout.broadcast("u", same("3"))
    fanout.forget(early)
    fanout.broadcast("t", same("4"))
    settle(fanout)
    assert (early.transport.text, late.transport.text, leaver.transport.text) == ("12", "24", "13")


def test_all_sockets_of_an_excluded_peer_are_skipped(fanout: Fanout) -> None:
    members = [FakeSubscriber("p"), FakeSubscriber("p"), FakeSubscriber("q"), FakeSubscriber(None)]
    for member in members:
        fanout.join(member, ["t"])
    fanout.broadcast("t", same("1"), except_listener="p")
    fanout.broadcast("t", same("2"), except_listener="q")
    fanout.broadcast("t", same("3"))
    settle(fanout)
    assert [member.transport.text for member in members] == ["23", "23", "13", "123"]


def test_each_variant_is_encoded_at_most_once_and_only_if_needed(fanout: Fanout) -> None:
    encoded: list[int] = []

    def make(variant: int) -> bytes:
        encoded.append(variant)
        return b"" if variant == 2 else str(variant).encode()

    members = [FakeSubscriber(variant=number % 3) for number in range(9)]
    for member in members:
        fanout.join(member, ["t"])
    fanout.broadcast("t", Frames(make))
    settle(fanout)
    assert sorted(encoded) == [0, 1, 2]
    assert [member.transport.text for member in members] == ["0", "1", ""] * 3

    members[0].variant = 1
    fanout.join(members[0], [])
    fanout.broadcast("t", Frames(make))
    settle(fanout)
    assert members[0].transport.text == "01"


def test_an_encoding_error_affects_no_other_broadcast(fanout: Fanout, caplog: pytest.LogCaptureFixture) -> None:
    def fail(variant: int) -> bytes:
        raise KeyError("bug")

    member = FakeSubscriber()
    fanout.join(member, ["t"])
    fanout.broadcast("t", same("1"))
    fanout.broadcast("t", Frames(fail))
    fanout.broadcast("t", same("2"))
    settle(fanout)
    assert member.transport.text == "12"
    assert "could not be encoded" in caplog.text


def test_any_channel_receives_all_channels_and_nothing_else(fanout: Fanout) -> None:
    everything, both, nothing = FakeSubscriber(), FakeSubscriber(), FakeSubscriber()
    fanout.join(everything, [ANY_CHANNEL])
    fanout.join(both, [ANY_CHANNEL, ChannelTopic("a"), "plain"])
    fanout.join(nothing, ["other"])
    fanout.broadcast(ChannelTopic("a"), same("1"))
    fanout.broadcast(ChannelTopic("b"), same("2"))
    fanout.broadcast("plain", same("3"))
    fanout.broadcast("a", same("4"))
    settle(fanout)
    assert (everything.transport.text, both.transport.text, nothing.transport.text) == ("12", "123", "")


def test_nothing_is_sent_after_the_last_frame(fanout: Fanout) -> None:
    member = FakeSubscriber()
    fanout.join(member, ["t"])
    fanout.broadcast("t", same("1"))
    fanout.finish(member.transport, b"end")
    fanout.broadcast("t", same("2"))
    settle(fanout)
    assert member.transport.text == "1end"
    assert member.transport.is_flushed
    member.transport.is_closing = True
    fanout.join(member, ["t"])
    assert member.transport.group is None


def test_a_dropped_socket_is_forgotten_with_its_queue(fanout: Fanout) -> None:
    member = FakeSubscriber()
    fanout.join(member, ["t"])
    fanout.unicast(member.transport, b"1")
    fanout.broadcast("t", same("2"))
    fanout.drop(member.transport)
    fanout.drop(member.transport)
    settle(fanout)
    assert member.transport.text == ""
    assert not fanout._groups and not fanout._groups_by_topic


def test_large_batches_are_sent_in_pieces_of_whole_frames(fanout: Fanout) -> None:
    member = FakeSubscriber()
    fanout.join(member, ["t"])
    frames = [frame_text(bytes([65 + number % 26]) * 50_000) for number in range(20)]
    for frame in frames:
        fanout.broadcast("t", Frames.same(frame))
    fanout.broadcast("t", Frames.same(b"x" * 300_000))
    settle(fanout)
    assert b"".join(member.transport.written) == b"".join(frames) + b"x" * 300_000
    sizes = [len(data) for data in member.transport.written]
    assert sizes == [len(frames[0]) * 2] * 10 + [300_000]


def test_other_greenlets_run_during_a_long_batch_and_send_after_it(
    fanout: Fanout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A greenlet that runs while a batch is written can join, leave and send without losing anything."""
    monkeypatch.setattr(module, "WRITES_PER_TURN", 10)
    fanout._turn = 10
    members = [FakeSubscriber() for _ in range(100)]
    for member in members:
        fanout.join(member, ["t"])
    late = FakeSubscriber()
    ran = Event()

    def intrude() -> None:
        assert any(not member.transport.written for member in members)
        fanout.join(late, ["t"])
        fanout.forget(members[-2])
        fanout.unicast(members[-1].transport, b"2")
        fanout.broadcast("t", same("3"))
        ran.set()

    fanout.broadcast("t", same("1"))
    gevent.idle(1)
    gevent.spawn(intrude)
    assert ran.wait(5)
    settle(fanout)
    assert {member.transport.text for member in members[:-2]} == {"13"}
    assert (members[-2].transport.text, members[-1].transport.text, late.transport.text) == ("1", "123", "3")


def test_senders_of_too_many_broadcasts_wait(fanout: Fanout) -> None:
    fanout.join(FakeSubscriber(), ["t"])
    fanout.wait_for_room()
    for _ in range(BATCH_LIMIT):
        fanout.broadcast("t", same("1"))
    fanout.wait_for_room()
    assert not fanout._batch


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["join", "leave"]), st.integers(0, 4), st.integers(0, 3)),
        st.tuples(st.just("broadcast"), st.integers(0, 2), st.sampled_from([None, "p0", "p1"])),
        st.tuples(st.just("send"), st.integers(0, 4), st.none()),
        st.tuples(st.just("variant"), st.integers(0, 4), st.integers(0, 1)),
        st.tuples(st.just("finish"), st.integers(0, 4), st.none()),
        st.tuples(st.just("flush"), st.none(), st.none()),
        st.tuples(st.just("turn"), st.none(), st.none()),
    ),
    max_size=60,
)
TOPICS: list[Any] = [ChannelTopic(0), ChannelTopic(1), "plain", ANY_CHANNEL]


@given(actions=ACTIONS)
@settings(max_examples=300, deadline=None)
def test_every_socket_receives_what_a_naive_server_would_send(actions: list[tuple[Any, Any, Any]]) -> None:
    """Compares with a model that writes to each socket at every call."""
    fanout = Fanout()
    fanout._turn = 1
    members = [FakeSubscriber(f"p{number % 3}") for number in range(5)]
    topics: list[set[Any]] = [set() for _ in members]
    expected = [""] * len(members)
    ended: set[int] = set()
    for number, (action, one, two) in enumerate(actions):
        if action == "join" and one not in ended:
            fanout.join(members[one], [TOPICS[two]])
            topics[one].add(TOPICS[two])
        elif action == "leave":
            fanout.leave(members[one], [TOPICS[two]])
            topics[one].discard(TOPICS[two])
        elif action == "variant":
            members[one].variant = two
            fanout.join(members[one], [])
        elif action == "broadcast":
            text = f"[{number}"
            fanout.broadcast(TOPICS[one], Frames(lambda v, text=text: f"{text}v{v}]".encode()), except_listener=two)
            for index, member in enumerate(members):
                wants = TOPICS[one] in topics[index] or (one < 2 and ANY_CHANNEL in topics[index])
                if wants and member.listener_key != two:
                    expected[index] += f"{text}v{member.variant}]"
        elif action == "send" and one not in ended:
            fanout.unicast(members[one].transport, f"<{number}>".encode())
            expected[one] += f"<{number}>"
        elif action == "finish" and one not in ended:
            ended.add(one)
            members[one].transport.is_closing = True
            topics[one].clear()
            fanout.finish(members[one].transport, b"end")
            expected[one] += "end"
        elif action == "flush":
            settle(fanout)
        elif action == "turn":
            gevent.idle(1)
    settle(fanout)
    assert [member.transport.text for member in members] == expected
    assert {index for index, member in enumerate(members) if member.transport.is_flushed} == ended
    for member in members:
        fanout.forget(member)
    assert not fanout._groups and not fanout._groups_by_topic


# Over real sockets


@pytest.fixture(scope="module")
def shared_host(processes: None) -> Iterator[Host]:
    host = Host()
    yield host
    errors = host.stop()
    assert "Traceback" not in errors, errors


@pytest.fixture
def join(shared_host: Host) -> Iterator[Callable[..., Any]]:
    def join(*topics: str, **arguments: Any) -> Any:
        client = shared_host.client()
        client.send(ask("join", topics=topics, **arguments))
        assert client.receive_json() == {"joined": list(topics)}
        return client

    yield join
    for client in shared_host.clients:
        client.close()
    shared_host.clients.clear()


def test_answers_and_broadcasts_arrive_in_order(join: Callable[..., Any]) -> None:
    first, second = join("order"), join("order")
    first.send(ask("mixed", to="order", times=3000))
    assert [first.receive_json()["number"] for _ in range(3000)] == list(range(3000))
    assert [second.receive_json()["number"] for _ in range(2000)] == [n for n in range(3000) if n % 3]


def test_a_broadcast_reaches_every_socket_but_the_sender_in_its_variant(join: Callable[..., Any]) -> None:
    sender = join("#form", peer="p", variant=1)
    same_peer = join("#form", peer="p")
    plain, new, watcher = join("#form"), join("#form", variant=7), join("*", variant=2)
    sender.send(ask("broadcast", to="#form", value="first", mine=True) + ask("broadcast", to="#form", value="second"))
    for client, variant in ((plain, 0), (new, 7), (watcher, 2)):
        first, second = client.receive_json(), client.receive_json()
        assert (first["value"], second["value"], first["variant"], second["variant"]) == (
            "first", "second", variant, variant,
        )  # fmt: skip
    for client, variant in ((sender, 1), (same_peer, 0)):
        only = client.receive_json()
        assert (only["value"], only["variant"]) == ("second", variant)


def test_clients_that_join_and_leave_during_traffic_miss_nothing(join: Callable[..., Any]) -> None:
    """A subscriber receives each message between its join and its leave, once and in order."""
    sender = join("busy-control")
    sender.send(ask("broadcast", to="busy", value=0, times=5000, pad=200))
    for _ in range(20):
        client = join("busy")
        client.send(ask("leave", topics=["busy"]))
        numbers = []
        while "left" not in (message := client.receive_json()):
            numbers.append(message["number"])
        assert numbers == [numbers[0] + i for i in range(len(numbers))]
        client.send(ask("echo"))
        assert "echo" in client.receive_json()
