"""Filters that moderators edit: words, patterns, rules on links, floods and repeats; what they would have done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.errors import Conflict, Invalid, NotFound
from shared.models.message import Message
from shared.models.moderation import FILTER_ACTIONS, FILTER_KINDS, Filter
from shared.protocol.types import player_key
from shared.services import validation
from shared.services.authority import audit, changes
from shared.services.authority.actors import Actor
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act, require
from shared.services.moderation.filter_rules import (
    PATTERN_LONGEST,
    SIZE_AT_MOST,
    FilterSet,
    Rule,
    Verdict,
    compile_pattern,
    size_of,
)

FILTERS_AT_MOST = 500
PREVIEW_MESSAGES = 1_000
COUNT_MOST = 100
SECONDS_MOST = 3_600


@dataclass(frozen=True, slots=True)
class Preview:
    """What a filter would have done to a message."""

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
    """Make a filter, off unless asked for. See `clean` for what each kind takes.

    Raises Forbidden, Invalid (fields `kind`, `action`, `text`, `count`, `seconds`, `note`), Conflict (too many).
    """
    require(actor, Act.EDIT_FILTERS)
    if (session.scalar(select(func.count()).select_from(Filter)) or 0) >= FILTERS_AT_MOST:
        raise Conflict(f"there are {FILTERS_AT_MOST} filters already: delete one first", field="text")
    values = clean(kind=kind, action=action, text=text, count=count, seconds=seconds)
    _require_room(session, Rule(id=0, **values))
    made = Filter(**values, note=_note(note), is_on=is_on, created_by=actor.name)
    session.add(made)
    session.flush()
    _record(session, actor, made, before=None, after=form_of(made))
    return made


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
    """Replace all of a filter but whether it is on. Raises as `create_filter` does, and NotFound."""
    require(actor, Act.EDIT_FILTERS)
    found = _get_locked(session, filter_id)
    before = form_of(found)
    values = clean(kind=kind, action=action, text=text, count=count, seconds=seconds)
    _require_room(session, Rule(id=filter_id, **values))
    for name, value in values.items():
        setattr(found, name, value)
    found.note = _note(note)
    session.flush()
    _record(session, actor, found, before=before, after=form_of(found))
    return found


def switch_filter(session: Session, actor: Actor, *, filter_id: int, is_on: bool) -> Filter:
    """Turn a filter on or off. Raises Forbidden, NotFound."""
    require(actor, Act.EDIT_FILTERS)
    found = _get_locked(session, filter_id)
    before = form_of(found)
    found.is_on = is_on
    session.flush()
    _record(session, actor, found, before=before, after=form_of(found))
    return found


def delete_filter(session: Session, actor: Actor, *, filter_id: int) -> None:
    """Delete a filter. Raises Forbidden, NotFound."""
    require(actor, Act.EDIT_FILTERS)
    found = _get_locked(session, filter_id)
    before = form_of(found)
    session.delete(found)
    session.flush()
    _record(session, actor, found, before=before, after=None)


def get_filter(session: Session, filter_id: int) -> Filter:
    """The filter of this id. Raises NotFound."""
    found = session.get(Filter, filter_id)
    if found is None:
        raise _unknown()
    return found


def list_filters(session: Session) -> Sequence[Filter]:
    """Every filter: those that are on first, then by kind and text."""
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
    """How many of the last messages were looked at, and what the filter would have done to which, newest first.

    It need not exist. Raises Forbidden, Invalid as `create_filter` does.
    """
    require(actor, Act.EDIT_FILTERS)
    values = clean(kind=kind, action=action, text=text, count=count, seconds=seconds)
    tried = FilterSet([Rule(id=0, **values)])
    last = select(Message).where(Message.redacted_at.is_(None)).order_by(Message.id.desc()).limit(limit)
    lines = session.scalars(last).all()[::-1]
    hits = []
    for line in lines:
        who, at = (line.peer, player_key(line.name)), line.sent_at.timestamp()
        verdict = tried.check(line.text, who=who, at=at)
        if verdict.action:
            hits.append(Preview(line, verdict))
        if verdict.action != "refuse":
            tried.note(line.text, who=who, at=at)
    return len(lines), hits[::-1]


def clean(*, kind: str, action: str, text: str, count: int | None, seconds: int | None) -> dict[str, Any]:
    """The columns of a filter. word, pattern: `text` (a pattern in RE2's syntax). link: `count`, the links a line may
    have. flood, repeat: `count` lines (the same one) in `seconds` are too many. Case never matters.

    Raises Invalid with the field at fault.
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


def rule_of(found: Filter) -> Rule:
    """A filter as it is applied."""
    return Rule(found.id, found.kind, found.text, found.count, found.seconds, found.action)


def form_of(found: Filter) -> dict[str, Any]:
    """A filter as the audit trail keeps it."""
    return {**asdict(rule_of(found)), "is_on": found.is_on, "note": found.note}


def _require_room(session: Session, wanted: Rule) -> None:
    """Raise Invalid (field `text`) if all filters, those that are off too, would be slow to compile with this one."""
    if wanted.kind not in ("word", "pattern"):
        return
    others = [rule_of(found) for found in list_filters(session) if found.id != wanted.id]
    if size_of([wanted, *others]) > SIZE_AT_MOST:
        raise Invalid(
            "all filters together are too large with this one: write it more simply (a shorter count, [a-z] for \\pL),"
            " or delete another",
            field="text",
        )


def _get_locked(session: Session, filter_id: int) -> Filter:
    """The filter as it is now, locked until the commit: what it was before the act is written down. Raises NotFound."""
    found = session.get(Filter, filter_id, with_for_update=True, populate_existing=True)
    if found is None:
        raise _unknown()
    return found


def _unknown() -> NotFound:
    return NotFound("there is no such filter")


def _whole(value: int | None, field: str, least: int, most: int) -> int:
    if value is None or not least <= value <= most:
        raise Invalid(f"this must be a whole number from {least} to {most:,}", field=field)
    return value


def _note(value: str) -> str:
    return validation.text(value, field="note", longest=200, what="the note")


def _record(
    session: Session, actor: Actor, found: Filter, *, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    changes.mark(session, Part.FILTERS)
    name = f"{found.kind} {found.text}".strip()
    about = audit.Target("filter", f"filter:{found.id}", name)
    # The note is for moderators, and in the entry's forms; its reason would be public.
    audit.record(session, actor, Act.EDIT_FILTERS, about, before=before, after=after)
