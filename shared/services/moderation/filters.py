"""Filters that moderators edit: words, patterns, and limits on links, floods and repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared import validation
from shared.errors import Conflict, Invalid, NotFound
from shared.models.message import Message
from shared.models.moderation import FILTER_ACTIONS, FILTER_KINDS, Filter
from shared.protocol.types import player_key
from shared.services.authority import audit, changes
from shared.services.authority.actors import Actor
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act, require
from shared.services.moderation.filter_rules import (
    MAX_SIZE,
    PATTERN_LONGEST,
    FilterSet,
    Rule,
    Verdict,
    compile_pattern,
    size_of,
)

MAX_FILTERS = 500
PREVIEW_MESSAGES = 1_000
COUNT_MOST = 100
SECONDS_MOST = 3_600


@dataclass(frozen=True, slots=True)
class Preview:
    """A message and what a filter would have done to it."""

    message: Message
    verdict: Verdict


def create_filter(
    session: Session,
    actor: Actor,
    *,
    kind: str,
    action: str,
    text: str = "",
    count: int | None = None,
    seconds: int | None = None,
    note: str = "",
    is_on: bool = False,
) -> Filter:
    """Create a filter, off by default. See `clean` for the fields of each kind.

    Raises Forbidden, Invalid (fields `kind`, `action`, `text`, `count`, `seconds`, `note`), Conflict (too many).
    """
    require(actor, Act.EDIT_FILTERS)
    if (session.scalar(select(func.count()).select_from(Filter)) or 0) >= MAX_FILTERS:
        raise Conflict(f"there are {MAX_FILTERS} filters: delete one first", field="text")
    values = clean(kind=kind, action=action, text=text, count=count, seconds=seconds)
    _require_room(session, Rule(id=0, **values))
    stored = Filter(**values, note=_note(note), is_on=is_on, created_by=actor.name)
    session.add(stored)
    session.flush()
    _record(session, actor, stored, before=None, after=form_of(stored))
    return stored


def update_filter(
    session: Session,
    actor: Actor,
    *,
    filter_id: int,
    kind: str,
    action: str,
    text: str = "",
    count: int | None = None,
    seconds: int | None = None,
    note: str = "",
) -> Filter:
    """Replace a filter's rule and note; it stays on or off. Raises what `create_filter` raises, and NotFound."""
    require(actor, Act.EDIT_FILTERS)
    stored = _get_locked(session, filter_id)
    before = form_of(stored)
    values = clean(kind=kind, action=action, text=text, count=count, seconds=seconds)
    _require_room(session, Rule(id=filter_id, **values))
    for name, value in values.items():
        setattr(stored, name, value)
    stored.note = _note(note)
    session.flush()
    _record(session, actor, stored, before=before, after=form_of(stored))
    return stored


def switch_filter(session: Session, actor: Actor, *, filter_id: int, is_on: bool) -> Filter:
    """Turn a filter on or off. Raises Forbidden, NotFound."""
    require(actor, Act.EDIT_FILTERS)
    stored = _get_locked(session, filter_id)
    before = form_of(stored)
    stored.is_on = is_on
    session.flush()
    _record(session, actor, stored, before=before, after=form_of(stored))
    return stored


def delete_filter(session: Session, actor: Actor, *, filter_id: int) -> None:
    """Delete a filter. Raises Forbidden, NotFound."""
    require(actor, Act.EDIT_FILTERS)
    stored = _get_locked(session, filter_id)
    before = form_of(stored)
    session.delete(stored)
    session.flush()
    _record(session, actor, stored, before=before, after=None)


def get_filter(session: Session, filter_id: int) -> Filter:
    """Return the filter with this id. Raises NotFound."""
    stored = session.get(Filter, filter_id)
    if stored is None:
        raise _unknown()
    return stored


def list_filters(session: Session) -> Sequence[Filter]:
    """Return all filters: those that are on first, then by kind and text."""
    return session.scalars(select(Filter).order_by(Filter.is_on.desc(), Filter.kind, Filter.text, Filter.id)).all()


