"""The one way out of a worker: every byte to every socket passes through `Fanout`.

A `send()` of one frame costs the kernel about as much as a `send()` of forty. So frames are queued, not written at
once. One flusher greenlet takes everything that is queued, joins it once for each group of sockets with the same topics
and variant, and writes each socket once, non-blocking. There is no timer: what arrives while the flusher writes becomes
the next batch. If a socket does not accept everything at once, the rest goes into that connection's bounded queue
(transport.py).

Order: each socket receives its frames, unicast or broadcast, in the order of the calls. It receives no broadcast from
before it joined or after it left. To ensure this, a unicast to a socket, or a change of its topics, first moves the
socket's share of the queued broadcasts to a queue of its own.

Everything here runs in the hub's thread and never blocks. Do not call it from other threads.
"""

import logging
from collections.abc import Hashable, Iterable, Iterator

import gevent
from gevent.event import Event

from worker.wire.broadcasts import Broadcast, Frames, join_in_pieces
from worker.wire.groups import ANY_CHANNEL, ChannelTopic, Group, Output, Subscriber

log = logging.getLogger(__name__)

# When this many broadcasts are queued, no more messages are handled until the flusher has caught up (wait_for_room).
BATCH_LIMIT = 512

# After this many writes (two or three milliseconds), everything else in the worker gets its turn.
WRITES_PER_TURN = 256


class _SocketQueue:
    """Frames that are queued for one socket.

    Attributes:
        frames: Its unicasts, and its share of the broadcasts before `start`.
        start: The index in the batch from which its share has not been added yet.
        broadcasts: How many of `frames` are broadcasts.
        unicast_bytes: The size of the others.
        is_final: Whether the socket is sent nothing after this.
    """

    __slots__ = ("broadcasts", "frames", "is_final", "start", "unicast_bytes")

    def __init__(self) -> None:
        self.start = 0
        self.frames: list[bytes] = []
        self.broadcasts = 0
        self.unicast_bytes = 0
        self.is_final = False


