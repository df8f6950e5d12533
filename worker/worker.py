"""One socket worker: builds its parts, starts and stops. What connects them is in `worker/reactions.py`."""

from __future__ import annotations

import socket
import time
import uuid
from typing import Any

import gevent
import structlog

from shared import __version__, takeover
from shared.limits import PLAYER_BYTES, PlayerLimit
from shared.settings import Settings
from shared.signals import ChannelsCreated, PlayersWarned, TellAccepted
from shared.statements import observe
from worker import system_player
from worker.chat.browser import BrowserConnection
from worker.chat.browser_notices import AWAY_SECONDS, BrowserNotices
from worker.chat.browsers import Browsers
from worker.chat.catch_up import RemoteLines
from worker.chat.delivery import Delivery
from worker.chat.lines import Chat
from worker.database import Database
from worker.diagnostics.health import Health
from worker.diagnostics.metrics import Metrics
from worker.diagnostics.recorder import Diagnostics
from worker.dispatch import Dispatcher
from worker.handlers import channels, moderation, tells
from worker.jobs.checks import Checks
from worker.jobs.jobs import Jobs, network_jobs
from worker.jobs.links import Links
from worker.moderation.bans import Bans
from worker.moderation.tell_counts import TellCounts
from worker.moderation.view import Moderation
from worker.network.directory import Directory
from worker.network.feed import Feed
from worker.network.notices import Notices
from worker.network.peers import Peers
from worker.network.player_notices import PlayerNotices
from worker.network.presence import Presence
from worker.network.replicas import Replicas
from worker.network.statuses import Statuses
from worker.network.subscriptions import Subscriptions
from worker.parts import Parts
from worker.reactions import Reactions
from worker.routes import BROWSER_ROUTES, ROUTES
from worker.signals import Signals
from worker.sockets.authenticator import Authenticator
from worker.sockets.client_notes import ClientNotes
from worker.sockets.connection import Callbacks, Connection
from worker.sockets.credentials import CredentialsWatch
from worker.sockets.failures import Failures
from worker.sockets.heartbeats import Heartbeats
from worker.sockets.limits import RateLimits
from worker.sockets.registry import Sockets
from worker.takeover.messages import Late, WorkerState
from worker.takeover.owners import Owners
from worker.takeover.predecessor import Predecessor
from worker.takeover.successor import Successor
from worker.wire.fanout import Fanout
from worker.wire.newcomers import Newcomers
from worker.wire.reader import Limits
from worker.wire.server import SocketServer
from worker.wire.transport import Transport
from worker.wire.upgrade import CHAT_SOCKET_PATH, SOCKET_PATH, Endpoint, Upgraded, start_upgraded
from worker.wire.wire import Wire

CLOSE_RESTARTING = 1012
DOWNTIME_SECONDS = 15
REDIS_SECONDS = 2.0
SOCKET, METRICS = "socket", "metrics"  # the names of the servers
STOP_SECONDS = 8.0  # for everything, flushes and close handshakes included

_log = structlog.get_logger(__name__)


