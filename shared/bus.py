"""Redis between processes: signals (`shared/signals.py`), and the client for everything else that is stored there.

A signal is a nudge that is safe to lose; the database is the copy that counts. `announce` queues a signal on a session,
and a hook publishes it after the outermost commit.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import redis
import structlog
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.retry import Retry
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from shared import redis_urls, signals
from shared.redis_cluster import Cluster, shard_topic
from shared.signals import TOPIC_PREFIX, Signal

KEPT_SECONDS = 0.5
PROBE_KEY = "gossip:probe"  # written only to see whether Redis writes

_log = structlog.get_logger(__name__)


class _UnixConnection(redis.UnixDomainSocketConnection):
    """A connection through a Unix socket.

    If connecting takes too long, redis-py 8.1 reads these attributes, and would fail with an AttributeError.
    """

    host, port = "", 0


class Bus:
    """Publishes signals, and holds the Redis client. While Redis is down, publishing takes a second at most.

    Redis is one server, or a cluster (`shared/redis_cluster.py`).
    """

    def __init__(self, redis_url: str, **options: Any) -> None:
        self._url = redis_url
        self._options: dict[str, Any] = {
            "socket_connect_timeout": 1,
            "socket_timeout": 1,
            # Never repeat a command that may have been carried out: tells and notices arrive at most once. The pool
            # itself replaces connections that the server has closed while they were idle.
            "retry": Retry(NoBackoff(), 0),
            **options,
        }
        self._is_cluster = redis_urls.is_cluster(redis_url)
        self._kept: tuple[Any, float] | None = None
        self._client: Any = None
        if not self._is_cluster:
            self._client = redis.Redis.from_url(redis_url, **self._options)
            pool = self._client.connection_pool
            if pool.connection_class is redis.UnixDomainSocketConnection:
                pool.connection_class = _UnixConnection

    @property
    def redis(self) -> redis.Redis:
        """The client for commands. A cluster is connected at the first use.

        Raises:
            redis.RedisError: No node of the cluster answers.
        """
        if self._client is None:
            self._client = Cluster.open(self._url, **self._options)
        client: redis.Redis = self._client
        return client

    def publication(self, signal: Signal, *, topic: str | None = None) -> tuple[Any, ...]:
        """Return the command that publishes a signal, on its own topic unless another is given."""
        topic = topic or signal.topic
        if self._is_cluster:
            return "SPUBLISH", shard_topic(topic), signals.encode(signal)
        return "PUBLISH", TOPIC_PREFIX + topic, signals.encode(signal)

    def run(self, commands: Iterable[tuple[Any, ...]]) -> list[Exception]:
        """Send commands together. Return the errors of single commands; other answers are ignored.

        Raises:
            redis.RedisError: Some were not sent.
        """
        client: Any = self.redis
        if isinstance(client, Cluster):
            return client.run(commands)
        commands = list(commands)
        connection = self._take_connection(client)
        refusals: list[Exception] = []
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                try:
                    connection.read_response()
                except redis.ResponseError as error:
                    refusals.append(error)
        except BaseException:
            connection.disconnect()  # so that nobody reads these answers as those to other commands
            client.connection_pool.release(connection)
            raise
        self._kept = connection, time.monotonic()
        return refusals

    def _take_connection(self, client: Any) -> Any:
        """Return the connection of the last `run`, or another one if Redis may have closed it, since it was idle.

        The pool checks each connection first: a run took about 75 µs with a pipeline, 12 to 57 µs with a kept one.
        """
        kept, self._kept = self._kept, None
        if kept is not None:
            connection, used_at = kept
            if time.monotonic() - used_at < KEPT_SECONDS:
                return connection
            client.connection_pool.release(connection)
        return client.connection_pool.get_connection()

    def subscribe(self, topics: Iterable[str]) -> list[PubSub]:
        """Subscribe to topics: one subscription, or in a cluster one for each shard that has some of them.

        Raises:
            redis.RedisError: Redis is down.
        """
        client: Any = self.redis
        if isinstance(client, Cluster):
            return client.subscribe(topics)
        pubsub: PubSub = client.pubsub()
        pubsub.subscribe(*(TOPIC_PREFIX + topic for topic in topics))
        return [pubsub]

    def publish(self, signal: Signal) -> bool:
        """Send a signal to everyone who is subscribed to its topic now. Return False if Redis is down."""
        try:
            self.redis.execute_command(*self.publication(signal))  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            _log.warning("redis is down, signal lost", topic=signal.topic, error=str(error))
            return False
        return True

    def is_up(self) -> bool:
        """Return whether Redis answers a ping."""
        try:
            return bool(self.redis.ping())
        except redis.RedisError:
            return False

    def state(self) -> str:
        """Return "ok", "down", or "refusing" if Redis answers but does not write (a replica, or its memory is full)."""
        try:
            self.redis.set(PROBE_KEY, b"", ex=60)
        except redis.ResponseError:
            return "refusing"
        except redis.RedisError:
            return "down"
        return "ok"


_publisher: Bus | None = None


def publish_after_commit(bus: Bus | None) -> None:
    """Publish what this process's commits announce through `bus`. None keeps it for `take_announcements`.

    Workers take the announcements, because they publish without blocking a greenlet.
    """
    global _publisher
    _publisher = bus


def announce(session: Session, signal: Signal) -> None:
    """Queue a signal until the session's outermost commit. A rollback discards it."""
    session.info.setdefault("announcements", []).append(signal)


def take_announcements(session: Session) -> list[Signal]:
    """Remove and return the announcements of a committed session that were not published."""
    announced: list[Signal] = session.info.pop("announced", [])
    return announced


@event.listens_for(Session, "after_commit")
def _publish_announcements(session: Session) -> None:
    root = session.get_transaction()
    if root is not None and root.is_active:
        return  # only a savepoint ended
    announcements = session.info.pop("announcements", [])
    if _publisher is None:
        session.info.setdefault("announced", []).extend(announcements)
        return
    for signal in announcements:
        _publisher.publish(signal)


@event.listens_for(Session, "after_transaction_end")
def _forget_announcements(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop("announcements", None)
