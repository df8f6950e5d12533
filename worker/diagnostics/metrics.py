"""The counters of this worker, in the text format of Prometheus, for `/metrics`."""

from __future__ import annotations

import resource

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from worker.chat.browsers import Browsers
from worker.chat.lines import Chat
from worker.network.feed import Feed
from worker.signals import Signals
from worker.sockets.registry import Sockets
from worker.wire.wire import Wire


class Metrics:
    """Reads the counters of the worker's parts at each request."""

    def __init__(
        self, sockets: Sockets, browsers: Browsers, chat: Chat, wire: Wire, feed: Feed, signals: Signals
    ) -> None:
        self._sockets = sockets
        self._browsers = browsers
        self._chat = chat
        self._wire = wire
        self._feed = feed
        self._signals = signals

    def render(self) -> bytes:
        """Return all metrics."""
        registry = CollectorRegistry()
        wire, fanout = self._wire, self._wire.fanout
        max_descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        for name, meaning, value in (
            ("sockets", "Sockets open now", len(self._sockets.all)),
            ("peers", "Games and applications with a socket here", len(self._sockets.by_peer)),
            ("readers", "Pages of visitors who read without an account", len(self._browsers.readers)),
            ("messages_stored", "Channel messages stored since the start", self._chat.stored),
            ("deliveries", "Broadcast frames handed to sockets since the start", fanout.deliveries),
            ("writes", "Writes to sockets for these frames since the start", fanout.writes),
            ("flushes", "Batches of broadcasts since the start", fanout.flushes),
            ("queue_drops", "Sockets closed since the start because their outbound queue was full", wire.queue_drops),
            ("stall_drops", "Sockets closed since the start because they read nothing", wire.stall_drops),
            ("cursor", "Position in the log of changes", self._feed.position),
            ("max_descriptors", "File descriptors that the worker may have", max_descriptors),
            ("redis_up", "1 while connected to Redis", int(self._signals.is_connected)),
        ):
            Gauge(f"worker_{name}", meaning, registry=registry).set(value)
        return generate_latest(registry)
