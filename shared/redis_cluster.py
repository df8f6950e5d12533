"""A Redis or Valkey Cluster: `REDIS_URL=redis+cluster://host:port`, with the address of any of its nodes.

Keys and topics are spread over the shards by name. A signal goes only to the shard of its topic and to that shard's
subscribers (`SPUBLISH`, `SSUBSCRIBE`), so traffic grows with the number of shards, while a plain `PUBLISH` would be
passed on to every node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.client import PubSub
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException

from shared.redis_urls import node_url
from shared.signals import TOPIC_PREFIX

TOGETHER = {"players": "presence", "tells": "presence"}
"""Topics that share another's shard, since receivers rely on the order of signals on both."""


def shard_topic(topic: str) -> str:
    """Return the name of a topic on the cluster. The part in braces chooses the shard."""
    return f"{TOPIC_PREFIX}{{{TOGETHER.get(topic, topic)}}}:{topic}"


class Cluster(RedisCluster):
    """The client. Every failure is a redis.RedisError, as with a single server."""

    @classmethod
    def open(cls, url: str, **options: Any) -> Cluster:
        """Connect to the cluster that the node of this address belongs to.

        Raises:
            redis.ConnectionError: No node answers.
        """
        with _as_connection_error():
            return cls(url=node_url(url), **options)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command on the node that its key belongs to."""
        with _as_connection_error():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def mget(self, keys: Any, *args: Any) -> Any:
        """Return the values of keys, which may be in different shards."""
        with _as_connection_error():
            return self.mget_nonatomic(keys, *args)

    def ping(self, **options: Any) -> Any:
        """Return whether all shards answer."""
        return super().ping(**{"target_nodes": RedisCluster.PRIMARIES, **options})

    def run(self, commands: Iterable[tuple[Any, ...]]) -> list[Exception]:
        """Send commands, those for each shard together. Return the errors of single commands, and ignore other answers.

        Raises:
            redis.RedisError: A shard did not receive its commands.
        """
        with _as_connection_error():
            pipeline = self.pipeline(transaction=False)  # type: ignore[no-untyped-call]
            for command in commands:
                pipeline.execute_command(*command)
            answers = pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, redis.ConnectionError | redis.TimeoutError | RedisClusterException):
                    raise redis.ConnectionError(str(answer))
            return [answer for answer in answers if isinstance(answer, Exception)]

    def subscribe(self, topics: Iterable[str]) -> list[PubSub]:
        """Subscribe to topics: one subscription for each shard that has some of them.

        The server ends a subscription with `sunsubscribe` when the topic moves to another shard.

        Raises:
            redis.RedisError: A shard does not answer.
        """
        pubsubs: list[PubSub] = []
        with _as_connection_error():
            self.nodes_manager.initialize()  # topics may have moved
            by_node = defaultdict(list)
            for topic in sorted(topics):
                name = shard_topic(topic)
                by_node[self.get_node_from_key(name)].append(name)  # type: ignore[no-untyped-call]
            try:
                for node, names in by_node.items():
                    pubsub = self.get_redis_connection(node).pubsub()  # type: ignore[no-untyped-call]
                    pubsubs.append(pubsub)
                    for name in names:  # one command may name topics of one slot only
                        pubsub.ssubscribe(name)
            except BaseException:
                for pubsub in pubsubs:
                    pubsub.close()
                raise
        return pubsubs


@contextmanager
def _as_connection_error() -> Iterator[None]:
    """Turn errors of the cluster client, which are not redis.RedisError, into redis.ConnectionError."""
    try:
        yield
    except RedisClusterException as error:
        raise redis.ConnectionError(str(error)) from error
