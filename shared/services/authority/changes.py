"""Count the commits that change what workers enforce, and signal each one.

The hook below runs after the hook of the log of changes, so that transactions always take their locks in the same
order: the counters first, the head row of moderation last.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from sqlalchemy import event, select
from sqlalchemy.orm import Session

import shared.sync  # noqa: F401 -- its hook must be registered first
from shared.bus import announce
from shared.models.audit import ModerationHead
from shared.outermost_commit import is_outermost_commit
from shared.signals import ModerationChanged

HEAD = 1


class Part(StrEnum):
    """A part of the moderation state that workers can read again by itself."""

    SANCTIONS = "sanctions"
    FILTERS = "filters"
    CHANNELS = "channels"
    MUTES = "mutes"
    PEOPLE = "people"
    APPLICATIONS = "applications"
    SAFEGUARDS = "safeguards"


_MARKED = "moderation_parts"
before_head: list[Callable[[Session], Callable[[ModerationHead], None] | None]] = []
"""Called at the outermost commit. What they return is called once the head row is locked."""


def mark(session: Session, part: Part) -> None:
    """Tell workers to read a part again after the commit."""
    session.info.setdefault(_MARKED, set()).add(part)


@event.listens_for(Session, "before_commit")
def _move_head(session: Session) -> None:
    if not is_outermost_commit(session):
        return
    parts: set[Part] = session.info.pop(_MARKED, set())
    appends = [append for prepare in before_head if (append := prepare(session)) is not None]
    if not parts and not appends:
        return
    head = session.scalars(
        select(ModerationHead)
        .where(ModerationHead.id == HEAD)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    for append in appends:
        append(head)
    head.revision += 1
    session.flush()
    announce(session, ModerationChanged(head.revision, sorted(parts)))


@event.listens_for(Session, "after_transaction_end")
def _forget(session: Session, transaction: Any) -> None:
    if transaction.parent is None:
        session.info.pop(_MARKED, None)


def revision(session: Session) -> tuple[int, int]:
    """Return how often what workers enforce has changed, and the number of the last entry of the audit trail."""
    row = session.execute(select(ModerationHead.revision, ModerationHead.number)).one()
    return row.revision, row.number
