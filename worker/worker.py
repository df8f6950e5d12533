"""One socket worker: its parts, the sockets it holds, and how it starts and stops."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import gevent
import structlog
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from shared import __version__
from shared.protocol import encode_event
from shared.protocol.core import Restart
from shared.services import peers
from shared.services.authority import changes
from shared.services.authority.changes import Part
from shared.services.peers import Peer
from shared.services.versions import Change
from shared.settings import Settings
from worker import grapevine
from worker.chat.browser_notices import AWAY_SECONDS, BrowserNotices
from worker.chat.browsers import Browsers
from worker.chat.lines import Chat
from worker.database import Announcements, Database
from worker.diagnostics.recorder import Diagnostics
from worker.handlers import channels, moderation, players, tells
from worker.jobs.checks import Checks
from worker.jobs.jobs import Jobs, network_jobs
from worker.moderation.tell_counts import TellCounts
from worker.moderation.view import Moderation
from worker.network import notices
from worker.network.directory import Directory
from worker.network.feed import Feed
from worker.network.notices import Notices
from worker.network.presence import Presence
from worker.network.replicas import Replicas
from worker.network.statuses import Statuses
from worker.signals import Signals
from worker.sockets.connection import Connection
from worker.sockets.failures import Failures
from worker.sockets.heartbeats import Heartbeats
from worker.sockets.limits import RateLimits, SocketLimits
from worker.wire.fanout import ANY_CHANNEL, ChannelTopic, Fanout
from worker.wire.reader import Limits
from worker.wire.server import SocketServer
from worker.wire.transport import Transport, Wire
from worker.wire.upgrade import CHAT_SOCKET_PATH, SOCKET_PATH, Endpoint

CLOSE_RESTARTING = 1012
CLOSE_REVOKED = 4003
DOWNTIME_SECONDS = 15
DOWNTIME_JITTER_SECONDS = 5
CHECK_CREDENTIALS_SECONDS = 30.0
CHECK_AT_ONCE = 500
STOP_SECONDS = 8.0  # in all, flushes and farewells included

_log = structlog.get_logger(__name__)


class Worker:
    """Holds sockets of peers. Everything another process may need to know is in the database or in Redis."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError if the database cannot be used."""
        self.settings = settings
        self.id = str(uuid.uuid4())
        self.started_at = time.time()
        self.connections: set[Connection] = set()
        self.by_peer: dict[str, set[Connection]] = {}
        self._revocations = 0
        self._banned: frozenset[tuple[str, str]] = frozenset()
        self.signals = Signals(settings.redis_url)
        self.database = Database(settings.database_url, self._announced)
        self.directory = Directory()
        self.fanout = Fanout()
        self.feed = Feed(self.database, self.directory, on_changes=self._changed, on_reset=self._reset)
        self.replicas = Replicas(self.database, self.feed, self.fanout)
        self.limits = RateLimits(settings.limits, is_on=settings.rate_limits)
        self.diagnostics = Diagnostics(self.id, self.signals, self.limits)
        self.moderation = Moderation(self.database, self.signals)
        self.chat = Chat(
            self.id,
            self.database,
            self.directory,
            self.fanout,
            self.signals,
            self._listeners,
            limits=self.limits,
            diagnostics=self.diagnostics,
            moderation=self.moderation,
        )
        self.presence = Presence(self.id, self.signals, self._describe, expires_seconds=settings.presence_seconds)
        self.statuses = Statuses(
            self.presence, self.directory, self.database, self.feed, homepage_url=settings.public_url
        )
        self.notices = Notices(
            self.presence,
            self.fanout,
            self.signals,
            self.database,
            self.diagnostics,
            offline_seconds=settings.offline_seconds,
        )
        self.browser_notices = BrowserNotices(
            self.presence, self.fanout, away_seconds=min(settings.offline_seconds, AWAY_SECONDS)
        )
        self.browsers = Browsers(self)
        self.failures = Failures(settings.rate_limits)
        self.tell_counts = TellCounts(self.database)
        self.jobs = Jobs(self.database, network_jobs(settings, self._list_online))
        self.checks = Checks(self.database, allows_private=settings.check_private_addresses)
        self.heartbeats = Heartbeats(
            heartbeat_seconds=settings.heartbeat_seconds, authenticate_seconds=settings.authenticate_seconds
        )
        limits = Limits(
            message_bytes=settings.message_bytes,
            message_fragments=settings.message_fragments,
            outbound_bytes=settings.outbound_bytes,
        )
        self.wire = Wire(self.fanout, limits)
        # Of workers that share a port, the kernel chooses one; here each can be asked for itself.
        self.own_pages = (
            SocketServer(
                settings.bind,
                settings.worker_metrics_port,
                wire=self.wire,
                endpoints={},
                health=self._health,
                metrics=self._metrics,
            )
            if settings.worker_metrics_port
            else None
        )
        self.server = SocketServer(
            settings.bind,
            settings.socket_port,
            wire=self.wire,
            endpoints={
                SOCKET_PATH: Endpoint(self._accept),
                CHAT_SOCKET_PATH: Endpoint(self.browsers.accept, self.browsers.refuse),
            },
            health=self._health,
            metrics=self._metrics,
            reuse_port=True,
            trusts_proxy=settings.is_socket_behind_proxy,
        )

    def start(self) -> None:
        """Read the state, then listen. Raises OSError if the port is in use."""
        self.signals.on("versions", lambda signal: self.feed.wake())
        self.signals.on("network", self._told)
        self.signals.on("checks", lambda signal: self.checks.wake())
        self.signals.on_connected(self.feed.wake)
        self.signals.on_connected(self._check_credentials)
        self.moderation.on_change = self._moderation_changed
        self.moderation.on_acts = lambda acts: moderation.follow_acts(self, acts)
        self.moderation.on_tells = lambda given: tells.deliver_from_system(self, given)
        self.moderation.start()
        self.chat.start()
        self.signals.on(channels.CREATED, lambda signal: channels.hear_created(self, signal))
        self.signals.on(players.PLAYERS, lambda signal: players.hear(self, signal))
        self.signals.on(tells.TELLS, lambda signal: tells.hear(self, signal))
        self.presence.on_change = self._presence_changed
        self.presence.add_resident(grapevine.presence(self.id))
        self.presence.start()
        self.feed.start()
        self.heartbeats.start()
        self.jobs.start()
        self.tell_counts.start()
        self.checks.start()
        self.browsers.start()
        self.browser_notices.start()
        self.signals.start()
        gevent.spawn(self._check_credentials_regularly)
        self.presence.wait_until_ready()
        self.notices.start()
        self.diagnostics.start()
        if self.own_pages is not None:
            self.own_pages.start()
        self.server.start()
        _log.info("listening", port=self.server.port, worker=self.id)

    def stop(self) -> None:
        """Say `restart` to every socket, let out what waits, close them with 1012. Takes ten seconds at most."""
        _log.info("stopping", sockets=len(self.connections))
        with gevent.Timeout(STOP_SECONDS, False):
            self.server.stop_accepting()
            self.announce_restart(DOWNTIME_SECONDS)
            self.chat.flush(timeout=3.0)
            self.presence.say_goodbye()
            for connection in list(self.connections):
                connection.close(CLOSE_RESTARTING, "the worker is restarting")
            while self.connections:
                gevent.sleep(0.02)
            self.browsers.write_read()
            self.tell_counts.write()
            self.signals.flush(timeout=2.0)
        _log.info("stopped", left=len(self.connections))

    def announce_restart(self, downtime_seconds: int) -> None:
        """Send `restart` to every socket, jittered so that not all return at once."""
        for connection in list(self.connections):
            if connection.peer is not None:
                downtime = downtime_seconds + random.randint(0, DOWNTIME_JITTER_SECONDS)
                connection.send(encode_event(Restart.event, Restart(downtime=downtime)))

    def admit(self, connection: Connection, peer: Peer) -> None:
        """A socket has authenticated as this peer: from now on it is online and hears what it may."""
        connection.peer = peer
        self.by_peer.setdefault(peer.key, set()).add(connection)
        self.heartbeats.beat(connection)
        if peer.is_application:
            connection.limits = SocketLimits()  # it has other limits from now on
            self.fanout.join(connection, [ANY_CHANNEL])
            self._join_moderation(connection, peer)
        self.fanout.join(connection, connection.supports & {players.PLAYERS, notices.GAMES})
        self.diagnostics.arrived(connection)
        self.presence.arrive(connection)
        _log.info("online", peer=peer.key, connection=connection.id, version=connection.version)

    @property
    def news_of_peers(self) -> tuple[int, int]:
        """Another value whenever something about any peer may have changed: its record, or its credentials."""
        return self.feed.position, self._revocations

    def hear_channel(self, connection: Connection, channel_id: int) -> None:
        """Let a socket hear a channel. Applications hear all of them already."""
        if not connection.is_application:
            self.fanout.join(connection, [ChannelTopic(channel_id)])

    def forget(self, connection: Connection, code: int | None, reason: str) -> None:
        """A socket is gone."""
        self.connections.discard(connection)
        self.fanout.forget(connection)
        self.replicas.forget(connection)
        if connection.peer is not None:
            sockets = self.by_peer.get(connection.peer.key, set())
            sockets.discard(connection)
            if not sockets:
                self.by_peer.pop(connection.peer.key, None)
            self.presence.leave(connection)
            self.diagnostics.left(connection, code, reason)
            _log.info("offline", peer=connection.peer.key, connection=connection.id, code=code, reason=reason)

    def _accept(self, transport: Transport, address: str) -> Connection:
        connection = Connection(self, transport)
        self.connections.add(connection)
        self.heartbeats.expect(connection)
        return connection

    def _listeners(self, channel_id: int) -> Iterable[Connection]:
        return [
            connection
            for connection in self.connections
            if channel_id in connection.channels or connection.is_application
        ]

    def _announced(self, announcements: Announcements) -> None:
        """A commit of this worker: tell the others, and look at once, in case Redis is away."""
        for topic, signal in announcements:
            self.signals.publish(topic, signal)
            if topic == "versions":
                self.feed.wake()
            elif topic == "messages":
                self.chat.hear(signal)
            elif topic == changes.TOPIC and "revision" in signal:
                self.moderation.hear(signal)

    def _told(self, signal: dict[str, Any]) -> None:
        if "restart" in signal:
            self.announce_restart(int(signal["restart"]))
        if "user" in signal:
            gevent.spawn(self.browsers.check, [int(signal["user"])])
        if "revoked" in signal:
            self._revocations += 1
            gevent.spawn(self._check_credentials, [signal["revoked"]])

    def _changed(self, changes: list[Change]) -> None:
        """The log grew (called by the feed, in order)."""
        for change in changes:
            if change.kind == "channels":
                self.statuses.channels_changed()
                self.browsers.channel_changed(change.record_id)
                if change.record is None:
                    self._forget_channel(change.record_id)
            elif change.kind == "games":
                self.statuses.changed(f"game:{change.record_id}")
                self._update_game(change)
        self.replicas.tell(changes)

    def _reset(self) -> None:
        self.replicas.start_over()

    def _presence_changed(self, peer: str, is_news: bool) -> None:
        if peer == grapevine.KEY:
            self.browser_notices.changed(is_news)
        else:
            self.notices.changed(peer, is_news)
        self.statuses.changed(peer)

    def _moderation_changed(self, parts: frozenset[Part]) -> None:
        """What moderators decided is another now (called by the view, which is that already)."""
        if Part.SANCTIONS in parts:
            self._close_banned()
            self.browsers.sanctions_changed()
            before, self._banned = self._banned, self.moderation.banned_players()
            # People in the browser are sockets of this network: they go from the view, and are told of by its notices.
            players.tell_banned(self, [player for player in self._banned - before if player[0] != grapevine.KEY])
        if Part.APPLICATIONS in parts:
            for connection in list(self.connections):
                if connection.peer is not None and connection.is_application:
                    self._join_moderation(connection, connection.peer)

    def _close_banned(self) -> None:
        """Close the sockets of banned games and addresses."""
        sanctions = self.moderation.sanctions
        keys = [peer for peer in sanctions.peers if peer in self.by_peer]
        sockets = {connection for key in keys for connection in self.by_peer[key]}
        for connection in list(self.connections) if sanctions.has_addresses else sockets:
            ban = self.moderation.find_ban(connection.peer_key, connection.transport.address)
            if ban is not None:
                connection.close(CLOSE_REVOKED, ban.message)

    def _join_moderation(self, connection: Connection, peer: Peer) -> None:
        """Let an application hear what moderators do, if it may."""
        change = self.fanout.join if self.moderation.may_moderate(peer.id) else self.fanout.leave
        change(connection, [moderation.MODERATION])

    def _forget_channel(self, channel_id: int) -> None:
        for connection in self._listeners(channel_id):
            if connection.channels.pop(channel_id, None) is not None:
                self.fanout.leave(connection, [ChannelTopic(channel_id)])
                self.presence.update(connection)

    def _update_game(self, change: Change) -> None:
        connections = self.by_peer.get(f"game:{change.record_id}")
        if not connections:
            return
        record = self.directory.decode_game(change)
        for connection in list(connections):
            if record is None:
                connection.close(CLOSE_REVOKED, "the game was deleted")
            elif connection.peer is not None:
                connection.peer = connection.peer.renamed(record.game, is_displayed=record.display)
                self.presence.update(connection)

    def _check_credentials_regularly(self) -> None:
        while True:
            gevent.sleep(CHECK_CREDENTIALS_SECONDS)
            try:
                self._check_credentials()
            except Exception:
                _log.exception("credentials could not be checked")

    def _check_credentials(self, keys: Sequence[str] | None = None) -> None:
        """Close the sockets whose credentials were made anew or whose peer is gone. Signals only make it quick.

        keys: of the peers to look at; all if None.
        """
        keys = [key for key in (self.by_peer if keys is None else keys) if key in self.by_peer]
        for start in range(0, len(keys), CHECK_AT_ONCE):
            try:
                self._check_some_credentials(keys[start : start + CHECK_AT_ONCE])
            except SQLAlchemyError as error:
                _log.error("credentials could not be checked", error=str(error))

    def _check_some_credentials(self, keys: Sequence[str]) -> None:
        serials = self.database.read(lambda session: peers.list_serials(session, keys))
        for key in keys:
            serial = serials.get(key)
            for connection in list(self.by_peer.get(key, ())):
                if connection.peer is None or serial is None:
                    connection.close(CLOSE_REVOKED, "the credentials were revoked")
                elif connection.peer.credentials_serial < serial:
                    connection.close(CLOSE_REVOKED, "the credentials were made anew")

    def _list_online(self) -> list[tuple[int, list[str]]]:
        """The games with a socket, each with the names of its players."""
        return [
            (int(peer.removeprefix("game:")), self.presence.players_of(peer))
            for peer in self.presence.by_peer
            if peer.startswith("game:")
        ]

    def _describe(self) -> dict[str, Any]:
        return {
            "port": self.server.port,
            "sockets": len(self.connections),
            "cursor": self.feed.position,
            "since": self.started_at,
            "version": __version__,
        }

    def _health(self) -> tuple[bool, dict[str, Any]]:
        try:
            self.database.read(lambda session: session.execute(text("SELECT 1")).all())
            is_database_up = True
        except SQLAlchemyError:
            is_database_up = False
        is_redis_up = self.signals.is_connected
        is_well = is_database_up and is_redis_up
        return is_well, {
            "status": "ok" if is_well else "down",
            "version": __version__,
            "database": "ok" if is_database_up else "down",
            "redis": "ok" if is_redis_up else "down",
        }

    def _metrics(self) -> bytes:
        registry = CollectorRegistry()
        for name, meaning, value in (
            ("sockets", "Sockets open now", len(self.connections)),
            ("peers", "Games and applications with a socket here", len(self.by_peer)),
            ("messages_stored", "Channel messages stored since the start", self.chat.stored),
            ("deliveries", "Broadcast frames handed to sockets since the start", self.fanout.deliveries),
            ("writes", "Pieces they were written in", self.fanout.writes),
            ("flushes", "Batches of the flusher", self.fanout.flushes),
            ("queue_drops", "Sockets closed since the start because too much waited for them", self.wire.queue_drops),
            ("stall_drops", "Sockets closed since the start because they took nothing", self.wire.stall_drops),
            ("cursor", "Position in the log of changes", self.feed.position),
            ("redis_up", "1 while signals come in", int(self.signals.is_connected)),
        ):
            Gauge(f"worker_{name}", meaning, registry=registry).set(value)
        return generate_latest(registry)
