"""The one way out of a worker: every byte to every socket passes through `Fanout`.

A `send()` of one frame costs the kernel about as much as a `send()` of forty. So nothing is written when it is
asked for: broadcasts and single frames wait, and one flusher greenlet takes all that waits, joins it once for each
group of sockets with the same topics and variant, and writes each socket once, non-blocking. There is no timer:
what comes while it writes is the next batch. What a socket does not take at once goes into that connection's
bounded queue (transport.py).

Order: what is sent to one socket, alone or as a broadcast, arrives in the order of the calls. A socket gets no
broadcast from before its join and none from after its leave. To keep this, whatever concerns one socket alone (a
frame of its own, a change of its topics) first settles what the waiting broadcasts owe it, into a private list.

Everything here runs in the hub's thread and never blocks; call it from no other thread.
"""

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple, Protocol

import gevent
from gevent.event import Event

log = logging.getLogger(__name__)

# A batch is written in pieces of about this size, to all its sockets each, with a turn of the event loop after each:
# a reader that keeps up never has more than a piece or two waiting, however much is broadcast at once.
PIECE_BYTES = 128 * 1024

# With so many broadcasts waiting, connections are read no further until the flusher has caught up (wait_for_room).
BATCH_LIMIT = 512

# After so many writes, two or three milliseconds' worth, everything else in the worker gets its turn.
WRITES_A_TURN = 256


class ChannelTopic(NamedTuple):
    """The topic of one channel. Only topics of this type reach subscribers of ANY_CHANNEL."""

    channel: Hashable


class _AnyChannel:
    def __repr__(self) -> str:
        return "ANY_CHANNEL"


ANY_CHANNEL = _AnyChannel()
"""A topic that stands for every ChannelTopic, those of channels that do not exist yet too."""


class Frames:
    """One broadcast as ready WebSocket frames, one for each variant of the receivers.

    make(variant) is called when the first receiver of a variant turns up, at most once each; it must not block.
    Empty bytes mean that this variant gets nothing. It runs in the flusher: an error in it is logged, and that
    variant gets nothing.
    """

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[int], bytes]) -> None:
        self._make = make
        self._made: dict[int, bytes] = {}

    @classmethod
    def same(cls, framed: bytes) -> "Frames":
        """The same bytes for every variant."""
        return cls(lambda variant: framed)

    def framed(self, variant: int) -> bytes:
        made = self._made.get(variant)
        if made is None:
            try:
                made = self._make(variant)
            except Exception:
                log.exception("a broadcast could not be made for variant %s", variant)
                made = b""
            self._made[variant] = made
        return made


class Output(Protocol):
    """What the fan-out needs of a transport. `group` and `subscriber` are the fan-out's own to set."""

    group: "Group | None"
    subscriber: "Subscriber | None"
    pending_bytes: int

    @property
    def is_closing(self) -> bool: ...

    def write(self, data: bytes) -> None:
        """Write without blocking; keep what does not go, in a bounded queue. Never raises."""

    def flushed(self) -> None:
        """All that will ever be sent has been given to write()."""


class Subscriber(Protocol):
    """What can join topics: a connection. Read when it joins; join it again, to no new topic, after a change."""

    @property
    def transport(self) -> Output: ...
    @property
    def listener_key(self) -> Hashable: ...
    @property
    def variant(self) -> int: ...


class Group:
    """Sockets that get exactly the same broadcasts, in the same form."""

    __slots__ = ("has_any_channel", "members", "topics", "variant")

    def __init__(self, topics: frozenset[Hashable], variant: int) -> None:
        self.topics = topics
        self.variant = variant
        self.has_any_channel = ANY_CHANNEL in topics
        self.members: dict[Subscriber, None] = {}

    def wants(self, topic: Hashable) -> bool:
        return topic in self.topics or (self.has_any_channel and type(topic) is ChannelTopic)


class _Broadcast(NamedTuple):
    topic: Hashable
    frames: Frames
    except_peer: Hashable
    except_also: frozenset[Hashable]

    def is_kept_from(self, peer: Hashable) -> bool:
        return peer is not None and (peer == self.except_peer or peer in self.except_also)


class _Private:
    """What waits for one socket alone.

    frames: what it is owed so far, its share of the broadcasts before `start` included; of the rest it gets what its
    group gets. is_last: after this, nothing more is ever sent.
    """

    __slots__ = ("broadcasts", "frames", "is_last", "own_bytes", "start")

    def __init__(self) -> None:
        self.start = 0
        self.frames: list[bytes] = []
        self.broadcasts = 0
        self.own_bytes = 0
        self.is_last = False


