"""What all connections of one worker share: the fan-out, limits, counters, and whether the wire is held."""

from typing import Any, Protocol

from gevent.hub import get_hub

from worker.wire.fanout import Fanout
from worker.wire.memory import Trimmer
from worker.wire.newcomers import Newcomers
from worker.wire.reader import Limits, Reader


class Holdable(Protocol):
    """What the wire needs of a `Transport`."""

    @property
    def is_busy(self) -> bool: ...
    def hold(self) -> None: ...
    def watch_outbox(self, *, is_watched: bool) -> None: ...
    def release(self) -> None: ...


class Wire:
    """What all connections of one worker share.

    While another process takes over (`worker/takeover/`), the wire is held: nothing is read, and no message is
    handled. Writing goes on until the wire is stilled.

    Attributes:
        transports: All connections whose descriptors are open.
        is_held: Whether nothing is read and handled.
        is_still: Whether nothing is written either, and no deadline ends a connection.
        upgraded: Connections that were upgraded while the wire was held, and have no transport.
        queue_drops: How many were closed because too much was queued for them.
        stall_drops: How many were dropped because they accepted nothing for too long.
        newcomers: Those that have not authenticated, and TCP connections that are not upgraded yet.
    """

    def __init__(self, fanout: Fanout, limits: Limits | None = None, newcomers: Newcomers | None = None) -> None:
        self.fanout = fanout
        self.limits = limits or Limits()
        self.newcomers = Newcomers() if newcomers is None else newcomers
        self.loop = get_hub().loop
        self.transports: set[Holdable] = set()
        self.is_held = False
        self.is_still = False
        self.upgraded: list[Any] = []  # `Upgraded` of upgrade.py, which imports this module
        self.queue_drops = 0
        self.stall_drops = 0
        self.trimmer = Trimmer()
        self._readers: list[Reader] = []

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self.transports)

    @property
    def is_idle(self) -> bool:
        """Whether no message is being handled, and each connection that has ended was reported."""
        return not any(transport.is_busy for transport in self.transports)

    def hold(self) -> None:
        """Stop reading and handling. A message that is being handled is handled to its end, without pacing."""
        self.is_held = True
        for transport in self.transports:
            transport.hold()

    def still(self) -> None:
        """Stop writing too."""
        self.is_still = True
        self.fanout.hold()
        for transport in self.transports:
            transport.watch_outbox(is_watched=False)

    def release(self) -> None:
        """Write, read and handle again."""
        self.is_held = self.is_still = False
        for transport in list(self.transports):
            transport.release()
        self.fanout.release()

    def borrow_reader(self, *, is_trusted: bool) -> Reader:
        """Return an unused reader."""
        reader = self._readers.pop() if self._readers else Reader(self.limits)
        reader.set_trusted(is_trusted)
        return reader

    def return_reader(self, reader: Reader) -> None:
        """Keep a reader for another connection. It must be at the boundary of a message."""
        if len(self._readers) < self.limits.idle_readers:
            self._readers.append(reader)
