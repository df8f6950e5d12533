"""What moderators, owners and players decided, as this worker enforces it: a compiled view of the database.

Read whole at the start; after that the parts that a signal names, as soon as it comes. Without signals (Redis away) it
looks every few seconds. Asking the view reads nothing and waits for nobody.
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import gevent
import structlog
from gevent.event import Event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared import grapevine, peer_keys
from shared.db import utc_now
from shared.errors import ChannelPaused, DomainError, Filtered, TooMany
from shared.models.audit import AuditEntry
from shared.peer_keys import PeerKey
from shared.protocol.codes import (
    CHANNEL_CLOSED,
    REFUSED_TEXT,
    REPEATED_MESSAGE,
    TOO_MANY_LINKS,
    TOO_MANY_MESSAGES,
    Code,
    sentence,
)
from shared.protocol.sync import ChannelRecord
from shared.protocol.types import player_key
from shared.services.authority import audit, changes
from shared.services.authority.actors import MODERATE
from shared.services.authority.changes import Part
from shared.services.moderation import snapshots
from shared.services.moderation.filter_rules import FilterSet, Verdict
from shared.services.moderation.patterns import PatternSet, subject
from shared.services.moderation.snapshots import Snapshot
from shared.signals import ModerationChanged
from worker.database import Database
from worker.moderation.sanctions import ADMINS, MODERATORS, InForce, Sanctions, Speaker
from worker.signals import Signals

MODERATION = "moderation"  # the fan-out topic of applications with the scope
POLL_SECONDS = 3.0
ACTS_AT_ONCE = 100
PLAYERS_AT_MOST = 20_000
_NOBODY: frozenset[str] = frozenset()
_REFUSALS = {"link": TOO_MANY_LINKS, "flood": TOO_MANY_MESSAGES, "repeat": REPEATED_MESSAGE}  # by a filter's kind

_log = structlog.get_logger(__name__)


class CheckedLine(NamedTuple):
    """A line that may be said. text: what of it may be. flags: the filters that want it looked at once it is stored."""

    text: str
    flags: tuple[int, ...] = ()


class _Channel(NamedTuple):
    """What was done to a channel. paused_until: Unix time; 0 is not paused, infinite until it is resumed."""

    paused_until: float
    slow_seconds: int
    is_closed: bool


class _Ignored:
    """Who ignores whom, over all people: one look-up for a player."""

    def __init__(self, ignores: dict[int, list[tuple[str | None, int | None]]]) -> None:
        entries = [(user_id, *entry) for user_id, own in ignores.items() for entry in own]
        self._patterns = PatternSet((user_id, pattern) for user_id, pattern, _ in entries if pattern is not None)
        self._by_person: dict[int, set[int]] = defaultdict(set)
        for user_id, _, person in entries:
            if person is not None:
                self._by_person[person].add(user_id)

    def by(self, player: str, person: int | None) -> frozenset[str]:
        """The `listener_key` of all who ignore a player. person: whose it is, if that is known."""
        users = set(self._patterns.matches(player))
        if person is not None:
            users |= self._by_person.get(person, set())
            users.discard(person)
        return frozenset(map(listener_key, users))


def listener_key(user_id: int) -> str:
    """What broadcasts to a person's browsers are kept from them by."""
    return f"user:{user_id}"


