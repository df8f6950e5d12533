"""What is said on channels: stored, then handed on to this worker's sockets and to the other workers.

Storing is a group commit: all lines that wait go into one transaction. A line is acknowledged once it is stored. Other
workers hear of it through Redis; one that missed some (Redis was away) reads them from the history. Two workers' lines
may arrive out of id order, so repeats are known by their ids, never by a greatest one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import gevent
import structlog
from gevent.event import Event
from sqlalchemy.exc import SQLAlchemyError

from shared import grapevine
from shared.db import utc_now
from shared.errors import Unavailable
from shared.models.message import Message
from shared.peer_keys import PeerKey
from shared.protocol import encode_event
from shared.protocol.channels import Broadcast
from shared.protocol.codes import Code, sentence
from shared.protocol.sync import ChannelRecord
from shared.protocol.types import player_key
from shared.services import history
from shared.services.history import Line
from shared.services.moderation import reports
from shared.signals import LinesStored, StoredLine
from worker.answers import Deferred
from worker.database import Database
from worker.diagnostics.recorder import Diagnostics, channel_topic
from worker.moderation.view import Moderation
from worker.network.directory import Directory
from worker.signals import Signals
from worker.sockets.connection import Connection
from worker.sockets.limits import RateLimits
from worker.sockets.registry import Sockets
from worker.wire.fanout import ChannelTopic, Fanout, Frames
from worker.wire.frames import frame_text

BATCH = 500
WAITING_AT_MOST = 20_000
CATCH_UP_SECONDS = 60.0
REMEMBER_SECONDS = 180.0
MARK_SECONDS = 10.0
CATCH_UP_LINES = 100  # read and handed on at a time
CATCH_UP_STALL_SECONDS = 2.0
HELD_AT_MOST = 5_000  # lines heard while catching up

_log = structlog.get_logger(__name__)


class NotStored(Unavailable):
    """The line could not be stored, so nobody hears it."""

    code = Code.INTERNAL


@dataclass(slots=True)
class _Waiting:
    line: Line
    answer: Deferred
    flags: tuple[int, ...] = ()


class Chat:
    """The lines of one worker, coming in and going out."""

    def __init__(
        self,
        worker_id: str,
        database: Database,
        directory: Directory,
        fanout: Fanout,
        signals: Signals,
        sockets: Sockets,
        limits: RateLimits,
        diagnostics: Diagnostics,
        moderation: Moderation,
    ) -> None:
        self._worker_id = worker_id
        self._database = database
        self._directory = directory
        self._fanout = fanout
        self._signals = signals
        self._sockets = sockets
        self._limits = limits
        self._diagnostics = diagnostics
        self._moderation = moderation
        self._waiting: list[_Waiting] = []
        self._come = Event()
        self._is_idle = Event()
        self._is_idle.set()
        self._heard: dict[int, float] = {}
        self._is_catching_up = False
        self._is_behind = False
        self._held: list[StoredLine] = []
        self._marks: deque[tuple[float, int]] = deque()
        self.stored = 0

    def start(self) -> None:
        """Begin to store. Raises what the database raises."""
        self._mark(self._database.read(history.last_message_id))
        self._signals.on(LinesStored, self.follow)
        self._signals.on_connected(self._reconnected)
        gevent.spawn(self._store_all)

    def say(
        self, connection: Connection, channel: ChannelRecord, name: str, text: str, *, flags: tuple[int, ...] = ()
    ) -> Deferred:
        """Store a line and hand it on; the answer comes when it is stored. Raises NotStored if too many wait.

        flags: the filters that want it looked at.
        """
        assert connection.peer is not None
        if len(self._waiting) >= WAITING_AT_MOST:
            raise NotStored("internal error: too many messages wait to be stored, try again")
        waiting = _Waiting(
            Line(channel.id, connection.peer.key, connection.peer.short_name, name, text, utc_now()), Deferred(), flags
        )
        self._moderation.note_line(connection.peer.key, player_key(name), channel.id, text)
        self._waiting.append(waiting)
        self._is_idle.clear()
        self._come.set()
        return waiting.answer

    def flush(self, timeout: float) -> None:
        """Wait until nothing waits to be stored, `timeout` seconds at most."""
        self._is_idle.wait(timeout)

    def _store_all(self) -> None:
        while True:
            self._come.wait()
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not batch:
                self._come.clear()
                self._is_idle.set()
                continue
            try:
                self._store(batch)
            except Exception:
                _log.exception("messages were stored, but could not be handed on")

    def _store(self, batch: list[_Waiting]) -> None:
        lines = [waiting.line for waiting in batch]
        try:
            ids = self._database.write(lambda session: history.store_lines(session, lines, worker=self._worker_id))
        except Exception as error:
            if not isinstance(error, SQLAlchemyError):
                _log.exception("messages could not be stored")
            else:
                _log.error("messages could not be stored", count=len(batch), error=str(error))
            for waiting in batch:
                waiting.answer.fail(NotStored(sentence(Code.INTERNAL)))
            return
        self.stored += len(ids)
        self._mark(ids[-1])
        spoken = [StoredLine(number, line) for number, line in zip(ids, lines, strict=True)]
        for said, waiting in zip(spoken, batch, strict=True):
            frames = self._deliver(said)
            if frames is not None:
                self._diagnostics.broadcast(channel_topic(said.line.channel_id), frames, said.line.peer)
            waiting.answer.resolve()
        self._signals.publish(LinesStored(self._worker_id, spoken))
        flagged = [(said.id, waiting.flags) for said, waiting in zip(spoken, batch, strict=True) if waiting.flags]
        if flagged:
            gevent.spawn(self._flag, flagged)

    def _flag(self, flagged: list[tuple[int, tuple[int, ...]]]) -> None:
        """Put lines that a filter found something in before the moderators. They are said all the same."""
        try:
            self._database.write(
                lambda session: [
                    reports.flag_message(session, message_id=message_id, filter_id=filter_id)
                    for message_id, filters in flagged
                    for filter_id in filters
                ]
            )
        except SQLAlchemyError as error:
            _log.error("flagged messages could not be reported", count=len(flagged), error=str(error))

    def _deliver(self, spoken: StoredLine) -> Frames | None:
        channel = self._directory.channels.get(spoken.line.channel_id)
        if channel is None:
            return None  # it was deleted a moment ago
        frames = _frames(channel.name, spoken)
        line = spoken.line
        deaf = self._moderation.deaf_listeners(line.peer, line.game, line.name)
        self._fanout.broadcast(ChannelTopic(channel.id), frames, except_peer=_not_heard_by(line.peer), except_also=deaf)
        return frames

    def follow(self, signal: LinesStored) -> None:
        """Lines of other workers, or of none: those that a service stored. Hearing one twice does no harm."""
        if signal.worker == self._worker_id:
            return
        if signal.has_missed:
            gevent.spawn(self._catch_up)
        for spoken in signal.lines:
            line = spoken.line
            self._limits.debit_message(line.peer, line.name)
            self._moderation.note_line(line.peer, player_key(line.name), line.channel_id, line.text)
        if self._is_catching_up:
            self._held += signal.lines
            if len(self._held) > HELD_AT_MOST:  # the history has them too
                self._held.clear()
                self._is_behind = True
            return
        self._hear_lines(signal.lines)

    def _hear_lines(self, lines: Iterable[StoredLine]) -> None:
        now = time.monotonic()
        for spoken in lines:
            if spoken.id not in self._heard:
                self._heard[spoken.id] = now
                self._deliver(spoken)
            self._mark(spoken.id)
        self._forget_old(now)

    def _mark(self, message_id: int) -> None:
        """Note now and then how far the history has come, so that catching up need not read it from its beginning."""
        now = time.monotonic()
        if not self._marks or now - self._marks[-1][0] >= MARK_SECONDS:
            self._marks.append((now, message_id))
        while len(self._marks) > 1 and self._marks[1][0] < now - REMEMBER_SECONDS:
            self._marks.popleft()

    def _forget_old(self, now: float) -> None:
        while self._heard:
            oldest = next(iter(self._heard))
            if now - self._heard[oldest] < REMEMBER_SECONDS:
                break
            del self._heard[oldest]

    def _reconnected(self) -> None:
        """Signals of both directions may have been lost."""
        self._signals.publish(LinesStored(self._worker_id, has_missed=True))
        self._catch_up()

    def _catch_up(self) -> None:
        """Hand on what other workers stored and this one never heard of, to those who were subscribed by then.

        What is heard meanwhile waits, so that everyone's lines stay in order.
        """
        self._is_behind = True
        if self._is_catching_up:
            return  # whoever does sees that there is more
        self._is_catching_up = True
        try:
            while self._is_behind:
                self._is_behind = False
                self._hand_on_missed()
        except SQLAlchemyError as error:
            _log.error("the history cannot be read, messages of other workers may be missing", error=str(error))
        except Exception:
            _log.exception("catching up failed, messages of other workers may be missing")
        finally:
            self._is_catching_up = False
            held, self._held = self._held, []
            self._hear_lines(sorted(held, key=lambda spoken: spoken.id))

    def _hand_on_missed(self) -> None:
        after = utc_now() - timedelta(seconds=CATCH_UP_SECONDS)
        last = self._marks[0][1]
        stalled: set[Connection] = set()
        while page := self._database.read(
            lambda session, last=last: history.lines_since(  # type: ignore[misc]
                session, last, after=after, not_from=self._worker_id, limit=CATCH_UP_LINES
            )
        ):
            now = time.monotonic()
            for message in page:
                if message.id not in self._heard:
                    self._heard[message.id] = now
                    self._deliver_late(message)
            last = page[-1].id
            self._wait_for_room({message.channel_id for message in page}, stalled)

    def _wait_for_room(self, channel_ids: set[int], stalled: set[Connection]) -> None:
        """Let the listeners read what was handed on. One that does not is waited for once, and then no more."""
        for channel_id in channel_ids:
            for connection in self._sockets.listeners(channel_id):
                if connection not in stalled and not connection.wait_for_room(CATCH_UP_STALL_SECONDS):
                    stalled.add(connection)

    def _deliver_late(self, message: Message) -> None:
        channel = self._directory.channels.get(message.channel_id)
        if channel is None:
            return
        line = Line(message.channel_id, message.peer, message.game, message.name, message.text, message.sent_at)
        frames = _frames(channel.name, StoredLine(message.id, line))
        sent_at = message.sent_at.timestamp()
        deaf = self._moderation.deaf_listeners(message.peer, message.game, message.name)
        for connection in self._sockets.listeners(channel.id):
            subscribed_at = connection.channels.get(channel.id, connection.opened_at)
            if connection.listener_key == _not_heard_by(message.peer) or connection.listener_key in deaf:
                continue
            if subscribed_at <= sent_at:
                connection.transport.send(frames.framed(connection.variant))


def _not_heard_by(peer: PeerKey) -> str | None:
    """The peer whose sockets do not get what it says: itself. Browsers hear each other, and themselves."""
    return None if peer == grapevine.KEY else peer


def _frames(channel: str, spoken: StoredLine) -> Frames:
    """A broadcast in its two forms: as it always was, and with `id` and `sent_at` (version 2.4.0)."""
    line = spoken.line
    broadcast = Broadcast(channel=channel, message=line.text, game=line.game, name=line.name)

    def make(variant: int) -> bytes:
        payload = broadcast.in_history(spoken.id, line.sent_at) if variant else broadcast
        return frame_text(encode_event(Broadcast.event, payload))

    return Frames(make)
