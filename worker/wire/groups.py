"""Who receives broadcasts: topics, and the groups of sockets with the same topics and variant."""

from collections.abc import Hashable
from typing import NamedTuple, Protocol


class ChannelTopic(NamedTuple):
    """The topic of one channel. Only topics of this type reach subscribers of ANY_CHANNEL."""

    channel: Hashable


class _AnyChannel:
    def __repr__(self) -> str:
        return "ANY_CHANNEL"


ANY_CHANNEL = _AnyChannel()
"""Joining this topic joins every ChannelTopic, including those of future channels."""


class Sender(Protocol):
    """A non-blocking socket."""

    def send(self, data: bytes, /) -> int:
        """Return how many bytes the kernel has accepted. Raises OSError."""


class Output(Protocol):
    """What the fan-out needs of a transport. Only the fan-out sets `group` and `subscriber`.

    Attributes:
        direct: The socket, if nothing else must happen at a write than its send(). None if write() has to decide.
    """

    group: "Group | None"
    subscriber: "Subscriber | None"
    pending_bytes: int

    @property
    def direct(self) -> "Sender | None": ...

    @property
    def is_closing(self) -> bool: ...

    def write(self, data: bytes, sent: int = 0) -> None:
        """Write without blocking, and queue the rest, up to a limit. Never raises.

        Args:
            sent: How many bytes were sent through `direct` already.
        """

    def flushed(self) -> None:
        """Called after the last frame has been passed to write()."""


class Subscriber(Protocol):
    """A connection, which can join topics.

    The fan-out reads `variant` when the connection joins. If it changes later, join again with no topics. The listener
    key does not change after the connection has joined.
    """

    @property
    def transport(self) -> Output: ...
    @property
    def listener_key(self) -> Hashable: ...
    @property
    def variant(self) -> int: ...


class Group:
    """Sockets that receive exactly the same broadcasts, in the same form."""

    __slots__ = ("_outputs", "_listener_keys", "has_any_channel", "members", "topics", "variant")

    def __init__(self, topics: frozenset[Hashable], variant: int) -> None:
        self.topics = topics
        self.variant = variant
        self.has_any_channel = ANY_CHANNEL in topics
        self.members: dict[Subscriber, None] = {}
        self._outputs: list[Output] | None = None
        self._listener_keys: list[Hashable] = []

    def add(self, member: Subscriber) -> None:
        """Add a socket."""
        self.members[member] = None
        self._outputs = None

    def remove(self, member: Subscriber) -> None:
        """Remove a socket."""
        del self.members[member]
        self._outputs = None

    def listeners(self) -> tuple[list[Output], list[Hashable]]:
        """Return the members' transports, and the key of each by which broadcasts exclude it. Do not change the lists.

        They are kept until the group changes: reading two attributes of each of 1,000 members takes 50 µs.
        """
        if self._outputs is None:
            self._outputs = [member.transport for member in self.members]
            self._listener_keys = [member.listener_key for member in self.members]
        return self._outputs, self._listener_keys

    def receives(self, topic: Hashable) -> bool:
        """Return whether broadcasts to a topic reach this group."""
        return topic in self.topics or (self.has_any_channel and type(topic) is ChannelTopic)
