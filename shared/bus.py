"""Redis: signals between processes. A signal is a nudge that is safe to lose; the database is the copy that counts.

`announce` queues a signal on a session; it is published after the outermost commit, by the hook at the end. Topics:

versions    {"cursor"}: the log of changes grew
network     {"restart": downtime seconds}, {"revoked": peer key} or {"user": id of an account that changed}: what every
            worker should do, or look at, now
checks      {}: connection checks are due
messages    chat lines just stored, from one worker to the others
presence    sockets that came, changed or went
moderation  {"revision", "parts"}: what workers enforce has changed; or {"tells"}: warnings to players who are online
"""

from __future__ import annotations

from typing import Any

import msgspec
import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

TOPIC_PREFIX = "gossip:"
_log = structlog.get_logger(__name__)


class Bus:
    """Publishes signals, and hands out the Redis client. Redis away costs a second at most, never an error."""

    def __init__(self, redis_url: str, **options: Any) -> None:
        self.redis: redis.Redis = redis.Redis.from_url(
            redis_url,
            socket_connect_timeout=1,
            socket_timeout=1,
            # One more try for an idle connection that the other end has closed; none for one who does not answer.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            **options,
        )

    def publish(self, topic: str, signal: dict[str, Any] | bytes) -> bool:
        """Send a signal to all who listen to the topic now. False when Redis is away: readers find out alone."""
        body = signal if isinstance(signal, bytes) else msgspec.json.encode(signal)
        try:
            self.redis.publish(TOPIC_PREFIX + topic, body)
        except redis.RedisError as error:
            _log.warning("redis is away, signal lost", topic=topic, error=str(error))
            return False
        return True

    def is_up(self) -> bool:
        """True if Redis answers a ping."""
        try:
            return bool(self.redis.ping())
        except redis.RedisError:
            return False


_publisher: Bus | None = None


def publish_after_commit(bus: Bus | None) -> None:
    """Let this process's commits publish what they announced through `bus`. The worker publishes for itself instead."""
    global _publisher
    _publisher = bus


def announce(session: Session, topic: str, signal: dict[str, Any]) -> None:
    """Queue a signal until the session's outermost commit; a rollback forgets it."""
    session.info.setdefault("announcements", []).append((topic, signal))


def take_announcements(session: Session) -> list[tuple[str, dict[str, Any]]]:
    """What a committed session announced and nobody published yet (the worker's way)."""
    return session.info.pop("announced", [])


@event.listens_for(Session, "after_commit")
def _publish_announcements(session: Session) -> None:
    root = session.get_transaction()
    if root is not None and root.is_active:
        return  # a savepoint was released; the transaction is still open
    announcements = session.info.pop("announcements", [])
    if _publisher is None:
        session.info.setdefault("announced", []).extend(announcements)
        return
    for topic, signal in announcements:
        _publisher.publish(topic, signal)


@event.listens_for(Session, "after_transaction_end")
def _forget_announcements(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop("announcements", None)
