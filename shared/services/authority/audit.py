"""The audit trail: one entry per act, written in the act's transaction, hashed together with the previous entry.

`record` queues an entry. At the outermost commit, a hook locks the head row and gives the entry its number, time and
hash. Entries are therefore numbered in commit order without a gap, and an act that is rolled back leaves none. No
function changes or deletes an entry, and triggers in the database refuse both.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import event, insert, or_, select
from sqlalchemy.orm import Session

from shared.db import utc_now
from shared.models.audit import AuditEntry, ModerationHead
from shared.pagination import Page, paginate
from shared.protocol.sync import canonical_json
from shared.services.authority import changes
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act

GENESIS = "0" * 64
FORMULA_SIGNS = frozenset("=+-@\u2212")
"""What formulas begin with. The last one is the minus sign."""
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that are not displayed
FIELDS = (
    "number",
    "at",
    "actor_kind",
    "actor_id",
    "actor_name",
    "actor_role",
    "act",
    "target_kind",
    "target_id",
    "target",
    "before",
    "after",
    "reason",
    "previous_hash",
)
_QUEUED = "audit_queued"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Target:
    """Whom or what an act was about.

    Attributes:
        kind: player, game, user, address, channel, message, report, appeal or filter.
        id: For programs: `game:7/bob`, `channel:3`.
        name: For people: `Bob@Tea`.
    """

    kind: str
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of `verify`.

    Attributes:
        entries: How many entries are right, counted up to the first broken one.
        head: The hash in the head row.
        broken_at: The number of the first broken entry.
        fault: changed, missing, reordered, truncated or head. See `verify`.
    """

    entries: int
    head: str
    broken_at: int | None = None
    fault: str | None = None

    @property
    def is_whole(self) -> bool:
        """Return True if no entry is broken."""
        return self.fault is None


@dataclass(frozen=True, slots=True)
class PublicAct:
    """An entry as everybody may read it: without names of actors and targets."""

    number: int
    at: datetime
    act: str
    target_kind: str
    role: str
    reason: str
    detail: dict[str, Any]


