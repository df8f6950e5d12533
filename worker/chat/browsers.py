"""The browsers that chat at this worker: admits and closes them, and stores what people have read.

`worker/handlers/browsers.py` handles the events.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import gevent
import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.addresses import counted_address
from shared.chat_tokens import LIFETIME_SECONDS, ChatToken
from shared.errors import TooMany
from shared.origins import site_origins
from shared.protocol import encode_event
from shared.protocol.browser import ChannelChanged, ChannelClosed, ChannelState, LineRedacted
from shared.protocol.sync import ChannelRecord
from shared.services import chat_accounts, read_marks, sessions
from shared.services.chat_accounts import ChatAccount
from worker.chat.browser import BrowserConnection
from worker.database import Database, write_or_keep
from worker.moderation.view import Moderation
from worker.network.directory import Directory
from worker.network.presence import Presence
from worker.network.subscriptions import Subscriptions
from worker.signals import Signals
from worker.sockets.connection import Connection
from worker.sockets.heartbeats import Heartbeats
from worker.sockets.registry import Sockets
from worker.wire.fanout import Fanout
from worker.wire.groups import ChannelTopic
from worker.wire.upgrade import Refusal

SOCKETS_OF_USER = 12
SOCKETS_OF_ADDRESS = 60
READERS = 5_000  # visitors who read at this worker
CHECK_SECONDS = 30.0
WRITE_SECONDS = 2.0  # between two writes of read marks
CLOSE_SESSION_ENDED = 4003
TOKEN_KEY = "gossip:chat-token:"
_NO_LIMITS: dict[str, Any] = {"paused": False, "closed": False, "slow_seconds": 0, "reason": ""}

_log = structlog.get_logger(__name__)


class Browsers:
    """This worker's browsers: those of accounts, and those of visitors, who only read.

    Attributes:
        readers: The pages of visitors. They have no identity, are in no list of who is online, and count apart.
    """

    def __init__(
        self,
        sockets: Sockets,
        fanout: Fanout,
        presence: Presence,
        subscriptions: Subscriptions,
        heartbeats: Heartbeats,
        directory: Directory,
        moderation: Moderation,
        database: Database,
        signals: Signals,
        public_url: str,
    ) -> None:
        """Start without browsers.

        Args:
            public_url: The site's URL. Pages of other sites may not connect.
        """
        self._sockets = sockets
        self._fanout = fanout
        self._presence = presence
        self._subscriptions = subscriptions
        self._heartbeats = heartbeats
        self._directory = directory
        self._moderation = moderation
        self._database = database
        self._signals = signals
        self._origins = site_origins(public_url)
        self._by_user: dict[int, set[BrowserConnection]] = {}
        self._by_address: Counter[str] = Counter()
        self.readers: set[BrowserConnection] = set()
        self._limits: dict[int, ChannelState] = {}  # what moderators did, as sent to pages, by channel
        self._read_marks: dict[tuple[int, int], int] = {}  # message ids by account and channel, not written yet

    def export_read_marks(self) -> list[tuple[int, int, int]]:
        """Return the read marks that are not written yet, for another process: account, channel, message."""
        return [(user_id, channel_id, message_id) for (user_id, channel_id), message_id in self._read_marks.items()]

    def restore(self, connection: BrowserConnection) -> None:
        """Register a browser that was connected to another process."""
        self._sockets.add(connection)
        self._by_address[counted_address(connection.transport.address)] += 1
        if connection.chatter is not None:
            self._by_user.setdefault(connection.chatter.id, set()).add(connection)
            self._fanout.join(connection, map(ChannelTopic, connection.channels))

    def start(self) -> None:
        """Start checking accounts and writing read marks."""
        gevent.spawn(self._check_regularly)
        gevent.spawn(self._write_regularly)

    def refuse(self, environ: dict[str, Any], address: str) -> Refusal | None:
        """Refuse a handshake from another site's page, or from an address with too many sockets."""
        if environ.get("HTTP_ORIGIN") not in self._origins:
            return Refusal("403 Forbidden", "Only pages of this site may chat here.")
        if self._by_address[counted_address(address)] >= SOCKETS_OF_ADDRESS:
            return Refusal("429 Too Many Requests", "Too many chat pages are open from your address.")
        return None

    def accept(self, connection: BrowserConnection) -> None:
        """Register a new socket. It is closed unless it authenticates in time."""
        self._sockets.add(connection)
        self._by_address[counted_address(connection.transport.address)] += 1
        self._heartbeats.expect(connection)

    def use_up(self, token: ChatToken) -> bool:
        """Return whether a token is used for the first time, on any worker.

        During a Redis outage this is always true, and only the token's age limits its use.
        """
        try:
            key = TOKEN_KEY + token.number
            return bool(self._signals.redis.set(key, b"", nx=True, ex=2 * LIFETIME_SECONDS))
        except (redis.RedisError, OSError) as error:
            _log.warning("redis is unavailable, a chat token could not be marked as used", error=str(error))
            return True

    def require_room(self, chatter: ChatAccount) -> None:
        """Raise TooMany if an account has too many pages open at this worker."""
        if len(self._by_user.get(chatter.id, ())) >= SOCKETS_OF_USER:
            raise TooMany("you have too many pages open: close some", retry_after_ms=60_000)

    def admit(self, connection: BrowserConnection, chatter: ChatAccount, channels: Collection[ChannelRecord]) -> None:
        """Bring a browser online that has authenticated, and subscribe it to these channels."""
        self._by_user.setdefault(chatter.id, set()).add(connection)
        connection.transport.trust()
        self._set_account(connection, chatter)
        connection.channels = {channel.id: self._sockets.history_position for channel in channels}
        self._fanout.join(connection, [ChannelTopic(channel.id) for channel in channels])
        self._heartbeats.beat(connection)
        self._send_limits(connection)
        self._presence.arrive(connection)
        # The session may have ended while the browser was authenticating, when no signal could reach it yet.
        gevent.spawn(self.check, [chatter.id])

    def watch(self, connection: BrowserConnection, channels: Collection[ChannelRecord]) -> None:
        """Let a visitor's page receive these channels. It can do nothing else.

        It stays among the connections that are dropped first when descriptors run short. Raises TooMany.
        """
        if len(self.readers) >= READERS:
            raise TooMany("too many visitors are reading already", retry_after_ms=60_000)
        self.readers.add(connection)
        connection.is_reader = True
        connection.channels = {channel.id: self._sockets.history_position for channel in channels}
        self._fanout.join(connection, [ChannelTopic(channel.id) for channel in channels])

    def welcome(self, connection: BrowserConnection) -> None:
        """Send a visitor's page the first heartbeat and what applies to its channels. Called after the answer."""
        self._heartbeats.beat(connection)
        self._send_limits(connection)

    def forget(self, connection: Connection, code: int | None, reason: str) -> None:
        """Take a closed browser offline."""
        assert isinstance(connection, BrowserConnection)
        self._sockets.remove(connection)
        self._fanout.forget(connection)
        address = counted_address(connection.transport.address)
        self._by_address[address] -= 1
        if self._by_address[address] <= 0:
            del self._by_address[address]
        self.readers.discard(connection)
        if connection.chatter is not None:
            pages = self._by_user.get(connection.chatter.id, set())
            pages.discard(connection)
            if not pages:
                self._by_user.pop(connection.chatter.id, None)
            self._presence.leave(connection)
            gevent.spawn(self.write_read_marks)  # so that the person's next page shows the right counts

    def check(self, user_ids: Collection[int] | None = None) -> None:
        """Read accounts again. Close the browsers whose sessions have ended, and apply new names and ended bans.

        Args:
            user_ids: The accounts. All accounts with a browser here if None.
        """
        online_ids = [
            user_id for user_id in (self._by_user if user_ids is None else user_ids) if user_id in self._by_user
        ]
        if not online_ids:
            return
        numbers = {connection.session_number for user_id in online_ids for connection in self._by_user[user_id]}
        try:
            accounts, ended = self._database.read(
                lambda session: (
                    chat_accounts.list_chat_accounts(session, online_ids),
                    sessions.list_ended(session, numbers),
                )
            )
        except SQLAlchemyError as error:
            _log.error("accounts that chat could not be checked", error=str(error))
            return
        for user_id in online_ids:
            chatter = accounts.get(user_id)
            for connection in list(self._by_user.get(user_id, ())):
                before = connection.chatter
                has_ended = connection.session_number in ended
                if chatter is None or before is None or chatter.mark != before.mark or has_ended:
                    connection.close(CLOSE_SESSION_ENDED, "the session has ended")
                elif self._set_account(connection, chatter):
                    self._presence.update(connection)

    def sanctions_changed(self) -> None:
        """Take banned accounts offline, and bring those online whose ban has ended."""
        for connections in self._by_user.values():
            for connection in connections:
                if connection.chatter is not None and self._set_account(connection, connection.chatter):
                    self._presence.update(connection)

    def channel_changed(self, channel_id: int) -> None:
        """Send a channel's new name to its subscribers. Unsubscribe them if it was deleted or hidden."""
        channel = self._directory.channels.get(channel_id)
        notice: ChannelChanged | ChannelClosed = ChannelClosed(id=channel_id)
        if channel is not None and not channel.hidden:
            notice = ChannelChanged(id=channel_id, name=channel.name)
        frame = encode_event(notice.event, notice)
        for connection in self._pages_of(channel_id):
            if isinstance(notice, ChannelClosed):
                if connection.is_reader:
                    connection.channels.pop(channel_id, None)
                    self._fanout.leave(connection, [ChannelTopic(channel_id)])
                else:
                    self._subscriptions.leave(connection, channel_id)
            connection.send(frame)

    def line_redacted(self, channel_id: int, message_id: int) -> None:
        """Remove the text of a line from the pages of its channel."""
        notice = LineRedacted(id=message_id)
        frame = encode_event(notice.event, notice)
        for connection in self._pages_of(channel_id):
            connection.send(frame)

    def channel_limits_changed(self) -> None:
        """Send what moderators changed about channels: pauses, slow mode, closing."""
        before = self._limits
        self._limits = {channel_id: self._state_of(channel_id) for channel_id in self._directory.channels}
        for channel_id, state in self._limits.items():
            if state != before.get(channel_id, ChannelState(id=channel_id, **_NO_LIMITS)):
                frame = encode_event(state.event, state)
                for connection in self._pages_of(channel_id):
                    connection.send(frame)

    def note_read(self, user_id: int, channel_id: int, message_id: int) -> None:
        """Note that an account has read a channel up to a line. It is written soon, together with others."""
        key = (user_id, channel_id)
        self._read_marks[key] = max(message_id, self._read_marks.get(key, 0))

    def write_read_marks(self) -> None:
        """Write the read marks since the last time. While the database is unavailable, keep them for the next time."""
        marks, self._read_marks = self._read_marks, {}
        if not marks:
            return

        def write(session: Any) -> None:
            # All workers write in the same order, or two could wait for each other's locks.
            for (user_id, channel_id), message_id in sorted(marks.items()):
                read_marks.mark_read(session, user_id=user_id, channel_id=channel_id, message_id=message_id)

        if write_or_keep(self._database, write, what="read marks"):
            for (user_id, channel_id), message_id in marks.items():
                self.note_read(user_id, channel_id, message_id)

    def _pages_of(self, channel_id: int) -> Iterator[BrowserConnection]:
        """Yield the pages that receive a channel."""
        for connections in [*self._by_user.values(), self.readers]:
            for connection in list(connections):
                if channel_id in connection.channels:
                    yield connection

    def _send_limits(self, connection: BrowserConnection) -> None:
        """Send a new page what moderators did to its channels."""
        for channel_id in connection.channels:
            state = self._state_of(channel_id)
            if state != ChannelState(id=channel_id, **_NO_LIMITS):
                connection.send(encode_event(state.event, state))

    def _state_of(self, channel_id: int) -> ChannelState:
        limits = self._moderation.limits_of(channel_id)
        is_paused = limits.paused_until > 0
        return ChannelState(
            id=channel_id,
            paused=is_paused,
            closed=limits.is_closed,
            slow_seconds=limits.slow_seconds,
            reason=limits.reason,
            seconds_left=limits.seconds_left(time.time()) if is_paused else None,
        )

    def _set_account(self, connection: BrowserConnection, chatter: ChatAccount) -> bool:
        """Set the account of a socket. Return whether this changes what others see of the socket."""
        is_banned = self._moderation.is_banned(connection.speaker(chatter))
        return connection.set_account(chatter, is_hidden=chatter.is_online_hidden or is_banned)

    def _check_regularly(self) -> None:
        while True:
            gevent.sleep(CHECK_SECONDS)
            try:
                self.check()
            except Exception:
                _log.exception("accounts that chat could not be checked")

    def _write_regularly(self) -> None:
        while True:
            gevent.sleep(WRITE_SECONDS)
            try:
                self.write_read_marks()
            except Exception:
                _log.exception("read marks could not be written")
