"""How many connection checks the games of one owner get in an hour, by class of port.

Checks connect to hosts that owners type. Without a limit, an owner could make the workers scan the ports of strangers.
Games rarely use the ports below 1,024, which belong to mail, remote shells and other services of the system.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.db import upsert
from shared.models.connection_check import CheckCount

WINDOW = timedelta(hours=1)
COMMON_PORTS = frozenset([23, 80, 443, 992])  # telnet, web, and both with TLS
DEFAULT_PORTS = {"http": 80, "https": 443}


class PortClass(StrEnum):
    """A class of ports."""

    GAME = "game"
    SYSTEM = "system"


CHECKS = {PortClass.GAME: 120, PortClass.SYSTEM: 10}
"""How many checks an owner gets in each window."""


def port_class(port: int) -> PortClass:
    """Return the class of a port."""
    return PortClass.SYSTEM if port < 1024 and port not in COMMON_PORTS else PortClass.GAME


def charge(session: Session, *, owner_id: int, port: int, now: datetime) -> datetime | None:
    """Count one check. Return None if the owner may have it, or else when the owner may have more."""
    count = _lock_count(session, owner_id, port_class(port), now=now)
    if now - count.since >= WINDOW:
        count.since, count.checks = now, 0
    if count.checks >= CHECKS[PortClass(count.port_class)]:
        return count.since + WINDOW
    count.checks += 1
    session.flush()
    return None


def exhausted(session: Session, *, owner_id: int, now: datetime) -> dict[PortClass, datetime]:
    """Return the classes of which an owner gets no more checks in this window, with the window's end."""
    counts = session.scalars(select(CheckCount).where(CheckCount.owner_id == owner_id, CheckCount.since > now - WINDOW))
    return {
        PortClass(count.port_class): count.since + WINDOW
        for count in counts
        if count.checks >= CHECKS[PortClass(count.port_class)]
    }


def _lock_count(session: Session, owner_id: int, kind: PortClass, *, now: datetime) -> CheckCount:
    """Return the row of an owner and a class, locked until the commit. Adds it if there is none."""
    key = {"owner_id": owner_id, "port_class": kind.value}
    session.execute(upsert(session, CheckCount).on_conflict_do_nothing(), [{**key, "since": now, "checks": 0}])
    return session.get_one(CheckCount, key, with_for_update=True)