def record(
    session: Session,
    actor: Actor,
    act: Act,
    target: Target,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> None:
    """Queue an entry for the commit of this transaction. Rolling back the current savepoint drops it.

    Args:
        before, after: The target's state, as JSON values without secrets.
    """
    kind = _kind_of(actor)
    values = {
        "actor_kind": kind,
        "actor_id": None if kind == "system" else actor.id,
        "actor_name": actor.name,
        "actor_role": actor.role,
        "act": act.value,
        "target_kind": target.kind,
        "target_id": target.id,
        "target": target.name,
        "before": None if before is None else canonical_json(before).decode(),
        "after": None if after is None else canonical_json(after).decode(),
        "reason": reason,
    }
    session.info.setdefault(_QUEUED, []).append((session.get_nested_transaction(), values))


def _kind_of(actor: Actor) -> str:
    return actor.kind if actor.kind in ("user", "application") else "system"


def _prepare(session: Session) -> Callable[[ModerationHead], None] | None:
    queued = session.info.pop(_QUEUED, [])
    if not queued:
        return None

    def append(head: ModerationHead) -> None:
        for _savepoint, values in queued:
            entry = {**values, "number": head.number + 1, "at": utc_now(), "previous_hash": head.hash}
            entry["hash"] = hash_of(entry)
            session.execute(insert(AuditEntry), [entry])
            head.number, head.hash = entry["number"], entry["hash"]

    return append


changes.before_head.append(_prepare)


@event.listens_for(Session, "after_soft_rollback")
def _forget_savepoint(session: Session, rolled_back: Any) -> None:
    def is_within(savepoint: Any) -> bool:
        while savepoint is not None and savepoint is not rolled_back:
            savepoint = savepoint.parent
        return savepoint is not None

    if rolled_back.nested and _QUEUED in session.info:
        session.info[_QUEUED] = [queued for queued in session.info[_QUEUED] if not is_within(queued[0])]


@event.listens_for(Session, "after_transaction_end")
def _forget(session: Session, transaction: Any) -> None:
    if transaction.parent is None:
        session.info.pop(_QUEUED, None)


def hash_of(entry: dict[str, Any]) -> str:
    """Return the SHA-256 in hex of the entry's canonical JSON: the keys of FIELDS, the time in UTC with µs."""
    at: datetime = entry["at"]
    text = {**{field: entry[field] for field in FIELDS}, "at": _stamp(at)}
    return hashlib.sha256(canonical_json(text)).hexdigest()


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _as_dict(entry: AuditEntry) -> dict[str, Any]:
    return {field: getattr(entry, field) for field in (*FIELDS, "hash")}


def _walk(session: Session) -> Iterator[dict[str, Any]]:
    last = -(2**62)
    while page := session.scalars(
        select(AuditEntry).where(AuditEntry.number > last).order_by(AuditEntry.number).limit(_PAGE)
    ).all():
        last = page[-1].number
        rows = [_as_dict(entry) for entry in page]
        session.expunge_all()
        yield from rows


def verify(session: Session) -> Verification:
    """Check the whole chain, up to the first broken entry. Needs a `reading()` session.

    Faults: `changed`, the content does not match the hash; `missing`, an entry before it is gone; `reordered`, it does
    not follow the previous entry; `truncated`, entries at the end are gone; `head`, the head row has another hash.
    """
    head_number, head_hash = session.execute(select(ModerationHead.number, ModerationHead.hash)).one()
    count, previous = 0, GENESIS
    for entry in _walk(session):
        if entry["number"] != count + 1:
            return Verification(count, head_hash, count + 1, "missing")
        if hash_of(entry) != entry["hash"]:
            return Verification(count, head_hash, entry["number"], "changed")
        if entry["previous_hash"] != previous:
            return Verification(count, head_hash, entry["number"], "reordered")
        count, previous = count + 1, entry["hash"]
    if count < head_number:
        return Verification(count, head_hash, count + 1, "truncated")
    if count != head_number or previous != head_hash:
        return Verification(count, head_hash, max(count, 1), "head")
    return Verification(count, head_hash)


def list_entries(
    session: Session, *, search: str = "", act: str = "", about: str = "", page: int = 1, per_page: int = 50
) -> Page[AuditEntry]:
    """Return entries, newest first.

    Args:
        search: Part of a target, an actor's name or a reason.
        about: The id of a target, or part of its name. Includes acts from when it had another name.
    """
    statement = select(AuditEntry).order_by(AuditEntry.number.desc())
    if text := search.strip():
        columns = (AuditEntry.target, AuditEntry.actor_name, AuditEntry.reason)
        statement = statement.where(or_(*(column.icontains(text, autoescape=True) for column in columns)))
    if act:
        statement = statement.where(AuditEntry.act == act)
    if about := about.strip():
        named = select(AuditEntry.target_id).where(AuditEntry.target.icontains(about, autoescape=True))
        statement = statement.where(or_(AuditEntry.target_id == about.lower(), AuditEntry.target_id.in_(named)))
    return paginate(session, statement, page=page, per_page=per_page)


def list_of(session: Session, actor: Actor, act: Act, target: Target) -> list[AuditEntry]:
    """Return the entries of one act that the actor did to a target, oldest first."""
    statement = select(AuditEntry).where(
        AuditEntry.target_id == target.id,
        AuditEntry.act == act.value,
        AuditEntry.actor_kind == _kind_of(actor),
        AuditEntry.actor_id == actor.id,
    )
    return list(session.scalars(statement.order_by(AuditEntry.number)))


def entries_since(session: Session, number: int, *, limit: int = 100) -> list[AuditEntry]:
    """Return the entries after a number, oldest first."""
    statement = select(AuditEntry).where(AuditEntry.number > number).order_by(AuditEntry.number).limit(limit)
    return list(session.scalars(statement))


def list_public(session: Session, *, page: int = 1, per_page: int = 50) -> Page[PublicAct]:
    """Return the trail for everybody, newest first, without names of actors and targets."""
    entries = list_entries(session, page=page, per_page=per_page)
    return Page([_public(entry) for entry in entries.items], entries.page, entries.per_page, entries.total)


_PUBLIC_DETAILS = ("kind", "until", "seconds", "slow_seconds", "action", "state")


def change_of(entry: AuditEntry) -> str:
    """Return what an entry did to a filter or a preset reason: made, changed, switched on, switched off or removed."""
    if entry.before is None or entry.after is None:
        return "made" if entry.before is None else "removed"
    was_on, is_on = (json.loads(form).get("is_on") for form in (entry.before, entry.after))
    return "changed" if was_on == is_on else f"switched {'on' if is_on else 'off'}"


def _public(entry: AuditEntry) -> PublicAct:
    after = json.loads(entry.after) if entry.after else {}
    detail = {name: after[name] for name in _PUBLIC_DETAILS if name in after}
    if entry.act in (Act.EDIT_FILTERS, Act.EDIT_PRESETS):
        detail["change"] = change_of(entry)
    return PublicAct(entry.number, entry.at, entry.act, entry.target_kind, entry.actor_role, entry.reason, detail)


def export_json(session: Session) -> Iterator[str]:
    """Yield the whole trail as one JSON array, oldest first, for a streaming response.

    `before` and `after` are objects or null. The hash covers their canonical text (sorted keys, no spaces).
    """
    yield "["
    for number, entry in enumerate(_walk(session)):
        forms = {name: json.loads(entry[name]) if entry[name] else None for name in ("before", "after")}
        yield (",\n" if number else "\n") + json.dumps({**_exported(entry), **forms}, ensure_ascii=False)
    yield "\n]\n"


def export_csv(session: Session) -> Iterator[str]:
    """Yield the whole trail as CSV with a header, with cells escaped that a spreadsheet would run as formulas."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow((*FIELDS, "hash"))
    for entry in _walk(session):
        writer.writerow([_safe_cell(value) for value in _exported(entry).values()])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    if rest := buffer.getvalue():
        yield rest


def _exported(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "at": _stamp(entry["at"])}


def _safe_cell(value: object) -> object:
    """Prefix text that starts like a formula with an apostrophe.

    Spreadsheets skip white space and invisible characters before a formula, and some read full-width signs as ASCII.
    """
    if not isinstance(value, str):
        return value
    first = next((character for character in value if not _is_invisible(character)), "")
    is_formula = unicodedata.normalize("NFKC", first)[:1] in FORMULA_SIGNS or value[:1] in ("\t", "\r", "\n")
    return "'" + value if is_formula else value


def _is_invisible(character: str) -> bool:
    return character.isspace() or character in _FILLERS or unicodedata.category(character) in ("Cc", "Cf", "Mn", "Me")
