"""A compiled view of what moderators, owners and players decided: sanctions, filters, channels, mutes, ignores, scopes.

The worker reads everything at its start, and then the parts that each signal names. It also polls every few seconds in
case a signal was lost. Queries are answered from memory and never wait.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import gevent
import structlog
from gevent.event import Event
from msgspec import Struct
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared.db import utc_now
from shared.errors import ChannelPaused, DomainError, Filtered, TooMany
from shared.models.audit import AuditEntry
from shared.peer_keys import PeerKey
from shared.protocol.codes import (
    CHANNEL_CLOSED,
    NEWCOMER_LINK,
    RAID,
    REFUSED_TEXT,
    REPEATED_MESSAGE,
    TOO_MANY_LINKS,
    TOO_MANY_MESSAGES,
    Code,
    sentence,
)
from shared.protocol.sync import ChannelRecord
from shared.services.authority import audit, changes
from shared.services.authority.actors import MODERATE
from shared.services.authority.changes import Part
from shared.services.moderation import safeguards, snapshots
from shared.services.moderation.filter_rules import FilterSet, SaidLately, Verdict, has_link
from shared.services.moderation.snapshots import Snapshot
from shared.signals import ModerationChanged
from worker.database import Database
from worker.moderation.channel_limits import OPEN, ChannelLimits
from worker.moderation.listeners import Listeners
from worker.moderation.safeguards import SafeguardRules
from worker.moderation.sanctions import ADMINS, MODERATORS, ActiveSanction, Sanctions, Speaker
from worker.signals import Signals

MODERATION = "moderation"  # the fan-out topic of applications with the scope
POLL_SECONDS = 3.0
PULSE_SECONDS = 0.5
FROZEN_SECONDS = 1.5  # after as long without a pulse, this process was frozen
REFRESH_SECONDS = 2.0  # how long a message may wait for the view after that
ACTS_PER_READ = 100
NEWCOMERS_SECONDS = 30.0  # how old the list of newcomers may be while a safeguard is on
MAX_PLAYERS = 20_000
_REFUSALS = {"link": TOO_MANY_LINKS, "flood": TOO_MANY_MESSAGES, "repeat": REPEATED_MESSAGE}  # by a filter's kind

_log = structlog.get_logger(__name__)


class CheckedLine(NamedTuple):
    """A line that passed all checks.

    Attributes:
        text: The text after the filters have censored it.
        flags: The ids of the filters that flag it for moderators once it is stored.
    """

    text: str
    flags: tuple[int, ...] = ()


class ModerationState(Struct, frozen=True, omit_defaults=True):
    """How far another process has enforced what moderators did, and what players have said.

    Attributes:
        revision, number: The last revision, and the last entry of the audit trail.
        said_at: When players last spoke on slow channels: channel, peer key, player key, Unix time.
        said: For the filters.
    """

    revision: int = -1
    number: int = 0
    said_at: list[tuple[int, str, str, float]] = []
    said: list[SaidLately] = []


class Moderation:
    """The view of one worker.

    Attributes:
        listeners: Which listeners do not receive a player's lines and tells.
        on_change: Called after each change, with the parts that have changed. Must not wait.
        on_acts: Called with new entries of the audit trail, in order. Must not wait.
    """

    def __init__(self, database: Database, signals: Signals, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._woken = Event()
        self._signalled: dict[int, list[Part]] = {}
        self._pulse_at: float | None = None  # None until the start
        self._is_stale = False
        self._refreshed = Event()
        self._applied = Event()
        self.revision = -1
        self._number = 0
        self.sanctions = Sanctions()
        self.listeners = Listeners()
        self._people: dict[tuple[PeerKey, str], int] = {}
        self._staff: frozenset[int] = frozenset()
        self._filters = FilterSet([])
        self._channels: dict[int, ChannelLimits] = {}
        self._said_at: OrderedDict[tuple[int, str, str], float] = OrderedDict()
        self._scopes: dict[int, list[str]] = {}
        self._safeguards = SafeguardRules()
        self._safeguards_read_at = 0.0
        self.on_change: Callable[[frozenset[Part]], None] = lambda parts: None
        self.on_acts: Callable[[list[AuditEntry]], None] = lambda acts: None
        signals.on(ModerationChanged, self.follow)
        signals.on_connected(self._woken.set)

    def start(self) -> None:
        """Read everything, and follow changes. Errors of the database are raised."""
        self.load()
        self.follow_changes()

    def load(self) -> None:
        """Read everything."""
        self._apply(self._database.read(lambda session: snapshots.read_snapshot(session, list(Part), now=utc_now())))

    def export_state(self) -> ModerationState:
        """Return what another process needs to continue."""
        said_at = [(*key, at) for key, at in self._said_at.items()]
        return ModerationState(self.revision, self._number, said_at, self._filters.export_said())

    def restore(self, state: ModerationState) -> None:
        """Continue where another process has stopped. Messages wait until everything has been read once more."""
        self.revision, self._number = min(self.revision, state.revision), min(self._number, state.number)
        self._said_at = OrderedDict(((channel, peer, key), at) for channel, peer, key, at in state.said_at)
        self._filters.restore_said(state.said)
        self._is_stale = True
        self._woken.set()

    def follow_changes(self) -> None:
        """Follow changes."""
        self._pulse_at = time.monotonic()
        gevent.spawn(self._run)
        gevent.spawn(self._pulse)

    def ensure_fresh(self) -> None:
        """Read what has changed, if this process was frozen until now. Call this before each message. May wait.

        After a freeze, messages may be handled before the signals that arrived meanwhile. A player who was muted in
        the meantime must not get a line through.
        """
        self._notice_freeze()
        if self._is_stale and not self._refreshed.wait(REFRESH_SECONDS):
            self._is_stale = False  # the database is down

    def wait_until_enforced(self) -> None:
        """Wait until this worker enforces everything that has been signalled to it so far. Gives up after a while.

        The answer to a moderator's request must not come before a muted player has been silenced here.
        """
        newest = max(self._signalled, default=self.revision)
        deadline = time.monotonic() + REFRESH_SECONDS
        while self.revision < newest and (seconds_left := deadline - time.monotonic()) > 0:
            self._applied.clear()
            self._applied.wait(seconds_left)

    # Queries

    def check_line(self, speaker: Speaker, channel: ChannelRecord, text: str) -> CheckedLine:
        """Check whether a speaker may say this on a channel. Return what they may say.

        Raises:
            ChannelPaused, Muted, Banned, Filtered, TooMany: Checked in this order. ChannelPaused is also raised in a
                raid; TooMany is slow mode.
        """
        now = self._clock()
        state = self._channels.get(channel.id)
        if state is not None:
            if state.is_closed:
                raise ChannelPaused(CHANNEL_CLOSED)
            if state.paused_until > now:
                raise ChannelPaused(
                    sentence(Code.CHANNEL_PAUSED), reason=state.reason or None, seconds_left=state.seconds_left(now)
                )
        is_staff = speaker.user_id in self._staff
        raid_end = self._safeguards.raid_end(now)
        if raid_end is not None and not is_staff and not self._safeguards.may_speak_in_a_raid(speaker, now):
            raise ChannelPaused(RAID, seconds_left=math.ceil(raid_end - now))
        if self.sanctions:
            sanction = self._find(speaker, channel.id, now)
            if sanction is not None:
                raise self._error(sanction, now)
        player = speaker.peer, speaker.key
        verdict = self._filters.check(text, who=player, at=now) if self._filters else Verdict("", text)
        if verdict.refused_by is not None:
            raise Filtered(_REFUSALS.get(verdict.refused_by.kind, REFUSED_TEXT))
        slow_seconds = 0 if state is None else state.slow_seconds
        if not is_staff and self._safeguards.is_on_probation(speaker, now):
            if self._safeguards.refuses_links and has_link(verdict.text):
                raise Filtered(NEWCOMER_LINK)
            slow_seconds = max(slow_seconds, self._safeguards.slow_seconds)
        if slow_seconds:
            wait = self._said_at.get((channel.id, *player), 0.0) + slow_seconds - now
            if wait > 0:
                raise TooMany(sentence(Code.RATE_LIMITED), retry_after_ms=int(wait * 1000) + 1)
        return CheckedLine(verdict.text, verdict.flags)

    def note_line(self, peer: PeerKey, key: str, channel_id: int, text: str) -> None:
        """Count a line for slow mode and for the filters of floods and repeats. Any worker may have received it."""
        now = self._clock()
        state = self._channels.get(channel_id)
        if self._safeguards.slow_seconds or (state is not None and state.slow_seconds):
            self._said_at[channel_id, peer, key] = now
            self._said_at.move_to_end((channel_id, peer, key))
            if len(self._said_at) > MAX_PLAYERS:
                self._said_at.popitem(last=False)
        if self._filters:
            self._filters.note(text, who=(peer, key), at=now)

    def check_tell(self, speaker: Speaker) -> None:
        """Check whether a speaker may send a tell. Raises Muted, Banned."""
        if self.sanctions:
            now = self._clock()
            sanction = self._find(speaker, None, now)
            if sanction is not None:
                raise self._error(sanction, now)

    def is_banned(self, speaker: Speaker) -> bool:
        """Return whether a player is banned. Others must not see even the name, which could be an advert."""
        sanction = self._find(speaker, None, self._clock()) if self.sanctions else None
        return sanction is not None and sanction.kind == "ban"

    def banned_players(self) -> frozenset[tuple[PeerKey, str]]:
        """Return the players that are banned on all channels, as pairs of a peer key and a player key."""
        return self.sanctions.banned_players(self._people, self._clock()) if self.sanctions else frozenset()

    def check_socket(self, peer: PeerKey | None, address: str, *, user_id: int | None = None) -> None:
        """Check whether a peer, or the account of a browser, may have sockets from an address. Raises Banned."""
        ban = self.find_ban(peer, address, user_id=user_id)
        if ban is not None:
            raise ban

    def find_ban(self, peer: PeerKey | None, address: str, *, user_id: int | None = None) -> DomainError | None:
        """Return the error for a peer that is banned, or has a banned address. Returns None if it is not.

        Args:
            user_id: The account, if the socket is a browser's.
        """
        now = self._clock()
        ban = self.sanctions.find_ban(peer, self._counting(address, user_id), now) if self.sanctions else None
        return None if ban is None else self._error(ban, now)

    def _find(self, speaker: Speaker, channel_id: int | None, now: float) -> ActiveSanction | None:
        speaker = speaker._replace(address=self._counting(speaker.address, speaker.user_id))
        return self.sanctions.find(speaker, channel_id, self._people, now)

    def _counting(self, address: str, user_id: int | None) -> str:
        """Return an address, or "" for signed-in moderators and admins.

        Sanctions of addresses do not stop them, or one of them could lock out the others.
        """
        return "" if user_id in self._staff else address

    def _error(self, sanction: ActiveSanction, now: float) -> DomainError:
        person = sanction.user_id if sanction.player is None else self._people.get(sanction.player)
        return sanction.error(now, lifted_by=ADMINS if person in self._staff else MODERATORS)

    def limits_of(self, channel_id: int) -> ChannelLimits:
        """Return what moderators did to a channel. Its pause, if any, has not ended."""
        return self._channels.get(channel_id, OPEN).at(self._clock())

    def is_closed(self, channel_id: int) -> bool:
        """Return whether a channel is closed, so that nobody may subscribe to it."""
        return self._channels.get(channel_id, OPEN).is_closed

    def may_moderate(self, application_id: int) -> bool:
        """Return whether an application has the scope for moderation."""
        return MODERATE in self._scopes.get(application_id, ())

    # Following the database

    def follow(self, signal: ModerationChanged) -> None:
        """Read the changed parts soon. A signal may arrive twice."""
        self._signalled[signal.revision] = [Part(part) for part in signal.parts]
        self._woken.set()

    def _pulse(self) -> None:
        while True:
            gevent.sleep(PULSE_SECONDS)
            self._notice_freeze()

    def _notice_freeze(self) -> None:
        if self._pulse_at is None:
            return
        now = time.monotonic()
        if now - self._pulse_at > FROZEN_SECONDS:
            self._is_stale = True
            self._refreshed.clear()
            self._woken.set()
        self._pulse_at = now

    def _run(self) -> None:
        while True:
            self._woken.wait(POLL_SECONDS)
            self._woken.clear()
            was_stale = self._is_stale  # a read that began before the freeze does not count
            try:
                self._poll()
                if was_stale:
                    self._is_stale = False
                    self._refreshed.set()
            except SQLAlchemyError as error:
                _log.error("moderation cannot be read, trying again", error=str(error))
                gevent.sleep(1)
            except Exception:
                _log.exception("moderation could not be followed")
                gevent.sleep(1)

    def _poll(self) -> None:
        signalled, revision, number = dict(self._signalled), self.revision, self._number
        snapshot, acts = self._database.read(lambda session: _read(session, revision, number, signalled))
        if snapshot is not None:
            self._signalled = {later: parts for later, parts in self._signalled.items() if later > snapshot.revision}
            self._apply(snapshot)
        else:
            self._read_newcomers_again()
        while acts:
            self._number = last = acts[-1].number
            self.on_acts(acts)
            if len(acts) < ACTS_PER_READ:
                break
            acts = self._database.read(
                lambda session, last=last: audit.entries_since(session, last, limit=ACTS_PER_READ)  # type: ignore[misc]
            )

    def _read_newcomers_again(self) -> None:
        """Read who is a newcomer again, if a safeguard is on: accounts grow older, and characters are approved."""
        if self._safeguards.is_needed and time.monotonic() - self._safeguards_read_at > NEWCOMERS_SECONDS:
            read = self._database.read(lambda session: safeguards.read(session, utc_now()))
            self._safeguards, self._safeguards_read_at = SafeguardRules(read), time.monotonic()

    def _apply(self, snapshot: Snapshot) -> None:
        """Apply a snapshot. Nothing in here waits, so others see all of it or nothing."""
        self.revision, self._number = snapshot.revision, snapshot.number
        parts = snapshot.parts
        if Part.SANCTIONS in parts:
            self.sanctions = Sanctions(snapshot.sanctions)
        if Part.FILTERS in parts:
            filters = FilterSet(snapshot.filters)
            filters.take_over(self._filters)
            if filters.left_out:
                _log.error("skipping filters that are too large to compile", ids=filters.left_out)
            self._filters = filters
        if Part.CHANNELS in parts:
            self._channels = {row.channel_id: ChannelLimits.of(row) for row in snapshot.channels}
        if Part.MUTES in parts:
            self.listeners.update_mutes(snapshot.mutes)
        if Part.PEOPLE in parts:
            if snapshot.staff != self._staff:
                parts |= {Part.SANCTIONS}  # those of addresses now apply to other accounts
            self._people, self._staff = snapshot.people, snapshot.staff
            self.listeners.update_ignores(snapshot.ignores, snapshot.people)
        if Part.APPLICATIONS in parts:
            self._scopes = snapshot.scopes
        if Part.SAFEGUARDS in parts:
            self._safeguards, self._safeguards_read_at = SafeguardRules(snapshot.safeguards), time.monotonic()
        self.on_change(parts)
        self._applied.set()


def _read(
    session: Session, revision: int, number: int, signalled: dict[int, list[Part]]
) -> tuple[Snapshot | None, list[AuditEntry]]:
    """Read what has changed since a revision.

    Args:
        number: The last entry of the audit trail that was read.
        signalled: The changed parts by revision, from signals.

    Returns:
        The parts that the signals named, or all parts if a signal was lost; None if nothing has changed. And the next
        entries of the audit trail.
    """
    current, last = changes.revision(session)
    acts = audit.entries_since(session, number, limit=ACTS_PER_READ) if last > number else []
    if current == revision:
        return None, acts
    steps = range(revision + 1, current + 1)
    is_complete = current > revision and len(steps) <= len(signalled) and all(step in signalled for step in steps)
    parts = {part for step in steps for part in signalled[step]} if is_complete else set(Part)
    return snapshots.read_snapshot(session, parts, now=utc_now()), acts
