"""Checks of the ways to connect: which are due, who runs them, their outcomes, and advice for owners.

A worker claims checks that are due (`take_due`) and stores the outcome (`finish`), so each is run by one worker. Checks
run once a day at random times, and when an owner asks, up to a limit for each owner (`check_allowances.py`).
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from shared.bus import announce
from shared.db import utc_now
from shared.errors import TooMany
from shared.models.connection_check import ConnectionCheck
from shared.models.game import Game, GameConnection
from shared.services import check_allowances
from shared.signals import ChecksDue

EVERY = timedelta(days=1)
AGAIN = timedelta(minutes=10)  # if the fault may be ours
JITTER = 0.1  # earlier or later by this share of the time, so that checks drift apart
SPREAD = timedelta(minutes=10)  # new ways to connect get their first check within this time
LEASE = timedelta(minutes=2)
PLANNED_AT_ONCE = 100  # in one transaction; on SQLite no line can be stored meanwhile


class Outcome(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    REDIRECTED = "redirected"
    TURNED_AWAY = "turned-away"
    NAME_NOT_FOUND = "name-not-found"
    NAME_UNANSWERED = "name-unanswered"
    NOT_PUBLIC = "not-public"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed-out"
    HUNG_UP = "hung-up"
    NO_TLS = "no-tls"
    CERTIFICATE_EXPIRED = "cert-expired"
    CERTIFICATE_OF_ANOTHER = "cert-of-another"
    CERTIFICATE_UNTRUSTED = "cert-untrusted"
    NOT_HTTP = "not-http"
    HTTP_ERROR = "http-error"


class Meaning(NamedTuple):
    """What an outcome means to an owner.

    Attributes:
        is_ok: None if the fault may be ours; visitors then see nothing.
        advice: What the owner can do; empty if there is nothing to do.
    """

    is_ok: bool | None
    title: str
    advice: str = ""


MEANINGS: dict[Outcome, Meaning] = {
    Outcome.OK: Meaning(True, "It works"),
    Outcome.REDIRECTED: Meaning(
        True,
        "It leads elsewhere",
        "The page answers and sends visitors to another host, where we did not follow. Give that address instead.",
    ),
    Outcome.TURNED_AWAY: Meaning(
        True,
        "It answers",
        "The page turns our check away, as some do with all programs. Look yourself whether a browser gets in.",
    ),
    Outcome.NAME_NOT_FOUND: Meaning(
        False,
        "The name is not known",
        "No address belongs to this host. Is it typed right? A new name takes up to a day to be known everywhere.",
    ),
    Outcome.NAME_UNANSWERED: Meaning(
        None,
        "The name could not be looked up",
        "The name servers did not answer in time. It is tried again; if it stays so, look at those of your domain.",
    ),
    Outcome.NOT_PUBLIC: Meaning(
        False,
        "The address is not public",
        "The host is on a private network, which players cannot reach. Give the address the rest of the world sees.",
    ),
    Outcome.REFUSED: Meaning(
        False,
        "Refused",
        "The host is there, but nothing takes connections on this port. Does the game run, and listen on this port, "
        "and for other machines too?",
    ),
    Outcome.UNREACHABLE: Meaning(
        False, "No route to the host", "We found no route to it. Is the address right, and the host connected?"
    ),
    Outcome.TIMED_OUT: Meaning(
        False,
        "No answer",
        "Nothing came back in time. Often a firewall swallows connections: let this port through. Or the host is down.",
    ),
    Outcome.HUNG_UP: Meaning(
        False,
        "Hung up",
        "It took the connection and closed it without a word. Is the game still starting, or full, or does it turn "
        "unknown addresses away?",
    ),
    Outcome.NO_TLS: Meaning(
        False,
        "Not encrypted",
        "The port is open, and does not speak TLS, or none newer than 1.1. If it is the plain port, list it as telnet.",
    ),
    Outcome.CERTIFICATE_EXPIRED: Meaning(
        False,
        "The certificate expired",
        "Clients refuse it, or it is not valid yet. Renew it, load it into the game, and look at the host's clock.",
    ),
    Outcome.CERTIFICATE_OF_ANOTHER: Meaning(
        False,
        "The certificate is for another name",
        "List the name that the certificate is made for, or get one for this host.",
    ),
    Outcome.CERTIFICATE_UNTRUSTED: Meaning(
        False,
        "The certificate is not trusted",
        "It is self-signed, or the certificates between it and a known authority are missing: serve the full chain.",
    ),
    Outcome.NOT_HTTP: Meaning(
        False, "Not a web page", "Something answers that is not HTTP. Is the port the one of the web server?"
    ),
    Outcome.HTTP_ERROR: Meaning(
        False, "The page has an error", "The web server answers, and says that this page fails. Open it and see."
    ),
}


@dataclass(frozen=True, slots=True)
class Target:
    """A way to connect that a worker has claimed to check."""

    connection_id: str
    claim: str
    type: str
    url: str | None
    host: str | None
    port: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one check."""

    outcome: Outcome
    milliseconds: int
    http_status: int | None = None


def port_of(way: GameConnection) -> int:
    """Return the port that a check of a way to connect opens."""
    if way.url is None:
        return way.port or 0
    url = urlsplit(way.url)
    return url.port or check_allowances.DEFAULT_PORTS.get(url.scheme, 0)