class Worker:
    """Holds sockets. Whatever another process may need to know is in the database or in Redis."""

    def __init__(self, settings: Settings, worker_id: str | None = None) -> None:
        """Build the parts. Raises SettingsError if the database cannot be used.

        Args:
            worker_id: That of the process to take over from; None for a new worker.
        """
        self.id = worker_id = worker_id or str(uuid.uuid4())
        self._started_at = time.time()
        self.sockets = sockets = Sockets()
        signals = Signals(settings.redis_url, worker_id)
        database = Database(settings.database_url, prepare=lambda engine: observe(engine, settings))
        fanout = Fanout()
        directory = Directory()
        feed = Feed(database, directory)
        replicas = Replicas(database, feed, fanout)
        presence = Presence(
            worker_id,
            signals,
            self._describe,
            expires_seconds=settings.presence_seconds,
            player_limit=PlayerLimit(settings.game_players, min(PLAYER_BYTES, settings.outbound_bytes // 4)),
        )
        limits = RateLimits(settings.limits, is_on=settings.rate_limits)
        diagnostics = Diagnostics(worker_id, signals, limits, sockets)
        view = Moderation(database, signals)
        subscriptions = Subscriptions(sockets, fanout, presence)
        player_notices = PlayerNotices(worker_id, sockets, presence, fanout, signals, diagnostics, limits)
        credentials = CredentialsWatch(database, sockets)
        self._heartbeats = heartbeats = Heartbeats(
            heartbeat_seconds=settings.heartbeat_seconds, authenticate_seconds=settings.authenticate_seconds
        )
        delivery = Delivery(directory, fanout, view, sockets)
        self._remote_lines = RemoteLines(worker_id, database, signals, sockets, limits, view, delivery)
        self._notices = Notices(
            presence, fanout, signals, database, diagnostics, offline_seconds=settings.offline_seconds
        )
        self._browser_notices = BrowserNotices(
            presence, fanout, away_seconds=min(settings.offline_seconds, AWAY_SECONDS)
        )
        self._jobs = Jobs(database, network_jobs(settings, presence.list_games))
        self._checks = Checks(
            database, allows_private=settings.check_private_addresses, is_limited=settings.rate_limits
        )
        self._links = Links(database, self._checks.prober, settings.public_url)
        self.parts = Parts(
            settings=settings,
            worker_id=worker_id,
            signals=signals,
            database=database,
            fanout=fanout,
            feed=feed,
            directory=directory,
            presence=presence,
            statuses=Statuses(presence, directory, database, feed, homepage_url=settings.public_url),
            replicas=replicas,
            peers=Peers(
                sockets,
                fanout,
                presence,
                directory,
                replicas,
                heartbeats,
                view,
                diagnostics,
                sockets_per_peer=settings.game_sockets,
            ),
            browsers=Browsers(
                sockets,
                fanout,
                presence,
                subscriptions,
                heartbeats,
                directory,
                view,
                database,
                signals,
                settings.public_url,
            ),
            subscriptions=subscriptions,
            player_notices=player_notices,
            credentials=credentials,
            authenticator=Authenticator(database),
            client_notes=ClientNotes(database),
            chat=Chat(worker_id, database, signals, delivery, self._remote_lines, diagnostics, view),
            moderation=view,
            tell_counts=TellCounts(database),
            limits=limits,
            failures=Failures(settings.rate_limits),
            diagnostics=diagnostics,
        )
        bans = Bans(sockets, view, player_notices)
        self._reactions = Reactions(
            self.parts,
            bans=bans,
            notices=self._notices,
            browser_notices=self._browser_notices,
            checks=self._checks,
            remote_lines=self._remote_lines,
        )
        peers, browsers = Dispatcher(self.parts, ROUTES), Dispatcher(self.parts, BROWSER_ROUTES)
        self.peer_callbacks = Callbacks(peers.answer, peers.admit_control_frame, self.parts.peers.forget)
        self.browser_callbacks = Callbacks(browsers.answer, browsers.admit_control_frame, self.parts.browsers.forget)
        self._wire = self._build_wire(settings)
        self._servers = self._build_servers(settings)
        self._server = self._servers[SOCKET]
        self._owners = Owners(
            parts=self.parts,
            wire=self._wire,
            servers=self._servers,
            sockets=sockets,
            heartbeats=heartbeats,
            remote_lines=self._remote_lines,
            notices=self._notices,
            browser_notices=self._browser_notices,
            bans=bans,
            jobs=self._jobs,
            checks=self._checks,
            links=self._links,
            peer_callbacks=self.peer_callbacks,
            browser_callbacks=self.browser_callbacks,
        )
        self.predecessor = Predecessor(self._owners, worker_id, takeover.socket_path(settings.instance_path, worker_id))

    def start(self) -> None:
        """Read the state, then listen. Raises OSError if the port is in use."""
        parts = self.parts
        self._connect()
        parts.moderation.start()
        self._remote_lines.start()
        parts.feed.start()
        self._start_parts()
        parts.signals.start()
        parts.presence.wait_until_ready()
        self._notices.start()
        self._browser_notices.start()
        self._jobs.start()
        self._checks.start()
        self._links.start()
        for server in self._servers.values():
            server.start()
        self.predecessor.start()
        _log.info("listening", port=self._server.port, worker=self.id)

    def take_over(self, successor: Successor) -> None:
        """Take over from the old process, and start.

        Raises:
            TakeoverFailed, SQLAlchemyError: The old process goes on, and nothing has changed.
        """
        parts = self.parts
        self._connect()
        parts.moderation.load()
        parts.feed.load()
        parts.signals.start(is_held=True)
        parts.signals.wait_until_connected(REDIS_SECONDS)
        self._wire.hold()
        self._wire.still()
        parts.replicas.may_send.clear()
        listeners, sockets, state = successor.receive()
        self._owners.restore(sockets, state)
        if state.mark is not None:
            parts.signals.wait_for_mark(state.mark, REDIS_SECONDS)
        successor.commit()
        # The sockets belong to this process now.
        self._resume(state, listeners)
        gevent.spawn(successor.follow, self._start_late)
        self.predecessor.start()
        _log.info("listening", port=self._server.port, worker=self.id, taken_over=len(sockets))

    def _connect(self) -> None:
        """Connect the parts and the handlers to each other and to the signals."""
        parts = self.parts
        self._reactions.connect()
        parts.signals.on(ChannelsCreated, lambda signal: channels.follow_created(parts, signal))
        parts.signals.on(TellAccepted, lambda signal: tells.follow(parts, signal))
        parts.signals.on(PlayersWarned, lambda signal: tells.deliver_from_system(parts, signal.tells))
        parts.moderation.on_acts = lambda acts: moderation.follow_acts(parts, acts)
        parts.presence.add_resident(system_player.presence(self.id))

    def _start_parts(self) -> None:
        """Start what does not depend on whether this process takes over from another."""
        parts = self.parts
        parts.chat.start()
        parts.presence.start()
        self._heartbeats.start()
        parts.tell_counts.start()
        parts.browsers.start()
        parts.credentials.start()
        parts.client_notes.start()
        parts.diagnostics.start()

    def _resume(self, state: WorkerState, listeners: dict[str, socket.socket]) -> None:
        """Go on where the old process has stopped: first with what came last, then with new connections."""
        parts = self.parts
        parts.moderation.follow_changes()
        self._remote_lines.start(state.remote_lines)
        self._notices.start(state.notices)
        self._browser_notices.start(state.browser_notices)
        self._start_parts()
        self._wire.release()
        parts.replicas.may_send.set()
        parts.signals.release_outgoing()
        parts.signals.release_incoming_after(state.mark)
        parts.feed.follow()
        self._jobs.start(state.job)
        self._checks.start(state.checks)
        self._links.start()
        for name, server in self._servers.items():
            try:
                server.start(listeners.get(name))
            except OSError as error:
                _log.error("cannot listen", server=name, error=str(error))
        # What may have been revoked without a signal that reached the old process or this one.
        gevent.spawn(parts.credentials.check)
        gevent.spawn(parts.browsers.check)

    def _start_late(self, late: Late, descriptor: int) -> None:
        endpoint = self._server.find_endpoint(late.path)
        if endpoint is None:
            socket.close(descriptor)
        else:
            start_upgraded(self._wire, Upgraded(endpoint, descriptor, late.address, late.early, late.request_id))

    def stop(self) -> None:
        """Send `restart` to every socket, flush, and close all with 1012. Takes ten seconds at most.

        If another process has taken over the sockets, there is nothing to do.
        """
        if self.predecessor.stop():
            return
        parts, sockets = self.parts, self.sockets.all
        _log.info("stopping", sockets=len(sockets))
        with gevent.Timeout(STOP_SECONDS, False):  # type: ignore[arg-type]
            self._server.stop_accepting()
            parts.peers.announce_restart(DOWNTIME_SECONDS)
            parts.chat.flush(timeout=3.0)
            parts.presence.say_goodbye()
            for connection in list(sockets):
                connection.close(CLOSE_RESTARTING, "the worker is restarting")
            while sockets:
                gevent.sleep(0.02)
            parts.browsers.write_read_marks()
            parts.tell_counts.write()
            parts.client_notes.write()
            parts.signals.flush(timeout=2.0)
        _log.info("stopped", left=len(sockets))

    def _build_wire(self, settings: Settings) -> Wire:
        limits = Limits(
            message_bytes=settings.message_bytes,
            message_fragments=settings.message_fragments,
            outbound_bytes=settings.outbound_bytes,
        )
        newcomers = Newcomers(per_address=settings.address_sockets, proxies=settings.socket_proxies)
        return Wire(self.parts.fanout, limits, newcomers)

    def _build_servers(self, settings: Settings) -> dict[str, SocketServer]:
        """Return what listens: the socket server, last; before it the metrics of this worker alone, if set.

        Of workers that share a port, the kernel chooses the one that answers; on its own port each can be asked.
        """
        parts, wire = self.parts, self._wire
        health = Health(parts.database, parts.signals).report
        metrics = Metrics(self.sockets, parts.browsers, parts.chat, wire, parts.feed, parts.signals).render
        server = SocketServer(
            settings.bind,
            settings.socket_port,
            wire=wire,
            endpoints={
                SOCKET_PATH: Endpoint(self._accept_peer),
                CHAT_SOCKET_PATH: Endpoint(self._accept_browser, parts.browsers.refuse),
            },
            health=health,
            metrics=metrics,
            reuse_port=True,
            proxies=settings.socket_proxies,
        )
        port = settings.worker_metrics_port
        if not port:
            return {SOCKET: server}
        own = SocketServer(settings.bind, port, wire=wire, endpoints={}, health=health, metrics=metrics)
        return {METRICS: own, SOCKET: server}

    def _accept_peer(self, transport: Transport) -> Connection:
        connection = Connection(self.peer_callbacks, transport)
        self.parts.peers.accept(connection)
        return connection

    def _accept_browser(self, transport: Transport) -> BrowserConnection:
        connection = BrowserConnection(self.browser_callbacks, transport)
        self.parts.browsers.accept(connection)
        return connection

    def _describe(self) -> dict[str, Any]:
        """Return facts about this worker for `flask network status`."""
        return {
            "port": self._server.port,
            "sockets": len(self.sockets.all),
            "cursor": self.parts.feed.position,
            "since": self._started_at,
            "version": __version__,
        }