class Moderation:
    """The view of one worker. on_change is called after each change of it, with the parts; on_acts with what was done
    since, in order. Neither may wait."""

    def __init__(self, database: Database, signals: Signals, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._signals = signals
        self._clock = clock
        self._woken = Event()
        self._known: dict[int, list[Part]] = {}
        self.revision = -1
        self._number = 0
        self.sanctions = Sanctions()
        self._people: dict[tuple[PeerKey, str], int] = {}
        self._staff: frozenset[int] = frozenset()
        self._ignores: dict[int, list[tuple[str | None, int | None]]] = {}
        self._ignore_sets: dict[int, PatternSet[str]] = {}
        self._ignored: _Ignored | None = None  # made when it is first asked for
        self._ignoring: dict[tuple[str, str, str], frozenset[str]] = {}
        self._filters = FilterSet([])
        self._channels: dict[int, _Channel] = {}
        self._said_at: OrderedDict[tuple[int, str, str], float] = OrderedDict()
        self._mutes: PatternSet[str] = PatternSet([])
        self._muting: dict[tuple[str, str], frozenset[str]] = {}
        self._scopes: dict[int, list[str]] = {}
        self.on_change: Callable[[frozenset[Part]], None] = lambda parts: None
        self.on_acts: Callable[[list[AuditEntry]], None] = lambda acts: None

    def start(self) -> None:
        """Read everything, and follow what changes. Raises what the database raises."""
        self._take(self._database.read(lambda session: snapshots.read_snapshot(session, list(Part), now=utc_now())))
        self._signals.on(ModerationChanged, self.follow)
        self._signals.on_connected(self._woken.set)
        gevent.spawn(self._run)

    # What sockets ask

    def check_line(self, speaker: Speaker, channel: ChannelRecord, text: str) -> CheckedLine:
        """Whether somebody may say this on a channel, and what of it.

        Raises, in this order: ChannelPaused, Muted or Banned, Filtered, TooMany (slow mode; `retry_after_ms`).
        """
        now = self._clock()
        state = self._channels.get(channel.id)
        if state is not None:
            if state.is_closed:
                raise ChannelPaused(CHANNEL_CLOSED)
            if state.paused_until > now:
                raise ChannelPaused(sentence(Code.CHANNEL_PAUSED))
        if self.sanctions:
            found = self.sanctions.find(speaker, channel.id, self._people, now)
            if found is not None:
                raise self._error(found, now)
        who = speaker.peer, speaker.key
        verdict = self._filters.check(text, who=who, at=now) if self._filters else Verdict("", text)
        if verdict.refused_by is not None:
            raise Filtered(_REFUSALS.get(verdict.refused_by.kind, REFUSED_TEXT))
        if state is not None and state.slow_seconds:
            wait = self._said_at.get((channel.id, *who), 0.0) + state.slow_seconds - now
            if wait > 0:
                raise TooMany(sentence(Code.RATE_LIMITED), retry_after_ms=int(wait * 1000) + 1)
        return CheckedLine(verdict.text, verdict.flags)

    def note_line(self, peer: PeerKey, key: str, channel_id: int, text: str) -> None:
        """Somebody said this, here or at another worker: slow mode, floods and repeats count it."""
        now = self._clock()
        state = self._channels.get(channel_id)
        if state is not None and state.slow_seconds:
            self._said_at[channel_id, peer, key] = now
            self._said_at.move_to_end((channel_id, peer, key))
            if len(self._said_at) > PLAYERS_AT_MOST:
                self._said_at.popitem(last=False)
        if self._filters:
            self._filters.note(text, who=(peer, key), at=now)

    def check_tell(self, speaker: Speaker) -> None:
        """Whether somebody may send a tell. Raises Muted, Banned."""
        if self.sanctions:
            now = self._clock()
            found = self.sanctions.find(speaker, None, self._people, now)
            if found is not None:
                raise self._error(found, now)

    def is_banned(self, speaker: Speaker) -> bool:
        """True if nobody is to be told that a player comes or goes: the name alone can be an advert."""
        found = self.sanctions.find(speaker, None, self._people, self._clock()) if self.sanctions else None
        return found is not None and found.kind == "ban"

    def banned_players(self) -> frozenset[tuple[PeerKey, str]]:
        """The players (peer key, player's key) that are banned everywhere: by name, or as characters of somebody."""
        return self.sanctions.banned_players(self._people, self._clock()) if self.sanctions else frozenset()

    def check_socket(self, peer: PeerKey | None, address: str) -> None:
        """Whether a peer, or anybody from an address, may have a socket. Raises Banned."""
        ban = self.find_ban(peer, address)
        if ban is not None:
            raise ban

    def find_ban(self, peer: PeerKey | None, address: str) -> DomainError | None:
        """What a banned peer, or anybody from a banned address, is told; None for all others."""
        now = self._clock()
        found = self.sanctions.find_ban(peer, address, now) if self.sanctions else None
        return None if found is None else self._error(found, now)

    def _error(self, found: InForce, now: float) -> DomainError:
        person = found.user_id if found.player is None else self._people.get(found.player)
        return found.error(now, lifted_by=ADMINS if person in self._staff else MODERATORS)

    def is_closed(self, channel_id: int) -> bool:
        """True for a channel that nobody may subscribe to."""
        state = self._channels.get(channel_id)
        return state is not None and state.is_closed

    def muting_peers(self, peer: PeerKey, game: str, name: str) -> frozenset[str]:
        """The keys of the games that do not want to hear a player. What `system` says reaches everybody."""
        if not self._mutes or (peer == grapevine.KEY and name == grapevine.SYSTEM):
            return _NOBODY
        found = self._muting.get((game, name))
        if found is None:
            if len(self._muting) >= PLAYERS_AT_MOST:
                self._muting.clear()
            found = self._muting[game, name] = self._mutes.matches(subject(name, game))
        return found

    def deaf_listeners(self, peer: PeerKey, game: str, name: str) -> frozenset[str]:
        """Who hears no channel line of a player: the keys of the games that mute them, and the `listener_key` of the
        people who ignore them."""
        return self.muting_peers(peer, game, name) | self._ignoring_people(peer, game, name)

    def _ignoring_people(self, peer: PeerKey, game: str, name: str) -> frozenset[str]:
        """The same as on pages (`moderation/ignored_speakers.py`): one always hears `system`, and oneself."""
        if not self._ignores or (peer == grapevine.KEY and name == grapevine.SYSTEM):
            return _NOBODY
        found = self._ignoring.get((peer, game, name))
        if found is None:
            if len(self._ignoring) >= PLAYERS_AT_MOST:
                self._ignoring.clear()
            if self._ignored is None:
                self._ignored = _Ignored(self._ignores)
            person = self._people.get((peer, player_key(name)))
            found = self._ignoring[peer, game, name] = self._ignored.by(subject(name, game), person)
        return found

    def is_unwanted(self, receiver: tuple[PeerKey, str], sender: Speaker) -> bool:
        """True if a tell is not to reach its receiver (peer key, player's key): ignored, or muted by their game."""
        if receiver[0] in self.muting_peers(sender.peer, sender.game, sender.name):
            return True
        person = self._people.get(receiver)
        return person is not None and self.is_ignored(person, sender)

    def is_ignored(self, user_id: int, sender: Speaker) -> bool:
        """True if a person does not want to hear somebody."""
        entries = self._ignores.get(user_id)
        if not entries:
            return False
        patterns = self._ignore_sets.get(user_id)
        if patterns is None:
            patterns = PatternSet([("", pattern) for pattern, _ in entries if pattern is not None])
            self._ignore_sets[user_id] = patterns
        if patterns and patterns.matches(subject(sender.name, sender.game)):
            return True
        person = sender.user_id or self._people.get((sender.peer, sender.key))
        return person is not None and any(ignored == person for _, ignored in entries)

    def may_moderate(self, application_id: int) -> bool:
        """True if an application has the scope."""
        return MODERATE in self._scopes.get(application_id, ())

    # What it is made of

    def follow(self, signal: ModerationChanged) -> None:
        """Read what changed, soon. A signal may come twice."""
        self._known[signal.revision] = [Part(part) for part in signal.parts]
        self._woken.set()

    def _run(self) -> None:
        while True:
            self._woken.wait(POLL_SECONDS)
            self._woken.clear()
            try:
                self._look()
            except SQLAlchemyError as error:
                _log.error("moderation cannot be read, trying again", error=str(error))
                gevent.sleep(1)
            except Exception:
                _log.exception("moderation could not be followed")
                gevent.sleep(1)

    def _look(self) -> None:
        known, revision, number = dict(self._known), self.revision, self._number
        snapshot, acts = self._database.read(lambda session: _read(session, revision, number, known))
        if snapshot is None:
            return
        self._known = {later: parts for later, parts in self._known.items() if later > snapshot.revision}
        self._take(snapshot)
        while acts:
            self.on_acts(acts)
            last = acts[-1].number
            self._number = max(self._number, last)
            if len(acts) < ACTS_AT_ONCE:
                break
            acts = self._database.read(
                lambda session, last=last: audit.entries_since(session, last, limit=ACTS_AT_ONCE)  # type: ignore[misc]
            )

    def _take(self, snapshot: Snapshot) -> None:
        """Put in what was read. Nothing waits in here: everyone sees all of it or nothing."""
        self.revision, self._number = snapshot.revision, snapshot.number
        parts = snapshot.parts
        if Part.SANCTIONS in parts:
            self.sanctions = Sanctions(snapshot.sanctions)
        if Part.FILTERS in parts:
            filters = FilterSet(snapshot.filters)
            filters.take_over(self._filters)
            if filters.left_out:
                _log.error("filters are left out: they are too large to compile", ids=filters.left_out)
            self._filters = filters
        if Part.CHANNELS in parts:
            self._channels = {row.channel_id: _channel(row) for row in snapshot.channels}
        if Part.MUTES in parts:
            self._mutes = PatternSet((peer_keys.of_game(game_id), pattern) for game_id, pattern in snapshot.mutes)
            self._muting.clear()
        if Part.PEOPLE in parts:
            self._people, self._ignores, self._staff = snapshot.people, snapshot.ignores, snapshot.staff
            self._ignore_sets.clear()
            self._ignored = None
            self._ignoring.clear()
        if Part.APPLICATIONS in parts:
            self._scopes = snapshot.scopes
        self.on_change(parts)


def _read(
    session: Session, revision: int, number: int, known: dict[int, list[Part]]
) -> tuple[Snapshot | None, list[AuditEntry]]:
    """What changed since a revision: the parts that the signals named, or all where one was lost; and the acts."""
    now_at, last = changes.revision(session)
    if now_at == revision:
        return None, []
    passed = range(revision + 1, now_at + 1)
    is_complete = now_at > revision and len(passed) <= len(known) and all(step in known for step in passed)
    parts = {part for step in passed for part in known[step]} if is_complete else set(Part)
    acts = audit.entries_since(session, number, limit=ACTS_AT_ONCE) if last > number else []
    return snapshots.read_snapshot(session, parts, now=utc_now()), acts


def _channel(row: Any) -> _Channel:
    until = 0.0
    if row.is_paused:
        until = float("inf") if row.paused_until is None else _seconds(row.paused_until)
    return _Channel(until, row.slow_seconds, row.is_closed)


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
