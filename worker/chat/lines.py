"""Stores the lines that this worker's sockets send, delivers them here, and passes them on to the other workers.

All pending lines are stored in one transaction (a group commit). A line is acknowledged once it is stored.
`worker/chat/catch_up.py` delivers the lines that other workers have stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import gevent
import structlog
from gevent.event import Event
from sqlalchemy.exc import SQLAlchemyError

from shared import traces
from shared.db import OutcomeUnknown, end_backend, utc_now
from shared.errors import Unavailable
from shared.protocol.codes import Code, sentence
from shared.protocol.sync import ChannelRecord
from shared.protocol.types import player_key
from shared.request_ids import BatchWork, Work, current_work, working_for
from shared.services import history
from shared.services.moderation import reports
from shared.signals import Line, LinesStored, StoredLine
from worker.answers import Deferred
from worker.chat.catch_up import RemoteLines, sender_of
from worker.chat.delivery import Delivery
from worker.database import Database
from worker.diagnostics.recorder import Diagnostics, channel_topic
from worker.moderation.view import Moderation
from worker.signals import Signals
from worker.sockets.connection import Connection

BATCH = 500
MAX_PENDING = 20_000
RETRY_SECONDS = 0.5

_log = structlog.get_logger(__name__)


class NotStored(Unavailable):
    """The line could not be stored, so it reaches nobody."""

    code = Code.INTERNAL


@dataclass(slots=True)
class _Pending:
    connection: Connection
    line: Line
    answer: Deferred
    work: Work | None
    flags: tuple[int, ...] = ()


class Chat:
    """Stores lines and delivers them.

    Attributes:
        stored: How many lines were stored since the start.
    """

    def __init__(
        self,
        worker_id: str,
        database: Database,
        signals: Signals,
        delivery: Delivery,
        remote_lines: RemoteLines,
        diagnostics: Diagnostics,
        moderation: Moderation,
    ) -> None:
        self._worker_id = worker_id
        self._database = database
        self._signals = signals
        self._delivery = delivery
        self._remote_lines = remote_lines
        self._diagnostics = diagnostics
        self._moderation = moderation
        self._pending: list[_Pending] = []
        self._has_pending = Event()
        self._is_idle = Event()
        self._is_idle.set()
        self._last_id = 0  # of the lines that this worker has stored
        self.stored = 0

    def start(self) -> None:
        """Start storing lines. Errors of the database are raised."""
        self._last_id = self._database.read(history.last_message_id)
        gevent.spawn(self._run)

    def say(
        self, connection: Connection, channel: ChannelRecord, name: str, text: str, *, flags: tuple[int, ...] = ()
    ) -> Deferred:
        """Queue a line, which is stored and then delivered.

        Args:
            flags: The ids of the filters that report the line to the moderators.

        Returns:
            The answer, which is resolved once the line is stored.

        Raises:
            NotStored: Too many lines are pending.
        """
        assert connection.peer is not None
        if len(self._pending) >= MAX_PENDING:
            raise NotStored("internal error: too many messages are waiting to be stored, try again")
        pending = _Pending(
            connection,
            Line(channel.id, connection.peer.key, connection.peer.short_name, name, text, utc_now()),
            Deferred(),
            current_work(),
            flags,
        )
        self._moderation.note_line(connection.peer.key, player_key(name), channel.id, text)
        self._pending.append(pending)
        self._is_idle.clear()
        self._has_pending.set()
        return pending.answer

    @property
    def is_idle(self) -> bool:
        """Whether no line is pending, so that all have been stored, delivered and answered."""
        return bool(self._is_idle.is_set())

    def flush(self, timeout: float) -> None:
        """Wait until no line is pending, for at most `timeout` seconds."""
        self._is_idle.wait(timeout)

    def _run(self) -> None:
        while True:
            self._has_pending.wait()
            batch, self._pending = self._pending[:BATCH], self._pending[BATCH:]
            if not batch:
                self._has_pending.clear()
                self._is_idle.set()
                continue
            with working_for(BatchWork([pending.work for pending in batch])):
                try:
                    with traces.span("store lines", {"gossip.lines": len(batch)}):
                        self._store(batch)
                except Exception:
                    _log.exception("messages were stored, but could not be delivered")

    def _store(self, batch: list[_Pending]) -> None:
        lines = [pending.line for pending in batch]
        ids = self._store_lines(lines)
        if not ids:
            _fail(batch)
            return
        self._deliver_earlier(batch, ids[0])
        self._last_id = ids[-1]
        self.stored += len(ids)
        self._remote_lines.note(ids[-1])
        stored_lines = [StoredLine(number, line) for number, line in zip(ids, lines, strict=True)]
        for stored, pending in zip(stored_lines, batch, strict=True):
            frames = self._delivery.deliver(stored)
            if frames is not None:
                self._diagnostics.record_broadcast(channel_topic(stored.line.channel_id), frames, stored.line.peer)
            pending.answer.resolve()
        self._signals.publish(LinesStored(self._worker_id, stored_lines))
        flagged = [(message_id, pending.flags) for message_id, pending in zip(ids, batch, strict=True) if pending.flags]
        if flagged:
            gevent.spawn(self._report, flagged)

    def _deliver_earlier(self, batch: list[_Pending], first_id: int) -> None:
        """Before a socket's first line, deliver what its game has sent through other workers."""
        newcomers = [pending for pending in batch if not pending.connection.has_spoken]
        if newcomers:
            senders = {sender_of(pending.line.peer, pending.line.name) for pending in newcomers}
            self._remote_lines.deliver_earlier(senders, first_id)
            for pending in newcomers:
                pending.connection.has_spoken = True

    def _store_lines(self, lines: list[Line]) -> list[int]:
        """Return the ids of the stored lines. The list is empty if they are not stored and never will be."""
        try:
            return self._database.execute(
                lambda connection: history.insert_lines(connection, lines, worker=self._worker_id)
            )
        except OutcomeUnknown as error:
            _log.warning("the database was lost while it stored messages", count=len(lines))
            return self._find_outcome(error.backend)
        except SQLAlchemyError as error:
            _log.error("messages could not be stored", count=len(lines), error=str(error))
        except Exception:
            _log.exception("messages could not be stored")
        return []

    def _find_outcome(self, backend: int) -> list[int]:
        """Wait until the database answers again. Return the ids of the lines that it was storing; none if it failed.

        Lines that are sent meanwhile fail, as they do whenever the database is down.
        """
        while True:
            try:
                if self._database.read(lambda session: end_backend(session, backend)):
                    return self._database.read(
                        lambda session: history.list_ids_of(session, self._worker_id, after=self._last_id)
                    )
            except SQLAlchemyError:
                pending, self._pending = self._pending, []
                _fail(pending)
            gevent.sleep(RETRY_SECONDS)

    def _report(self, flagged: list[tuple[int, tuple[int, ...]]]) -> None:
        """Report lines that a filter has flagged to the moderators. They were delivered too."""
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


def _fail(batch: list[_Pending]) -> None:
    """Answer that these lines are not stored."""
    for pending in batch:
        pending.answer.fail(NotStored(sentence(Code.INTERNAL)))
