"""Delivers the lines that other workers have stored: when their signals arrive, or from the history after a gap.

The history is also checked every few seconds. So a line reaches every subscribed socket within a minute, even if the
worker that stored it died before it published the line (docs/protocol.md, §4). It is also read before
a socket's first line, so that a game that has moved to this worker does not overtake its own earlier lines.

Lines of different workers can arrive in an order other than that of their ids. So duplicates are recognised by id, not
by comparing with the highest id so far.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import gevent
import msgspec
import structlog
from gevent.event import Event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared import grapevine
from shared.db import describe_error
from shared.models.message import Message
from shared.peer_keys import PeerKey
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

CHECK_SECONDS = 10.0
PAGE = 100  # lines read and delivered at a time
STALLED_SECONDS = 2.0
MAX_HELD = 5_000  # lines that arrive while catching up
RETRY_SECONDS = 0.5
HOLD_SECONDS = 10.0  # how long lines are held back if only this worker has lost the database

_log = structlog.get_logger(__name__)


Sender = tuple[PeerKey, str]
"""Whose lines are in order: a game, with an empty name, or one of the people in browsers."""


def sender_of(peer: PeerKey, name: str) -> Sender:
    """Return the sender of a line."""
    return peer, player_key(name) if peer == grapevine.KEY else ""


class RemoteLinesState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which lines of the other workers have been delivered: see the attributes of `RemoteLines`."""

    settled: int = 0
    delivered: list[int] = []
    position: int = 0
    is_behind: bool = False


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
        self._settled = 0  # up to this id, every line of the other workers has been delivered
        self._delivered: set[int] = set()  # the greater ids of lines that have been delivered
        self._caught_up = Event()
        self._caught_up.set()
        self._is_behind = False
        self._held: list[StoredLine] = []
        signals.on(LinesStored, self.follow)
        signals.on_connected(self._reconnected)

    @property
    def is_idle(self) -> bool:
        """Whether no missed lines are being delivered."""
        return bool(self._caught_up.is_set())

    def export_state(self) -> RemoteLinesState:
        """Return what was delivered, for another process. It delivers what is held back from the history."""
        return RemoteLinesState(
            self._settled, sorted(self._delivered), self._sockets.history_position, not self.is_idle
        )

    def start(self, state: RemoteLinesState | None = None) -> None:
        """Start checking the history. Errors of the database are raised.

        Args:
            state: What another process has delivered to the same sockets.
        """
        if state is None:
            self._settled = self._database.read(history.last_message_id)
            self.note(self._settled)
        else:
            self._settled, self._delivered = state.settled, set(state.delivered)
            self.note(state.position)
            if state.is_behind:
                gevent.spawn(self._catch_up)
        gevent.spawn(self._check_regularly)

    def note(self, message_id: int) -> None:
        """Note that the history reaches up to this id, so that later subscriptions do not get late lines up to it."""
        self._sockets.history_position = max(self._sockets.history_position, message_id)

    def worker_lost(self) -> None:
        """Catch up soon, since a worker that died may have stored lines without publishing them. Does not wait."""
        self._catch_up_soon()

    def follow(self, signal: LinesStored) -> None:
        """Count and deliver the lines of a signal. Skips lines that were delivered already."""
        if signal.worker == self._worker_id:
            return
        if signal.has_missed:
            self._catch_up_soon()
        for stored in signal.lines:
            line = stored.line
            self._limits.debit_message(line.peer, line.name, line.text)
            self._moderation.note_line(line.peer, player_key(line.name), line.channel_id, line.text)
        if not self.is_idle:
            self._held += signal.lines
            if len(self._held) > MAX_HELD:  # they will be read from the history
                self._held.clear()
                self._is_behind = True
            return
        self._deliver(signal.lines)

    def deliver_earlier(self, senders: Iterable[Sender], first_id: int) -> None:
        """Deliver what these senders sent through other workers before `first_id`, everywhere in the network.

        Waits for HOLD_SECONDS at most.
        """
        wanted = set(senders)
        try:
            earlier = self._database.read(
                lambda session: history.list_senders(
                    session, self._settled, first_id, not_from=self._worker_id, peers={peer for peer, _ in wanted}
                )
            )
        except SQLAlchemyError as error:
            _log.error("the history cannot be read, lines may be out of order", error=describe_error(error))
            return
        if any(number not in self._delivered and sender_of(peer, name) in wanted for number, peer, name in earlier):
            self._signals.publish_first(LinesStored(self._worker_id, has_missed=True))
            self._catch_up()
            self._caught_up.wait(HOLD_SECONDS)

    def _deliver(self, lines: Iterable[StoredLine]) -> None:
        for stored in lines:
            if stored.id > self._settled and stored.id not in self._delivered:
                self._delivered.add(stored.id)
                self._delivery.deliver(stored)
            self.note(stored.id)

    def _check_regularly(self) -> None:
        """Deliver lines whose signals were lost without a trace, because their worker died before it published them.

        Each check covers the history up to where it ended at the one before. The signals of those lines have had
        CHECK_SECONDS to arrive.
        """
        checked = self._settled
        while True:
            gevent.sleep(CHECK_SECONDS)
            try:
                newest = self._database.read(history.last_message_id)
                self.note(newest)
            except SQLAlchemyError as error:
                _log.error("the history cannot be read", error=describe_error(error))
                continue
            if newest < self._settled:
                _log.warning("the history is behind this worker: a backup was restored")
                self._settled = newest
                self._delivered.clear()
            elif checked > self._settled and self.is_idle:
                self._catch_up(checked)
            checked = newest

    def _reconnected(self) -> None:
        """Catch up, and tell the other workers to do so. Assumes that signals were lost in both directions.

        They must hear of it before this worker's next lines, or those would overtake the lost ones.
        """
        self._signals.publish_first(LinesStored(self._worker_id, has_missed=True))
        self._catch_up()

    def _catch_up(self, up_to: int | None = None) -> None:
        """Deliver missed lines of other workers, to sockets that were subscribed when the lines were stored.

        Lines that arrive meanwhile are held back, so that each sender's lines stay in order.

        Args:
            up_to: The id to stop at; None for everything that is stored by now.
        """
        if self._hold_back():
            self._deliver_all_missed(up_to)

    def _catch_up_soon(self) -> None:
        """Catch up in a greenlet. Lines that arrive from now on are held back."""
        if self._hold_back():
            gevent.spawn(self._deliver_all_missed)

    def _hold_back(self) -> bool:
        """Hold back the lines that arrive. Return False if somebody is catching up already and will read again."""
        self._is_behind = True
        is_first = self.is_idle
        self._caught_up.clear()
        return is_first

    def _deliver_all_missed(self, up_to: int | None = None) -> None:
        gives_up_at = time.monotonic() + HOLD_SECONDS
        try:
            while self._is_behind:
                self._is_behind = False
                try:
                    self._deliver_missed(up_to)
                except SQLAlchemyError:
                    if time.monotonic() > gives_up_at:
                        raise
                    self._is_behind = True
                    gevent.sleep(RETRY_SECONDS)
                    continue
                up_to = None
        except SQLAlchemyError as error:
            _log.error("the history cannot be read, messages of other workers may be late", error=describe_error(error))
        except Exception:
            _log.exception("catching up failed, messages of other workers may be missing")
        finally:
            self._caught_up.set()
            held, self._held = self._held, []
            self._deliver(sorted(held, key=lambda stored: stored.id))

    def _deliver_missed(self, up_to: int | None) -> None:
        stored_ids, end = self._database.read(lambda session: self._list_ids(session, up_to))
        missed = [message_id for message_id in stored_ids if message_id not in self._delivered]
        stalled: set[Connection] = set()
        for start in range(0, len(missed), PAGE):
            ids = missed[start : start + PAGE]
            page = self._database.read(lambda session, ids=ids: history.list_lines(session, ids))  # type: ignore[misc]
            for message in page:
                self._delivered.add(message.id)
                self._delivery.deliver_late(_stored_line(message))
            if start + PAGE < len(missed):
                self._wait_for_room({message.channel_id for message in page}, stalled)
        self._settled = max(self._settled, end)
        self._delivered = {message_id for message_id in self._delivered if message_id > self._settled}

    def _list_ids(self, session: Session, up_to: int | None) -> tuple[list[int], int]:
        """Return the ids of the other workers' lines that are not settled, and the id at which they end."""
        end = history.last_message_id(session) if up_to is None else up_to
        return history.list_ids(session, self._settled, end, not_from=self._worker_id), end

    def _wait_for_room(self, channel_ids: set[int], stalled: set[Connection]) -> None:
        """Wait until the subscribers have read enough. Those that do not read are added to `stalled` and skipped."""
        for channel_id in channel_ids:
            for connection in self._sockets.listeners(channel_id):
                if connection not in stalled and not connection.wait_for_room(STALLED_SECONDS):
                    stalled.add(connection)


def _stored_line(message: Message) -> StoredLine:
    line = Line(message.channel_id, message.peer, message.game, message.name, message.text, message.sent_at)
    return StoredLine(message.id, line)
