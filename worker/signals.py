"""The bus as the worker uses it: one greenlet listens, one publishes, and neither holds up a socket.

Redis may go away at any time. What is published meanwhile is lost, as signals may be; when it is back, everyone who
listens is told, and looks at the copy that counts.
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

from shared.bus import Bus
from shared.signals import TOPIC_PREFIX, S, Signal, decode, encode

RETRY_SECONDS = 0.5
QUEUE_LONGEST = 20_000  # commands that wait for a slow Redis; the oldest go first
PING_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class Signals:
    """Listens to signals and publishes them. Handlers get the decoded signal and must not block."""

    def __init__(self, redis_url: str) -> None:
        self._publisher = Bus(redis_url)
        self._listener = Bus(redis_url)
        self._handlers: dict[type[Signal], Callable[[Any], None]] = {}
        self._back: list[Callable[[], None]] = []
        self._queue: deque[tuple[Any, ...]] = deque(maxlen=QUEUE_LONGEST)
        self._waiting = Event()
        self._has_lost = False
        self.is_connected = False

    @property
    def redis(self) -> redis.Redis:
        """A client for commands; its calls block the greenlet for a second at most."""
        return self._publisher.redis

    def on(self, signal_class: type[S], handler: Callable[[S], None]) -> None:
        """Call the handler with each signal of this class. There is one handler for each class."""
        self._handlers[signal_class] = handler

    def on_connected(self, handler: Callable[[], None]) -> None:
        """Call the handler, in a greenlet, whenever listening has begun, or publishing works, again.

        Signals of either direction may have been lost before.
        """
        self._back.append(handler)

    def publish(self, signal: Signal) -> None:
        """Queue a signal. It is sent in order with all others, or lost if Redis is away."""
        self.command("PUBLISH", TOPIC_PREFIX + signal.topic, encode(signal))

    def command(self, *command: Any) -> None:
        """Queue any Redis command whose answer is of no interest, in order with the signals."""
        self._has_lost = self._has_lost or len(self._queue) == QUEUE_LONGEST
        self._queue.append(command)
        self._waiting.set()

    def start(self) -> None:
        """Start both greenlets."""
        gevent.spawn(self._listen)
        gevent.spawn(self._publish)

    def flush(self, timeout: float) -> None:
        """Wait until the queue is empty, `timeout` seconds at most."""
        with gevent.Timeout(timeout, False):
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
                pipeline = self._publisher.redis.pipeline(transaction=False)
                for command in batch:
                    pipeline.execute_command(*command)
                pipeline.execute(raise_on_error=False)
            except (redis.RedisError, OSError) as error:
                _log.warning("redis is away, signals are lost", count=len(batch), error=str(error))
                self._has_lost = True
            if self._has_lost:
                self._recover()

    def _recover(self) -> None:
        """Wait until Redis answers. What waited is of the past by then: those who listen make it good."""
        while True:
            try:
                self._publisher.redis.ping()
                break
            except (redis.RedisError, OSError):
                gevent.sleep(RETRY_SECONDS)
        self._queue.clear()
        self._has_lost = False
        self._tell_back()

    def _tell_back(self) -> None:
        for handler in self._back:
            gevent.spawn(handler)

    def _listen(self) -> None:
        was_told = False
        while True:
            try:
                self._listen_once()
                was_told = False
            except (redis.RedisError, OSError) as error:
                if self.is_connected or not was_told:
                    _log.warning("redis is away, trying again", error=str(error))
                was_told, self.is_connected = True, False
                gevent.sleep(RETRY_SECONDS)

    def _listen_once(self) -> None:
        pubsub = self._listener.redis.pubsub(ignore_subscribe_messages=True)
        try:
            topics = {TOPIC_PREFIX + signal_class.topic for signal_class in self._handlers}
            pubsub.subscribe(*topics)
            pubsub.get_message(timeout=1.0)
            self.is_connected = True
            _log.info("listening to redis", topics=len(topics))
            self._tell_back()
            heard_at, is_asked = time.monotonic(), False
            while True:
                message = pubsub.get_message(timeout=PING_SECONDS)
                now = time.monotonic()
                if message is None:
                    # Also for the confirmations of the subscriptions, that are ignored: only silence counts.
                    if now - heard_at >= PING_SECONDS:
                        if is_asked:
                            raise redis.ConnectionError("no answer to a ping")
                        pubsub.ping()
                        heard_at, is_asked = now, True
                    continue
                heard_at, is_asked = now, False
                if message["type"] == "message":
                    self._handle(message["channel"].decode().removeprefix(TOPIC_PREFIX), message["data"])
        finally:
            pubsub.close()

    def _handle(self, topic: str, body: bytes) -> None:
        try:
            for signal in decode(topic, body):
                handler = self._handlers.get(type(signal))
                if handler is not None:
                    handler(signal)
        except Exception:
            _log.exception("a signal could not be handled", topic=topic)