class Fanout:
    """The topics of one worker's sockets, and the flusher that writes to them.

    Attributes:
        deliveries: Broadcast frames passed to sockets since the start.
        writes: The pieces in which they were passed.
        flushes: Batches.
    """

    def __init__(self) -> None:
        self.deliveries = 0
        self.writes = 0
        self.flushes = 0
        self._groups: dict[tuple[frozenset[Hashable], int], Group] = {}
        self._groups_by_topic: dict[Hashable, dict[Group, None]] = {}
        self._batch: list[Broadcast] = []
        self._queues: dict[Output, _SocketQueue] = {}
        self._is_flushing = False
        self._is_held = False
        self._turn = WRITES_PER_TURN
        self._room: Event | None = None

    # Topics

    def join(self, subscriber: Subscriber, topics: Iterable[Hashable]) -> None:
        """Add topics to those of a subscriber. It receives broadcasts from now on. Ignored if its transport is closing.

        Sockets share the work of a broadcast only if all their topics are the same. So do not use a topic to reach one
        socket; use its transport's send().
        """
        group = subscriber.transport.group
        self._regroup(subscriber, group.topics.union(topics) if group else frozenset(topics))

    def leave(self, subscriber: Subscriber, topics: Iterable[Hashable]) -> None:
        """Remove topics from those of a subscriber. Earlier broadcasts still reach it."""
        group = subscriber.transport.group
        if group is not None:
            self._regroup(subscriber, group.topics.difference(topics))

    def forget(self, subscriber: Subscriber) -> None:
        """Remove all topics of a subscriber, if it has any."""
        self._regroup(subscriber, frozenset())

    def _regroup(self, subscriber: Subscriber, topics: frozenset[Hashable]) -> None:
        transport = subscriber.transport
        group = transport.group
        key = (topics, subscriber.variant)
        if (group.topics, group.variant) == key if group else not topics:
            return
        if self._batch:
            self._update_queue(transport)
        if group is not None:
            self._remove(transport, group)
        if not topics or transport.is_closing:
            return
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(*key)
            for topic in topics:
                self._groups_by_topic.setdefault(topic, {})[group] = None
        group.add(subscriber)
        transport.group = group
        transport.subscriber = subscriber

    def _remove(self, transport: Output, group: Group) -> None:
        assert transport.subscriber is not None
        group.remove(transport.subscriber)
        transport.group = transport.subscriber = None
        if group.members:
            return
        del self._groups[group.topics, group.variant]
        for topic in group.topics:
            groups = self._groups_by_topic[topic]
            del groups[group]
            if not groups:
                del self._groups_by_topic[topic]

    # Sending

    def broadcast(
        self,
        topic: Hashable,
        frames: Frames,
        *,
        except_listener: Hashable = None,
        except_listeners: frozenset[Hashable] = frozenset(),
    ) -> None:
        """Send to all subscribers of a topic, except sockets with one of the given listener keys. Never blocks."""
        if topic not in self._groups_by_topic and not (
            type(topic) is ChannelTopic and ANY_CHANNEL in self._groups_by_topic
        ):
            return
        self._batch.append(Broadcast(topic, frames, except_listener, except_listeners))
        if not self._is_flushing:
            self._start_flushing()

    def unicast(self, transport: Output, framed: bytes) -> None:
        """Send one frame, or several joined ones, to one socket. Transport.send() calls this."""
        queue = self._update_queue(transport)
        queue.frames.append(framed)
        queue.unicast_bytes += len(framed)
        transport.pending_bytes += len(framed)
        if not self._is_flushing:
            self._start_flushing()

    def finish(self, transport: Output, framed: bytes) -> None:
        """Send a last frame to a socket, with no broadcasts after it. Then call its transport's flushed()."""
        self.unicast(transport, framed)
        self._queues[transport].is_final = True
        if transport.group is not None:
            self._remove(transport, transport.group)

    def drop(self, transport: Output) -> None:
        """Forget a closed socket, and the frames that are queued for it."""
        self._queues.pop(transport, None)
        transport.pending_bytes = 0
        if transport.group is not None:
            self._remove(transport, transport.group)

    @property
    def is_idle(self) -> bool:
        """Whether everything has been written, so that nothing is queued here."""
        return not (self._is_flushing or self._batch or self._queues)

    def hold(self) -> None:
        """Write nothing from now on, and queue everything."""
        self._is_held = True

    def release(self) -> None:
        """Write again, first what was queued."""
        self._is_held = False
        if (self._batch or self._queues) and not self._is_flushing:
            self._start_flushing()

    def wait_for_room(self) -> None:
        """Wait until the flusher has caught up, if too many broadcasts are queued. Call this before causing more."""
        while len(self._batch) >= BATCH_LIMIT:
            if self._room is None:
                self._room = Event()
            self._room.wait()

    # The flusher

    def _update_queue(self, transport: Output) -> _SocketQueue:
        """Return a socket's queue, with its share of all queued broadcasts in it."""
        queue = self._queues.get(transport)
        if queue is None:
            queue = self._queues[transport] = _SocketQueue()
        if queue.start < len(self._batch):
            share = _share(transport, self._batch, queue.start)
            queue.start = len(self._batch)
            queue.frames += share
            queue.broadcasts += len(share)
        return queue

    def _start_flushing(self) -> None:
        if self._is_held:
            return
        self._is_flushing = True
        gevent.spawn_raw(self._flush_all)

    def _flush_all(self) -> None:
        try:
            while True:
                batch, self._batch = self._batch, []
                queues, self._queues = self._queues, {}
                if self._room is not None:
                    room, self._room = self._room, None
                    room.set()
                try:
                    self._flush(batch, queues)
                except Exception:
                    log.exception("a batch could not be sent")
                if not self._batch and not self._queues:
                    break
                _let_others_run()
        finally:
            self._is_flushing = False

    def _flush(self, batch: list[Broadcast], queues: dict[Output, _SocketQueue]) -> None:
        self.flushes += 1
        jobs: list[tuple[list[Output], list[bytes]]] = []
        if batch:
            jobs.extend(self._jobs_of_groups(batch, queues))
        last: list[Output] = []
        for transport, queue in queues.items():
            transport.pending_bytes -= queue.unicast_bytes
            share = _share(transport, batch, queue.start)
            self.deliveries += queue.broadcasts + len(share)
            if queue.frames or share:
                jobs.append(([transport], join_in_pieces(queue.frames + share)))
            if queue.is_final:
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
        self, batch: list[Broadcast], queues: dict[Output, _SocketQueue]
    ) -> Iterator[tuple[list[Output], list[bytes]]]:
        """Yield sockets without a queue of their own, with the pieces of the batch that they receive."""
        excluded = {broadcast.except_listener for broadcast in batch}
        for broadcast in batch:
            if broadcast.except_listeners:
                excluded |= broadcast.except_listeners
        excluded.discard(None)
        topics = {broadcast.topic for broadcast in batch}
        for group in self._groups_reached_by(topics):
            variant = group.variant
            received = {topic for topic in topics if group.receives(topic)}
            broadcasts = batch
            if len(received) < len(topics):
                broadcasts = [broadcast for broadcast in batch if broadcast.topic in received]
            frames = [framed for broadcast in broadcasts if (framed := broadcast.frames.framed(variant))]
            transports, keys = group.listeners()
            filtered: dict[Hashable, list[Output]] = {}
            if not excluded.isdisjoint(keys):
                for transport, key in zip(transports, keys, strict=True):
                    if key in excluded and transport not in queues:
                        filtered.setdefault(key, []).append(transport)
                transports = [t for t, key in zip(transports, keys, strict=True) if key not in excluded]
            if queues:
                transports = [transport for transport in transports if transport not in queues]
            if frames and transports:
                self.deliveries += len(frames) * len(transports)
                yield transports, join_in_pieces(frames)
            for key, transports in filtered.items():
                frames = [f for b in broadcasts if not b.excludes(key) and (f := b.frames.framed(variant))]
                if frames:
                    self.deliveries += len(frames) * len(transports)
                    yield transports, join_in_pieces(frames)

    def _groups_reached_by(self, topics: Iterable[Hashable]) -> Iterable[Group]:
        groups: dict[Group, None] = {}
        if ANY_CHANNEL in self._groups_by_topic and any(type(topic) is ChannelTopic for topic in topics):
            groups.update(self._groups_by_topic[ANY_CHANNEL])
        for topic in topics:
            groups.update(self._groups_by_topic.get(topic, {}))
        return groups

    def _write_all(self, transports: list[Output], piece: bytes) -> None:
        """Write a piece to all transports.

        Nearly every write is accepted as a whole. So this loop calls send() itself, and write() only for what is left.
        """
        self.writes += len(transports)
        size, first = len(piece), 0
        while first < len(transports):
            turn = transports[first : first + self._turn]
            for transport in turn:
                sent = 0
                if (socket := transport.direct) is not None:
                    try:
                        sent = socket.send(piece)
                    except OSError:
                        pass  # write() tries again
                if sent < size:
                    transport.write(piece, sent)
            first += len(turn)
            self._turn -= len(turn)
            if not self._turn:
                self._turn = WRITES_PER_TURN
                _let_others_run()


def _share(transport: Output, batch: list[Broadcast], start: int) -> list[bytes]:
    """Return the frames that one socket receives from a batch, from the index `start` on."""
    group = transport.group
    if group is None or start == len(batch):
        return []
    assert transport.subscriber is not None
    key = transport.subscriber.listener_key
    return [
        framed
        for broadcast in (batch[start:] if start else batch)
        if group.receives(broadcast.topic)
        and not broadcast.excludes(key)
        and (framed := broadcast.frames.framed(group.variant))
    ]


def _let_others_run() -> None:
    """Let everything else run for one whole turn of the event loop.

    sleep(0) is not enough, since gevent runs up to 50 such callbacks before it looks at sockets again.
    """
    gevent.idle(1)
