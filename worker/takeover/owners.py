"""The parts of a worker that own state which passes over, and what they export and restore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.chat.browser import BrowserConnection
from worker.chat.browser_notices import BrowserNotices
from worker.chat.catch_up import RemoteLines
from worker.jobs.checks import Checks
from worker.jobs.jobs import Jobs
from worker.jobs.links import Links
from worker.moderation.bans import Bans
from worker.network.notices import Notices
from worker.parts import Parts
from worker.signals import Mark
from worker.sockets.connection import Callbacks, Connection
from worker.sockets.heartbeats import Heartbeats
from worker.sockets.registry import Sockets as OpenSockets
from worker.takeover.link import MAX_DESCRIPTORS
from worker.takeover.messages import BrowserState, Sockets, SocketState, WorkerState
from worker.wire.server import SocketServer
from worker.wire.transport import Transport
from worker.wire.wire import Wire

BATCH_BYTES = 4 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """The parts of one worker that own state.

    Attributes:
        servers: By name; the names pass over.
    """

    parts: Parts
    wire: Wire
    servers: Mapping[str, SocketServer]
    sockets: OpenSockets
    heartbeats: Heartbeats
    remote_lines: RemoteLines
    notices: Notices
    browser_notices: BrowserNotices
    bans: Bans
    jobs: Jobs
    checks: Checks
    links: Links
    peer_callbacks: Callbacks
    browser_callbacks: Callbacks

    def list_movable(self) -> list[Connection]:
        """Return the connections that are not closing."""
        return [connection for connection in self.sockets.all if connection.transport.is_movable]

    def export_sockets(self, connections: Sequence[Connection]) -> Iterator[tuple[Sockets, list[int]]]:
        """Yield the sockets in batches, each with its descriptors."""
        batch: list[SocketState] = []
        descriptors: list[int] = []
        size = 0
        for connection in connections:
            state = self._export_socket(connection)
            batch.append(state)
            descriptors.append(connection.transport.fd)
            size += len(state.transport.outbox)
            if len(batch) == MAX_DESCRIPTORS or size > BATCH_BYTES:
                yield Sockets(batch), descriptors
                batch, descriptors, size = [], [], 0
        if batch:
            yield Sockets(batch), descriptors

    def export_state(self, mark: Mark | None) -> WorkerState:
        """Return everything but the sockets. mark: up to where the signals from Redis were handled."""
        parts = self.parts
        presence = parts.presence.export_state()  # before the queue, to which it adds what is not published
        return WorkerState(
            mark=mark,
            feed_position=parts.feed.position,
            queue=[list(command) for command in parts.signals.export_queue()],
            presence=presence,
            notices=self.notices.export_state(),
            browser_notices=self.browser_notices.export_state(),
            banned_players=list(self.bans.banned_players),
            moderation=parts.moderation.export_state(),
            remote_lines=self.remote_lines.export_state(),
            heartbeats=self.heartbeats.export_state(),
            limits=parts.limits.export_state(),
            failures=parts.failures.export_state(),
            diagnostics=parts.diagnostics.export_state(),
            replicas=parts.replicas.export_state(),
            read_marks=parts.browsers.export_read_marks(),
            tells=parts.tell_counts.export_state(),
            clients=parts.client_notes.export_state(),
            job=self.jobs.claimed,
            checks=self.checks.export_state(),
        )

    def restore(self, sockets: Sequence[tuple[SocketState, int]], state: WorkerState) -> None:
        """Take over sockets, each with its descriptor. The wire must be held: nothing is read or written here.

        Raises SQLAlchemyError: The log of changes could not be read up to the old process's position.
        """
        parts = self.parts
        parts.limits.restore(state.limits)
        parts.failures.restore(state.failures)
        parts.moderation.restore(state.moderation)
        self.bans.restore(state.banned_players)
        connections = {connection.id: connection for connection in (self._restore_socket(*pair) for pair in sockets)}
        authenticated = [connection for connection in connections.values() if connection.peer is not None]
        parts.presence.restore(state.presence, authenticated)
        parts.diagnostics.restore(
            state.diagnostics, [each for each in authenticated if not isinstance(each, BrowserConnection)]
        )
        self.heartbeats.restore(state.heartbeats, connections)
        for user_id, channel_id, message_id in state.read_marks:
            parts.browsers.note_read(user_id, channel_id, message_id)
        parts.tell_counts.restore(state.tells)
        parts.client_notes.restore(state.clients)
        parts.signals.restore_queue([tuple(command) for command in state.queue])
        parts.feed.resume_at(state.feed_position)
        parts.replicas.restore(state.replicas, connections)

    def _export_socket(self, connection: Connection) -> SocketState:
        browser = None
        if isinstance(connection, BrowserConnection):
            browser = BrowserState(connection.chatter, connection.session_number)
        return SocketState(
            connection.transport.export_state(),
            connection.export_state(),
            self.parts.limits.export_socket(connection),
            browser,
        )

    def _restore_socket(self, state: SocketState, descriptor: int) -> Connection:
        transport = Transport(self.wire, descriptor, state.transport.address, state.transport.request_id)
        connection: Connection
        if state.browser is None:
            connection = Connection(self.peer_callbacks, transport)
            connection.restore(state.connection)
            self.parts.peers.restore(connection)
        else:
            connection = browser = BrowserConnection(self.browser_callbacks, transport)
            browser.chatter, browser.session_number = state.browser.chatter, state.browser.session_number
            browser.restore(state.connection)
            self.parts.browsers.restore(browser)
        self.parts.limits.restore_socket(connection, state.limits)
        if not state.transport.is_trusted:
            self.wire.newcomers.add(transport, transport.address, transport.abort)
        transport.restore(connection, state.transport)
        return connection
