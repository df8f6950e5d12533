"""Delivers the lines that other workers have stored: when their signals arrive, or from the history after a gap.

Lines of different workers can arrive in an order other than that of their ids. So duplicates are recognised by id, not
by comparing with the highest id so far.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from datetime import timedelta

import gevent
import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db import utc_now
from shared.models.message import Message
from shared.protocol.types import player_key
from shared.services import history
from shared.signals import Line, LinesStored, StoredLine
from worker.chat.delivery import Delivery
from worker.database import Database
from worker.moderation.view import Moderation
from worker.signals import Signals
from worker.sockets.connection import Connection
from worker.sockets.limits import RateLimits
from worker.sockets.registry import Sockets

CATCH_UP_SECONDS = 60.0
REMEMBER_SECONDS = 180.0
MARK_SECONDS = 10.0
PAGE = 100  # lines read and delivered at a time
STALLED_SECONDS = 2.0
MAX_HELD = 5_000  # lines that arrive while catching up

_log = structlog.get_logger(__name__)


class RemoteLines:
    """Delivers lines that were stored by other workers, or by services."""

    def __init__(
        self,
        worker_id: str,
        database: Database,
        signals: Signals,
        sockets: Sockets,
        limits: RateLimits,
        moderation: Moderation,
        delivery: Delivery,
    ) -> None:
        self._worker_id = worker_id
        self._database = database
        self._signals = signals
        self._sockets = sockets
        self._limits = limits
        self._moderation = moderation
        self._delivery = delivery
        self._delivered: dict[int, float] = {}  # ids, each with the monotonic time of its delivery
        self._is_catching_up = False
        self._is_behind = False
        self._held: list[StoredLine] = []
        self._marks: deque[tuple[float, int]] = deque()

    def start(self) -> None:
        """Start following signals. Errors of the database are raised."""
        self.mark(self._database.read(history.last_message_id))
        self._signals.on(LinesStored, self.follow)
        self._signals.on_connected(self._reconnected)

    def mark(self, message_id: int) -> None:
        """Remember the position in the history every MARK_SECONDS, so that catching up can start from there."""
        now = time.monotonic()
        if not self._marks or now - self._marks[-1][0] >= MARK_SECONDS:
            self._marks.append((now, message_id))
        while len(self._marks) > 1 and self._marks[1][0] < now - REMEMBER_SECONDS:
            self._marks.popleft()

    def follow(self, signal: LinesStored) -> None:
        """Count and deliver the lines of a signal. Skips lines that were delivered already."""
        if signal.worker == self._worker_id:
            return
        if signal.has_missed:
            gevent.spawn(self._catch_up)
        for stored in signal.lines:
            line = stored.line
            self._limits.debit_message(line.peer, line.name, line.text)
            self._moderation.note_line(line.peer, player_key(line.name), line.channel_id, line.text)
        if self._is_catching_up:
            self._held += signal.lines
            if len(self._held) > MAX_HELD:  # they will be read from the history
                self._held.clear()
                self._is_behind = True
            return
        self._deliver(signal.lines)

    def _deliver(self, lines: Iterable[StoredLine]) -> None:
        now = time.monotonic()
        for stored in lines:
            if stored.id not in self._delivered:
                self._delivered[stored.id] = now
                self._delivery.deliver(stored)
            self.mark(stored.id)
        self._forget_old(now)

    def _forget_old(self, now: float) -> None:
        while self._delivered:
            oldest = next(iter(self._delivered))
            if now - self._delivered[oldest] < REMEMBER_SECONDS:
                break
            del self._delivered[oldest]

    def _reconnected(self) -> None:
        """Catch up, and tell the other workers to do so. Assumes that signals were lost in both directions."""
        self._signals.publish(LinesStored(self._worker_id, has_missed=True))
        self._catch_up()

    def _catch_up(self) -> None:
        """Deliver missed lines of other workers, to sockets that were subscribed when the lines were sent.

        Lines that arrive meanwhile are held back, so that each sender's lines stay in order.
        """
        self._is_behind = True
        if self._is_catching_up:
            return  # the greenlet that is catching up reads again
        self._is_catching_up = True
        try:
            while self._is_behind:
                self._is_behind = False
                self._deliver_missed()
        except SQLAlchemyError as error:
            _log.error("the history cannot be read, messages of other workers may be missing", error=str(error))
        except Exception:
            _log.exception("catching up failed, messages of other workers may be missing")
        finally:
            self._is_catching_up = False
            held, self._held = self._held, []
            self._deliver(sorted(held, key=lambda stored: stored.id))

    def _deliver_missed(self) -> None:
        after = utc_now() - timedelta(seconds=CATCH_UP_SECONDS)
        last = self._marks[0][1]
        stalled: set[Connection] = set()
        while page := self._database.read(
            lambda session, last=last: history.lines_since(  # type: ignore[misc]
                session, last, after=after, not_from=self._worker_id, limit=PAGE
            )
        ):
            now = time.monotonic()
            for message in page:
                if message.id not in self._delivered:
                    self._delivered[message.id] = now
                    self._delivery.deliver_late(_stored_line(message))
            last = page[-1].id
            self._wait_for_room({message.channel_id for message in page}, stalled)

    def _wait_for_room(self, channel_ids: set[int], stalled: set[Connection]) -> None:
        """Wait until the subscribers have read enough. Those that do not read are added to `stalled` and skipped."""
        for channel_id in channel_ids:
            for connection in self._sockets.listeners(channel_id):
                if connection not in stalled and not connection.wait_for_room(STALLED_SECONDS):
                    stalled.add(connection)


def _stored_line(message: Message) -> StoredLine:
    line = Line(message.channel_id, message.peer, message.game, message.name, message.text, message.sent_at)
    return StoredLine(message.id, line)
