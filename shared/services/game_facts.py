"""What games say about themselves: which addresses are asked, how often, and what their answers mean.

Only addresses that are proved to be their owner's are asked, and only while the owner wants it. An address is asked
every hour, or as seldom as its CRAWL DELAY wants. One that does not answer is asked less and less often, but at least
once a week, so a game that returns is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import String, cast, or_, select, update
from sqlalchemy.orm import Session

from shared.db import count_changed, upsert
from shared.models.game import Game, GameConnection
from shared.models.game_facts import GameFacts
from shared.models.play import GamePlay, PlayWay

EVERY = timedelta(hours=1)
SELDOMEST = timedelta(days=7)
LEASE = timedelta(minutes=5)
RECENT = timedelta(hours=12)  # how long a count of players is worth showing
MOST_PLAYERS = 100_000
LATEST_START = 1_000_000_000  # seconds; a larger UPTIME is the Unix time of the start

Variables = Mapping[str, Sequence[str]]


class Source(StrEnum):
    """How a game has answered."""

    MSSP = "mssp"
    MSSP_TEXT = "mssp-text"
    INFO = "info"
    WHO = "who"


SOURCES = {
    Source.MSSP: "MSSP",
    Source.MSSP_TEXT: "MSSP",
    Source.INFO: "its login screen",
    Source.WHO: "its login screen",
}


@dataclass(frozen=True, slots=True)
class FactsTask:
    """An address that is to be asked now."""

    connection_id: str
    host: str
    port: int
    is_tls: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What a game has said."""

    source: Source
    variables: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Count:
    """How many players are online, by whose word, and when that was."""

    players: int
    source: str
    at: datetime


def take_due(session: Session, *, now: datetime, at_most: int) -> list[FactsTask]:
    """Claim addresses that are due, oldest first. Plans those that were proved since the last call."""
    endpoint = GameConnection.type + " " + GameConnection.host + " " + cast(GameConnection.port, String)
    wanted = (
        select(GameConnection)
        .join(PlayWay, PlayWay.connection_id == GameConnection.id)
        .join(Game, Game.id == GameConnection.game_id)
        .join(GamePlay, GamePlay.game_id == Game.id)
        .where(PlayWay.proof.is_not(None), PlayWay.proved_endpoint == endpoint, Game.is_displayed, GamePlay.is_asked)
    )
    planned = wanted.outerjoin(GameFacts, GameFacts.connection_id == GameConnection.id)
    for way in session.scalars(planned.where(GameFacts.connection_id.is_(None)).limit(1_000)).all():
        row = {"connection_id": way.id, "due_at": now, "failures": 0, "variables": {}}
        session.execute(upsert(session, GameFacts).values(**row).on_conflict_do_nothing())
    is_free = or_(GameFacts.lease_until.is_(None), GameFacts.lease_until < now)
    due = wanted.join(GameFacts, GameFacts.connection_id == GameConnection.id).where(GameFacts.due_at <= now, is_free)
    tasks = []
    for way in session.scalars(due.order_by(GameFacts.due_at).limit(at_most)).all():
        claim = update(GameFacts).where(GameFacts.connection_id == way.id, is_free).values(lease_until=now + LEASE)
        if count_changed(session.execute(claim.execution_options(synchronize_session=False))):
            tasks.append(FactsTask(way.id, way.host or "", way.port or 0, way.type == "secure telnet"))
    return tasks


def finish(session: Session, task: FactsTask, answer: Answer | None, *, now: datetime) -> None:
    """Store an answer, or that there was none, and when the address is asked next."""
    row = session.get(GameFacts, task.connection_id)
    if row is None:  # the way to connect was deleted meanwhile
        return
    row.lease_until, row.asked_at = None, now
    if answer is None:
        row.failures += 1
    else:
        row.failures, row.answered_at, row.source = 0, now, answer.source
        row.variables, row.players = answer.variables, count_of(answer.variables)
    row.due_at = now + interval(row.variables, row.failures)
    session.flush()


def interval(variables: Variables, failures: int) -> timedelta:
    """Return how long to wait before an address is asked again."""
    backed_off: timedelta = min(EVERY * 2 ** min(failures, 10), SELDOMEST)
    hours = number_of(variables, "CRAWL DELAY")
    return max(backed_off, min(timedelta(hours=min(hours, 1_000)), SELDOMEST)) if hours is not None else backed_off


def default_of(variables: Variables, name: str) -> str:
    """Return a variable's default, the last of its values; empty if it has none."""
    values = variables.get(name) or [""]
    return values[-1].strip()


def number_of(variables: Variables, name: str) -> int | None:
    """Return a variable as a number. None if it is missing, negative (not available) or not a number."""
    match = re.fullmatch(r"\d{1,15}", default_of(variables, name), re.ASCII)
    return int(match[0]) if match else None


def count_of(variables: Variables) -> int | None:
    """Return the number of players, as large as is plausible; None if the game does not say."""
    players = number_of(variables, "PLAYERS")
    return players if players is None else min(players, MOST_PLAYERS)


def started_at(variables: Variables, *, at: datetime) -> datetime | None:
    """Return when the game was started. at: when it answered: some servers send the seconds since their start."""
    uptime = number_of(variables, "UPTIME")
    if not uptime:
        return None
    seconds = float(uptime) if uptime >= LATEST_START else at.timestamp() - uptime
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds <= at.timestamp() + 60 else None


def list_facts(session: Session, game: Game) -> list[tuple[GameConnection, GameFacts]]:
    """Return what the addresses of a game have answered, the last answer first."""
    ways = {way.id: way for way in game.connections}
    rows = session.scalars(select(GameFacts).where(GameFacts.connection_id.in_(ways), GameFacts.asked_at.is_not(None)))
    never = datetime.min.replace(tzinfo=UTC)
    return [
        (ways[row.connection_id], row) for row in sorted(rows, key=lambda row: row.answered_at or never, reverse=True)
    ]


def find_count(session: Session, game: Game, *, now: datetime) -> Count | None:
    """Return the latest count of a game's players that is recent enough to show."""
    for _, row in list_facts(session, game):
        if row.players is not None and row.answered_at and row.source and now - row.answered_at <= RECENT:
            return Count(row.players, SOURCES[Source(row.source)], row.answered_at)
    return None


def advise(variables: Variables, *, at: datetime) -> list[str]:
    """Return what the owner can do about an answer, in sentences. Empty if it is as the standard wants it."""
    advice = [f"{name} is missing: {why}." for name, why in _WANTED.items() if not default_of(variables, name)]
    if default_of(variables, "PLAYERS") and number_of(variables, "PLAYERS") is None:
        advice.append(
            f"PLAYERS is “{default_of(variables, 'PLAYERS')[:40]}”: it must be a number, or nobody can count it."
        )
    uptime = number_of(variables, "UPTIME")
    if uptime is not None and 0 < uptime < LATEST_START:
        advice.append("UPTIME is the seconds since the start. The standard wants the Unix time of the start.")
    elif uptime is not None and started_at(variables, at=at) is None:
        advice.append("UPTIME is in the future.")
    return advice


_WANTED = {
    "NAME": "the standard requires it",
    "PLAYERS": "without it, no list can say who is online",
    "UPTIME": "the standard requires it",
    "GENRE": "people filter lists by it",
    "GAMEPLAY": "people filter lists by it",
    "LANGUAGE": "people look for games in their language",
    "CODEBASE": "people look for games like those they know",
    "CONTACT": "other lists write to it",
    "WEBSITE": "lists link to it",
}