def meaning_of(check: ConnectionCheck | None) -> Meaning | None:
    """Return the meaning of the last outcome; None if there is none yet."""
    if check is None or check.outcome is None:
        return None
    return MEANINGS[Outcome(check.outcome)]


def plan(session: Session, *, now: datetime) -> int:
    """Schedule the first checks of some ways to connect that have none, spread over SPREAD. Return how many."""
    missing = session.scalars(
        select(GameConnection.id)
        .outerjoin(ConnectionCheck, ConnectionCheck.connection_id == GameConnection.id)
        .where(ConnectionCheck.connection_id.is_(None))
        .limit(PLANNED_AT_ONCE)
    ).all()
    return sum(_make_due(session, way_id, at=now + SPREAD * random.random()) for way_id in missing)


def request(session: Session, game: Game) -> int:
    """Schedule a check of all ways to connect of a game now. Return how many are checked.

    A check that is running already is discarded and repeated: it may have begun before the owner fixed the problem.

    Raises:
        TooMany: The owner's games had too many checks within an hour.
    """
    now = utc_now()
    limited = limited_ways(session, game, now=now)
    ways = [way for way in game.connections if way.id not in limited]
    if game.connections and not ways:
        seconds = int((min(limited.values()) - now).total_seconds()) + 1
        raise TooMany(
            f"your games had too many checks within an hour: try again in {-(-seconds // 60)} minutes",
            retry_after_ms=seconds * 1000,
        )
    for way in ways:
        if not _make_due(session, way.id, at=now):
            check = session.get(ConnectionCheck, way.id)
            if check is not None:
                check.due_at, check.claim, check.lease_until = now, None, None
    announce(session, ChecksDue())
    return len(ways)


def limited_ways(session: Session, game: Game, *, now: datetime) -> dict[str, datetime]:
    """Return the ids of the ways to connect whose checks must wait, and until when: the owner's games had too many."""
    exhausted = check_allowances.exhausted(session, owner_id=game.owner_id, now=now)
    classes = {way.id: check_allowances.port_class(port_of(way)) for way in game.connections}
    return {way_id: exhausted[kind] for way_id, kind in classes.items() if kind in exhausted}


def forget(session: Session, connection_id: str) -> None:
    """Discard the check of a way that was edited, and the outcome of a check that is running."""
    check = session.get(ConnectionCheck, connection_id)
    if check is not None:
        session.delete(check)


def take_due(session: Session, *, now: datetime, at_most: int, is_limited: bool = True) -> list[Target]:
    """Claim up to `at_most` checks that are due and not running. A claim holds for LEASE.

    Args:
        is_limited: Postpone the checks of owners whose games had too many.
    """
    due = session.scalars(
        select(ConnectionCheck)
        .where(ConnectionCheck.due_at <= now)
        .where(or_(ConnectionCheck.lease_until.is_(None), ConnectionCheck.lease_until <= now))
        .order_by(ConnectionCheck.due_at)
        .limit(at_most)
        .with_for_update(skip_locked=True)  # SQLite has one writer at a time anyway
    ).all()
    ways = _ways(session, [check.connection_id for check in due])
    targets = []
    # Sorted, so that two workers cannot lock the counts in opposite order.
    for check, way in sorted(
        ((check, ways[check.connection_id]) for check in due if check.connection_id in ways),
        key=lambda pair: (pair[1].game.owner_id, check_allowances.port_class(port_of(pair[1]))),
    ):
        if is_limited:
            more_at = check_allowances.charge(session, owner_id=way.game.owner_id, port=port_of(way), now=now)
            if more_at is not None:
                check.due_at = more_at + SPREAD * random.random()
                continue
        check.claim, check.lease_until = str(uuid.uuid4()), now + LEASE
        targets.append(Target(way.id, check.claim, way.type, way.url, way.host, way.port))
    session.flush()
    return targets


def finish(session: Session, target: Target, result: Result, *, now: datetime) -> bool:
    """Store the result of a check. Return False if the way was edited or deleted meanwhile, or the claim was lost."""
    check = session.get(ConnectionCheck, target.connection_id, with_for_update=True)
    if check is None or check.claim != target.claim:
        return False
    check.claim = check.lease_until = None
    interval = AGAIN if MEANINGS[result.outcome].is_ok is None else EVERY
    check.due_at = now + interval * random.uniform(1 - JITTER, 1 + JITTER)
    check.checked_at, check.outcome = now, result.outcome.value
    check.http_status, check.milliseconds = result.http_status, result.milliseconds
    return True


def _make_due(session: Session, connection_id: str, *, at: datetime) -> bool:
    """Add a check. Return False if it exists, or another transaction adds it or deletes the way at this moment."""
    if session.get(ConnectionCheck, connection_id) is not None:
        return False
    try:
        with session.begin_nested():
            session.add(ConnectionCheck(connection_id=connection_id, due_at=at))
    except IntegrityError:
        return False
    return True


def _ways(session: Session, ids: Iterable[str]) -> dict[str, GameConnection]:
    query = select(GameConnection).where(GameConnection.id.in_(list(ids)))
    return {way.id: way for way in session.scalars(query.options(joinedload(GameConnection.game)))}
