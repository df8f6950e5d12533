"""The worker's access to the bus: one greenlet listens, one publishes, and neither blocks a socket.

Signals that are published during a Redis outage are lost, and those whose connection was cut before Redis answered may
be: no signal is sent twice. Afterwards, the functions given to `on_connected` are called,
and read from the database, or from Redis, what they may have missed.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import msgspec
import redis
import structlog
from gevent.event import Event
from redis.client import PubSub

from shared.bus import Bus
from shared.signals import MARK_START, S, Signal, TakeoverMarked, decode, decode_mark

RETRY_SECONDS = 0.5
MAX_QUEUED = 20_000  # commands that wait for a slow Redis; the oldest are dropped
PING_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class Mark(msgspec.Struct):
    """A place in each stream of signals: one connection's, or in a cluster one for each shard.

    Attributes:
        topics: The topics of all streams.
    """

    id: str
    topics: list[str]


class Signals:
    """Listens to the signals of other processes, and publishes. Handlers get the decoded signal and must not block.

    Attributes:
        is_connected: Whether signals arrive.
        refusal: Why Redis refuses to write although it answers, for example as a read-only replica or because its
            memory is full. Empty if it does not.
    """

    def __init__(self, redis_url: str, worker_id: str) -> None:
        self._own = b'{"worker":"%b"' % worker_id.encode()
        self._publisher = Bus(redis_url)
        self._listener = Bus(redis_url)
        self._handlers: dict[type[Signal], Callable[[Any], object]] = {}
        self._on_connected: list[Callable[[], None]] = []
        self._queue: deque[tuple[Any, ...]] = deque(maxlen=MAX_QUEUED)
        self._waiting = Event()
        self._has_lost = False
        self._may_publish = Event()
        self._may_publish.set()
        self._is_publishing = False
        self._held: list[tuple[str, bytes]] | None = None
        self._streams: list[set[str]] = []  # the topics of each, see `hold_incoming_after_mark`
        self._mark = ""
        self._marked_topics: set[str] = set()
        self._early: list[tuple[str, bytes]] = []  # signals after the mark, while it is awaited in other streams
        self._has_connected = False
        self._has_gap = False  # whether signals may have been lost while they are kept
        self.is_connected = False
        self.refusal = ""

    @property
    def redis(self) -> redis.Redis:
        """The client for commands. A call blocks its greenlet for at most a second."""
        return self._publisher.redis

    def on(self, signal_class: type[S], handler: Callable[[S], object]) -> None:
        """Call the handler with each signal of this class. There is one handler for each class."""
        self._handlers[signal_class] = handler

    def on_connected(self, handler: Callable[[], None]) -> None:
        """Call the handler, in its own greenlet, whenever listening has started or publishing works again.

        Signals may have been lost before, in either direction.
        """
        self._on_connected.append(handler)

    def publish(self, signal: Signal) -> None:
        """Queue a signal. Signals are sent in order, in a cluster those of each shard, and lost during an outage."""
        self.command(*self._publisher.publication(signal))

    def publish_first(self, signal: Signal) -> None:
        """Queue a signal before all others that are queued."""
        self._queue.appendleft(self._publisher.publication(signal))
        self._waiting.set()

    def command(self, *command: Any) -> None:
        """Queue a Redis command, in order with the signals. Its answer is ignored."""
        self._has_lost = self._has_lost or len(self._queue) == MAX_QUEUED
        self._queue.append(command)
        self._waiting.set()

    # Taking over, see `worker/takeover/`

    def hold_incoming(self) -> None:
        """Keep the signals that arrive, and handle none of them before `release_incoming`."""
        if self._held is None:
            self._held, self._early = self._early, []

    def hold_incoming_after_mark(self, worker_id: str, timeout: float) -> Mark | None:
        """Put a mark into each stream of signals, handle all signals before it, and keep the later ones.

        All subscribers of a stream receive its signals in the same order, so another process that listens to the same
        streams can go on exactly at the marks.

        Returns:
            The mark. None if a stream does not bring it back within `timeout` seconds.
        """
        mark = str(uuid.uuid4())
        self._mark, self._marked_topics = mark, set()
        if self.is_connected:
            for topics in self._streams:
                topic = TakeoverMarked.topic if TakeoverMarked.topic in topics else min(topics)
                signal = TakeoverMarked(mark, worker_id, sorted(topics))
                self.command(*self._publisher.publication(signal, topic=topic))
        deadline = time.monotonic() + timeout
        while self.is_connected and not self._is_marked() and time.monotonic() < deadline:
            gevent.sleep(0.001)
        is_marked = self._is_marked()
        self.hold_incoming()
        self._mark = ""
        return Mark(mark, sorted(self._marked_topics)) if is_marked else None

    def wait_until_connected(self, timeout: float) -> bool:
        """Wait until signals arrive. Return False after `timeout` seconds without Redis."""
        deadline = time.monotonic() + timeout
        while not self.is_connected and time.monotonic() < deadline:
            gevent.sleep(0.01)
        return self.is_connected

    def wait_for_mark(self, mark: Mark, timeout: float) -> bool:
        """Wait until a mark has arrived in each stream. Return False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self._has_mark(mark):
            if time.monotonic() > deadline:
                return False
            gevent.sleep(0.002)
        return True

    def release_incoming(self) -> None:
        """Handle the signals that were kept, and from now on each as it arrives."""
        held, self._held = self._held or [], None
        self._marked_topics = set()
        for topic, body in held:
            self._handle(topic, body)
        self._report_gap(is_certain=False)

    def release_incoming_after(self, mark: Mark | None) -> None:
        """Do so without the signals that came before a mark in their stream, which another process has handled.

        If the mark is None or missing, skip everything that was kept, and assume that signals were lost.
        """
        is_complete = mark is not None and self._has_mark(mark)
        held, self._held = self._held or [], None
        waiting = set(mark.topics) if mark is not None else set()
        for topic, body in held if is_complete else []:
            if body.startswith(MARK_START):
                found = decode_mark(body)
                if mark is not None and found.mark == mark.id:
                    waiting.difference_update(found.topics)
            elif topic not in waiting:
                self._handle(topic, body)
        self._report_gap(is_certain=not is_complete)

    def _report_gap(self, *, is_certain: bool) -> None:
        if is_certain or self._has_gap:
            self._call_on_connected()
        self._has_gap = False

    def _is_marked(self) -> bool:
        return bool(self._streams) and all(topics <= self._marked_topics for topics in self._streams)

    def _has_mark(self, mark: Mark) -> bool:
        """Return whether a mark is among the signals that are kept, in each stream."""
        marked: set[str] = set()
        for _, body in self._held or ():
            if body.startswith(MARK_START) and (found := decode_mark(body)).mark == mark.id:
                marked.update(found.topics)
        return marked >= set(mark.topics)

    def hold_outgoing(self) -> None:
        """Publish nothing from now on. What is queued stays in the queue."""
        self._may_publish.clear()

    def release_outgoing(self) -> None:
        """Publish again, first what is queued."""
        self._may_publish.set()

    @property
    def is_flushed(self) -> bool:
        """Whether everything has been published."""
        return not (self._queue or self._is_publishing)

    def export_queue(self) -> list[tuple[Any, ...]]:
        """Return the commands that have not been sent to Redis."""
        return list(self._queue)

    def restore_queue(self, commands: list[tuple[Any, ...]]) -> None:
        """Replace what is queued."""
        self._queue.clear()
        for command in commands:
            self.command(*command)

    def start(self, *, is_held: bool = False) -> None:
        """Start both greenlets.

        Args:
            is_held: Whether to handle and publish nothing yet.
        """
        if is_held:
            self.hold_incoming()
            self.hold_outgoing()
        gevent.spawn(self._listen)
        gevent.spawn(self._publish)

    def flush(self, timeout: float) -> None:
        """Wait until the queue is empty, at most `timeout` seconds."""
        with gevent.Timeout(timeout, False):  # type: ignore[arg-type]
            while self._queue or self._waiting.is_set():
                gevent.sleep(0.01)

    def _publish(self) -> None:
        while True:
            self._waiting.wait()
            self._may_publish.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), 500))]
            if not batch:
                self._waiting.clear()
                continue
            self._is_publishing = True
            try:
                self._note_refusals(batch, self._publisher.run(batch))
            except (redis.RedisError, OSError) as error:
                _log.warning("redis is down, signals are lost", count=len(batch), error=str(error))
                self._has_lost = True
            except Exception:
                _log.exception("signals could not be published", count=len(batch))
                self._has_lost = True
            finally:
                self._is_publishing = False
            if self._has_lost:
                self._recover()

    def _note_refusals(self, batch: list[tuple[Any, ...]], refusals: list[Exception]) -> None:
        """Notice a Redis that answers but refuses to write, and call the handlers when it writes again."""
        if refusals:
            if not self.refusal:
                _log.warning("redis refuses commands", error=str(refusals[0]))
            self.refusal = str(refusals[0])
        elif self.refusal and any(command[0] not in ("PUBLISH", "SPUBLISH") for command in batch):
            _log.info("redis accepts commands again")
            self.refusal = ""
            self._call_on_connected()

    def _recover(self) -> None:
        """Wait until Redis answers. If that takes a while, drop the queue, which is out of date by then."""
        while True:
            try:
                self._publisher.redis.ping()
                break
            except Exception:  # whatever it is, no more signals would be published if this greenlet ended
                gevent.sleep(RETRY_SECONDS)
                self._queue.clear()
        self._has_lost = False
        self._call_on_connected()
        gevent.sleep(0)  # start the handlers, so that what they publish first precedes the queue

    def _call_on_connected(self) -> None:
        if self._held is not None:
            self._has_gap = True
            return
        for handler in self._on_connected:
            gevent.spawn(handler)

    def _listen(self) -> None:
        is_logged = False
        while True:
            try:
                self._listen_once()
                is_logged = False
            except (redis.RedisError, OSError) as error:
                if self.is_connected or not is_logged:
                    _log.warning("redis is down, trying again", error=str(error))
                is_logged, self.is_connected = True, False
                gevent.sleep(RETRY_SECONDS)
            except Exception:
                _log.exception("listening to redis failed, trying again")
                self.is_connected = False
                gevent.sleep(RETRY_SECONDS)

    def _listen_once(self) -> None:
        topics = {signal_class.topic for signal_class in self._handlers} | {TakeoverMarked.topic}
        pubsubs = self._listener.subscribe(topics)
        readers: list[gevent.Greenlet[..., Exception]] = []
        try:
            for pubsub in pubsubs:
                pubsub.get_message(timeout=1.0)
            self.is_connected = True
            self._streams = [_topics_of(pubsub) for pubsub in pubsubs]
            _log.info("listening to redis", topics=len(topics), connections=len(pubsubs))
            if self._has_connected or self._held is None:  # nothing was lost before the first connection of a takeover
                self._call_on_connected()
            self._has_connected = True
            readers += [gevent.spawn(self._read, pubsub) for pubsub in pubsubs]
            [ended, *_] = gevent.wait(readers, count=1)
            raise ended.get()
        finally:
            gevent.killall(readers)
            for pubsub in pubsubs:
                pubsub.close()

    def _read(self, pubsub: PubSub) -> Exception:
        """Handle the messages of a subscription until it fails. Return the error."""
        last_message_at, is_pinged = time.monotonic(), False
        try:
            while True:
                message = None
                with gevent.Timeout(PING_SECONDS, False):  # type: ignore[arg-type]
                    # Without a timeout of its own. With one it polls the socket first: 140 µs a message instead of 70.
                    message = pubsub.get_message(timeout=None)  # type: ignore[arg-type]
                now = time.monotonic()
                if message is None:
                    if now - last_message_at >= PING_SECONDS:
                        if is_pinged:
                            raise redis.ConnectionError("no answer to a ping")
                        pubsub.ping()
                        last_message_at, is_pinged = now, True
                    continue
                last_message_at, is_pinged = now, False
                if message["type"] in ("message", "smessage"):
                    self._handle(message["channel"].decode().rpartition(":")[2], message["data"])
                elif message["type"] == "sunsubscribe":
                    raise redis.ConnectionError("a topic has moved to another shard")
        except (redis.RedisError, OSError) as error:
            return error

    def _handle(self, topic: str, body: bytes) -> None:
        if body.startswith(self._own):
            return  # all handlers ignore what their own worker published; to decode a batch of lines takes long
        if self._held is not None:
            self._held.append((topic, body))
            return
        if body.startswith(MARK_START):
            if self._mark and (mark := decode_mark(body)).mark == self._mark:
                self._marked_topics.update(mark.topics)
            return
        if topic in self._marked_topics:
            self._early.append((topic, body))
            return
        try:
            for signal in decode(topic, body):
                handler = self._handlers.get(type(signal))
                if handler is not None:
                    handler(signal)
        except Exception:
            _log.exception("a signal could not be handled", topic=topic)


def _topics_of(pubsub: PubSub) -> set[str]:
    names = [*pubsub.channels, *getattr(pubsub, "shard_channels", ())]
    return {bytes(name).decode().rpartition(":")[2] for name in names}
