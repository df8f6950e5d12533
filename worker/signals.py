"""The worker's access to the bus: one greenlet listens, one publishes, and neither blocks a socket.

Signals that are published during a Redis outage are lost, and those whose connection was cut before Redis answered may
be: no signal is sent twice. Afterwards, the functions given to `on_connected` are called,
and read from the database, or from Redis, what they may have missed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import redis
import structlog
from gevent.event import Event
from redis.client import PubSub

from shared.bus import Bus
from shared.signals import S, Signal, decode

RETRY_SECONDS = 0.5
MAX_QUEUED = 20_000  # commands that wait for a slow Redis; the oldest are dropped
PING_SECONDS = 5.0

_log = structlog.get_logger(__name__)


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

    def start(self) -> None:
        """Start both greenlets."""
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
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), 500))]
            if not batch:
                self._waiting.clear()
                continue
            try:
                self._note_refusals(batch, self._publisher.run(batch))
            except (redis.RedisError, OSError) as error:
                _log.warning("redis is down, signals are lost", count=len(batch), error=str(error))
                self._has_lost = True
            except Exception:
                _log.exception("signals could not be published", count=len(batch))
                self._has_lost = True
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
        topics = {signal_class.topic for signal_class in self._handlers}
        pubsubs = self._listener.subscribe(topics)
        readers: list[gevent.Greenlet[..., Exception]] = []
        try:
            for pubsub in pubsubs:
                pubsub.get_message(timeout=1.0)
            self.is_connected = True
            _log.info("listening to redis", topics=len(topics), connections=len(pubsubs))
            self._call_on_connected()
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
                message = pubsub.get_message(timeout=PING_SECONDS)
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
        try:
            for signal in decode(topic, body):
                handler = self._handlers.get(type(signal))
                if handler is not None:
                    handler(signal)
        except Exception:
            _log.exception("a signal could not be handled", topic=topic)