class Fanout:
    """The topics of one worker's sockets, and the flusher that writes to them.

    deliveries, writes, flushes: counted since the start, for metrics. deliveries counts the broadcast frames handed to
    sockets; writes, the pieces they were handed over in; flushes, the batches.
    """

    def __init__(self) -> None:
        self.deliveries = 0
        self.writes = 0
        self.flushes = 0
        self._groups: dict[tuple[frozenset[Hashable], int], Group] = {}
        self._groups_by_topic: dict[Hashable, dict[Group, None]] = {}
        self._batch: list[_Broadcast] = []
        self._privates: dict[Output, _Private] = {}
        self._is_flushing = False
        self._turn = WRITES_A_TURN
        self._room: Event | None = None

    # Topics

    def join(self, subscriber: Subscriber, topics: Iterable[Hashable]) -> None:
        """Add topics to a subscriber's. It gets what is broadcast from now on. One whose transport closes joins
        nothing.

        Sockets share the work of a broadcast when all their topics are the same; so send what is for one socket alone
        with its transport's send(), not through a topic of its own.
        """
        group = subscriber.transport.group
        self._regroup(subscriber, group.topics.union(topics) if group else frozenset(topics))

    def leave(self, subscriber: Subscriber, topics: Iterable[Hashable]) -> None:
        """Take topics from a subscriber's. What was broadcast before still reaches it."""
        group = subscriber.transport.group
        if group is not None:
            self._regroup(subscriber, group.topics.difference(topics))

    def forget(self, subscriber: Subscriber) -> None:
        """Take all topics from a subscriber. May be called again, and for one that never joined."""
        self._regroup(subscriber, frozenset())

    def _regroup(self, subscriber: Subscriber, topics: frozenset[Hashable]) -> None:
        transport = subscriber.transport
        group = transport.group
        key = (topics, subscriber.variant)
        if (group.topics, group.variant) == key if group else not topics:
            return
        if self._batch:
            self._settle(transport)
        if group is not None:
            self._remove(transport, group)
        if not topics or transport.is_closing:
            return
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(*key)
            for topic in topics:
                self._groups_by_topic.setdefault(topic, {})[group] = None
        group.members[subscriber] = None
        transport.group = group
        transport.subscriber = subscriber

    def _remove(self, transport: Output, group: Group) -> None:
        assert transport.subscriber is not None
        del group.members[transport.subscriber]
        transport.group = transport.subscriber = None
        if group.members:
            return
        del self._groups[group.topics, group.variant]
        for topic in group.topics:
            groups = self._groups_by_topic[topic]
            del groups[group]
            if not groups:
                del self._groups_by_topic[topic]

    # What goes out

    def broadcast(
        self,
        topic: Hashable,
        frames: Frames,
        *,
        except_peer: Hashable = None,
        except_also: frozenset[Hashable] = frozenset(),
    ) -> None:
        """Send to all who have joined the topic, but for the sockets of one peer, or of several. Never blocks."""
        if topic not in self._groups_by_topic and not (
            type(topic) is ChannelTopic and ANY_CHANNEL in self._groups_by_topic
        ):
            return
        self._batch.append(_Broadcast(topic, frames, except_peer, except_also))
        if not self._is_flushing:
            self._start_flushing()

    def unicast(self, transport: Output, framed: bytes) -> None:
        """Send one frame, or several joined, to one socket. Transport.send() calls this."""
        private = self._settle(transport)
        private.frames.append(framed)
        private.own_bytes += len(framed)
        transport.pending_bytes += len(framed)
        if not self._is_flushing:
            self._start_flushing()

    def finish(self, transport: Output, framed: bytes) -> None:
        """Send the last frame that a socket ever gets: no broadcast follows. Then its transport's flushed() is
        called."""
        self.unicast(transport, framed)
        self._privates[transport].is_last = True
        if transport.group is not None:
            self._remove(transport, transport.group)

    def drop(self, transport: Output) -> None:
        """Forget a socket that is gone, and what waits for it."""
        self._privates.pop(transport, None)
        transport.pending_bytes = 0
        if transport.group is not None:
            self._remove(transport, transport.group)

    def wait_for_room(self) -> None:
        """Wait, if more is broadcast than can be written, until the flusher has caught up. For those who cause
        broadcasts."""
        while len(self._batch) >= BATCH_LIMIT:
            if self._room is None:
                self._room = Event()
            self._room.wait()

    # The flusher

    def _settle(self, transport: Output) -> _Private:
        """Put what the waiting broadcasts owe a socket into its private list."""
        private = self._privates.get(transport)
        if private is None:
            private = self._privates[transport] = _Private()
        if private.start < len(self._batch):
            share = _share(transport, self._batch, private.start)
            private.start = len(self._batch)
            private.frames += share
            private.broadcasts += len(share)
        return private

    def _start_flushing(self) -> None:
        self._is_flushing = True
        gevent.spawn_raw(self._flush_all)

    def _flush_all(self) -> None:
        try:
            while True:
                batch, self._batch = self._batch, []
                privates, self._privates = self._privates, {}
                if self._room is not None:
                    room, self._room = self._room, None
                    room.set()
                try:
                    self._flush(batch, privates)
                except Exception:
                    log.exception("a batch could not be sent")
                if not self._batch and not self._privates:
                    break
                _let_others_run()
        finally:
            self._is_flushing = False

    def _flush(self, batch: list[_Broadcast], privates: dict[Output, _Private]) -> None:
        self.flushes += 1
        jobs: list[tuple[list[Output], list[bytes]]] = []
        if batch:
            jobs.extend(self._jobs_of_groups(batch, privates))
        last: list[Output] = []
        for transport, private in privates.items():
            transport.pending_bytes -= private.own_bytes
            share = _share(transport, batch, private.start)
            self.deliveries += private.broadcasts + len(share)
            if private.frames or share:
                jobs.append(([transport], _pieces(private.frames + share)))
            if private.is_last:
                last.append(transport)

        number = 0
        while jobs:
            for transports, pieces in jobs:
                self._write_all(transports, pieces[number])
            number += 1
            jobs = [job for job in jobs if len(job[1]) > number]
            if jobs:
                _let_others_run()
        for transport in last:
            transport.flushed()

    def _jobs_of_groups(
        self, batch: list[_Broadcast], privates: dict[Output, _Private]
    ) -> Iterator[tuple[list[Output], list[bytes]]]:
        """Who gets what of a batch, for sockets without a private list."""
        excluded = {broadcast.except_peer for broadcast in batch}
        for broadcast in batch:
            if broadcast.except_also:
                excluded |= broadcast.except_also
        for group in self._groups_reached_by(batch):
            variant = group.variant
            wanted = [broadcast for broadcast in batch if group.wants(broadcast.topic)]
            frames = [framed for broadcast in wanted if (framed := broadcast.frames.framed(variant))]
            transports: list[Output] = []
            filtered: dict[Hashable, list[Output]] = {}
            for member in group.members:
                transport = member.transport
                if transport in privates:
                    continue
                peer = member.listener_key
                if peer in excluded and peer is not None:
                    filtered.setdefault(peer, []).append(transport)
                else:
                    transports.append(transport)
            if frames and transports:
                self.deliveries += len(frames) * len(transports)
                yield transports, _pieces(frames)
            for peer, own in filtered.items():
                frames = [f for b in wanted if not b.is_kept_from(peer) and (f := b.frames.framed(variant))]
                if frames:
                    self.deliveries += len(frames) * len(own)
                    yield own, _pieces(frames)

    def _groups_reached_by(self, batch: list[_Broadcast]) -> Iterable[Group]:
        topics = {broadcast.topic for broadcast in batch}
        if ANY_CHANNEL in self._groups_by_topic and any(type(topic) is ChannelTopic for topic in topics):
            topics.add(ANY_CHANNEL)
        groups: dict[Group, None] = {}
        for topic in topics:
            groups.update(self._groups_by_topic.get(topic, {}))
        return groups

    def _write_all(self, transports: list[Output], piece: bytes) -> None:
        self.writes += len(transports)
        turn = self._turn
        for transport in transports:
            transport.write(piece)
            turn -= 1
            if not turn:
                turn = WRITES_A_TURN
                _let_others_run()
        self._turn = turn