def preview(
    session: Session,
    actor: Actor,
    *,
    kind: str,
    action: str,
    text: str = "",
    count: int | None = None,
    seconds: int | None = None,
    limit: int = PREVIEW_MESSAGES,
) -> tuple[int, list[Preview]]:
    """Try a filter, which need not exist, on the last messages.

    Returns:
        How many messages were checked, and those that the filter would have changed, newest first.

    Raises Forbidden, and Invalid as `create_filter` does.
    """
    require(actor, Act.EDIT_FILTERS)
    values = clean(kind=kind, action=action, text=text, count=count, seconds=seconds)
    filter_set = FilterSet([Rule(id=0, **values)])
    last = select(Message).where(Message.redacted_at.is_(None)).order_by(Message.id.desc()).limit(limit)
    lines = session.scalars(last).all()[::-1]
    hits = []
    for line in lines:
        who, at = (line.peer, player_key(line.name)), line.sent_at.timestamp()
        verdict = filter_set.check(line.text, who=who, at=at)
        if verdict.action:
            hits.append(Preview(line, verdict))
        if verdict.action != "refuse":
            filter_set.note(line.text, who=who, at=at)
    return len(lines), hits[::-1]


def clean(*, kind: str, action: str, text: str, count: int | None, seconds: int | None) -> dict[str, Any]:
    """Return the columns of a filter. Matching never depends on case.

    Kinds `word` and `pattern` take `text`, a pattern in RE2's syntax. `link` takes `count`, how many links a line may
    have. `flood` takes `count` and `seconds`, and matches that many lines within that time. `repeat` takes both too,
    and matches lines with the same text.

    Raises:
        Invalid: The error names the field at fault.
    """
    if kind not in FILTER_KINDS:
        raise Invalid("choose a word, a pattern, or a rule on links, floods or repeats", field="kind")
    if action not in FILTER_ACTIONS:
        raise Invalid("choose flag, mask or refuse", field="action")
    if kind in ("flood", "repeat") and action == "mask":
        raise Invalid("there is nothing to mask: choose flag or refuse", field="action")
    values: dict[str, Any] = {"kind": kind, "action": action, "text": "", "count": 0, "seconds": 0}
    if kind in ("word", "pattern"):
        values["text"] = validation.line(text, field="text", longest=PATTERN_LONGEST, what=f"the {kind}")
        compile_pattern(kind, values["text"])
        return values
    values["count"] = _whole(count, "count", 0 if kind == "link" else 1, COUNT_MOST)
    if kind != "link":
        values["seconds"] = _whole(seconds, "seconds", 1, SECONDS_MOST)
    return values


def rule_of(stored: Filter) -> Rule:
    """Return the rule that workers apply."""
    return Rule(stored.id, stored.kind, stored.text, stored.count, stored.seconds, stored.action)


def form_of(stored: Filter) -> dict[str, Any]:
    """Return a filter as the audit trail stores it."""
    return {**asdict(rule_of(stored)), "is_on": stored.is_on, "note": stored.note}


def _require_room(session: Session, rule: Rule) -> None:
    """Raise Invalid (field `text`) if this rule would make all filters together, on or off, slow to compile."""
    if rule.kind not in ("word", "pattern"):
        return
    others = [rule_of(other) for other in list_filters(session) if other.id != rule.id]
    if size_of([rule, *others]) > MAX_SIZE:
        raise Invalid(
            "with this one, all filters together are too large: make it simpler (a smaller count, [a-z] for \\pL),"
            " or delete another",
            field="text",
        )


def _get_locked(session: Session, filter_id: int) -> Filter:
    """Return the filter as it is now, locked until the commit, since the audit trail records its state before."""
    stored = session.get(Filter, filter_id, with_for_update=True, populate_existing=True)
    if stored is None:
        raise _unknown()
    return stored


def _unknown() -> NotFound:
    return NotFound("there is no such filter")


def _whole(value: int | None, field: str, least: int, most: int) -> int:
    if value is None or not least <= value <= most:
        raise Invalid(f"this must be a whole number from {least} to {most:,}", field=field)
    return value


def _note(value: str) -> str:
    return validation.text(value, field="note", longest=200, what="the note")


def _record(
    session: Session, actor: Actor, stored: Filter, *, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    changes.mark(session, Part.FILTERS)
    name = f"{stored.kind} {stored.text}".strip()
    about = audit.Target("filter", f"filter:{stored.id}", name)
    # The note is only for moderators, so it is not the reason, which everybody may read.
    audit.record(session, actor, Act.EDIT_FILTERS, about, before=before, after=after)