def _share(transport: Output, batch: list[_Broadcast], start: int) -> list[bytes]:
    """The frames that the broadcasts from a place in the batch on owe one socket."""
    group = transport.group
    if group is None or start == len(batch):
        return []
    assert transport.subscriber is not None
    peer = transport.subscriber.listener_key
    return [
        framed
        for broadcast in (batch[start:] if start else batch)
        if group.wants(broadcast.topic)
        and not broadcast.is_kept_from(peer)
        and (framed := broadcast.frames.framed(group.variant))
    ]


def _pieces(frames: list[bytes]) -> list[bytes]:
    """Join frames into pieces of PIECE_BYTES; one frame that is longer is a piece of its own."""
    joined = b"".join(frames)
    if len(joined) <= PIECE_BYTES or len(frames) == 1:
        return [joined]
    pieces, first, size = [], 0, 0
    for number, frame in enumerate(frames):
        if size and size + len(frame) > PIECE_BYTES:
            pieces.append(b"".join(frames[first:number]))
            first, size = number, 0
        size += len(frame)
    pieces.append(b"".join(frames[first:]))
    return pieces


def _let_others_run() -> None:
    """Give way for one whole turn of the event loop.

    sleep(0) is not enough: gevent runs up to 50 of those before it looks at a socket again.
    """
    gevent.idle(1)
