"""The audit trail: each act one entry, written in the transaction of the act, hashed over the entry before it.

`record` queues an entry; at the outermost commit the head row is locked, then the entry gets its number, its time and
its hash. So entries are numbered in the order in which they can be seen, without a gap, however many write at once; and
an act that is rolled back leaves none. No function changes or removes an entry, and the database refuses it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
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
    """Whom or what an act was done to. kind: player, game, user, address, channel, message, report, appeal, filter.

    id: for programs (`game:7/bob`, `channel:3`). name: in words (`Bob@Tea`).
    """

    kind: str
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found. broken_at: the number of the first broken entry; fault: changed, missing, reordered,
    truncated or head."""

    entries: int
    head: str
    broken_at: int | None = None
    fault: str | None = None

    @property
    def is_whole(self) -> bool:
        """True if nothing is wrong."""
        return self.fault is None


@dataclass(frozen=True, slots=True)
class PublicAct:
    """An entry as everybody may read it: what was done to what kind of thing, why, and by whom as what."""

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
    """Queue the entry of an act for the end of this transaction. before, after: what JSON can say, no secrets.

    Inside a savepoint that is rolled back it is forgotten with it.
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
    """SHA-256, hex, of the entry's canonical JSON: the keys of FIELDS, the time in UTC with microseconds."""
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
    """Walk the chain from its beginning, in a `reading()` session; stop at the first entry that is broken.

    changed: its content is not what was hashed. missing: the number before it is not there. reordered: it does not
    follow the entry before it. truncated: entries at the end are gone. head: the head's hash is another.
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
    """Entries, the newest first. search: in targets, names of who acted and reasons. about: the id of a target, or a
    part of its name; what was done while it had another name is found too."""
    statement = select(AuditEntry).order_by(AuditEntry.number.desc())
    if wanted := search.strip():
        columns = (AuditEntry.target, AuditEntry.actor_name, AuditEntry.reason)
        statement = statement.where(or_(*(column.icontains(wanted, autoescape=True) for column in columns)))
    if act:
        statement = statement.where(AuditEntry.act == act)
    if about := about.strip():
        named = select(AuditEntry.target_id).where(AuditEntry.target.icontains(about, autoescape=True))
        statement = statement.where(or_(AuditEntry.target_id == about.lower(), AuditEntry.target_id.in_(named)))
    return paginate(session, statement, page=page, per_page=per_page)


def list_of(session: Session, actor: Actor, act: Act, target: Target) -> list[AuditEntry]:
    """The entries of one act that somebody did to a target, oldest first."""
    statement = select(AuditEntry).where(
        AuditEntry.target_id == target.id,
        AuditEntry.act == act.value,
        AuditEntry.actor_kind == _kind_of(actor),
        AuditEntry.actor_id == actor.id,
    )
    return list(session.scalars(statement.order_by(AuditEntry.number)))


def entries_since(session: Session, number: int, *, limit: int = 100) -> list[AuditEntry]:
    """The entries after a number, oldest first."""
    statement = select(AuditEntry).where(AuditEntry.number > number).order_by(AuditEntry.number).limit(limit)
    return list(session.scalars(statement))


def list_public(session: Session, *, page: int = 1, per_page: int = 50) -> Page[PublicAct]:
    """The trail for everybody, the newest first: nobody's name, neither of who acted nor of whom it was about."""
    found = list_entries(session, page=page, per_page=per_page)
    return Page([_public(entry) for entry in found.items], found.page, found.per_page, found.total)


_PUBLIC_DETAILS = ("kind", "until", "seconds", "slow_seconds", "action", "state")


def change_of(entry: AuditEntry) -> str:
    """What happened to a thing that comes and goes: made, changed, switched on, switched off or removed."""
    if entry.before is None or entry.after is None:
        return "made" if entry.before is None else "removed"
    was_on, is_on = (json.loads(form).get("is_on") for form in (entry.before, entry.after))
    return "changed" if was_on == is_on else f"switched {'on' if is_on else 'off'}"


def _public(entry: AuditEntry) -> PublicAct:
    after = json.loads(entry.after) if entry.after else {}
    detail = {name: after[name] for name in _PUBLIC_DETAILS if name in after}
    if entry.act == Act.EDIT_FILTERS:
        detail["change"] = change_of(entry)
    return PublicAct(entry.number, entry.at, entry.act, entry.target_kind, entry.actor_role, entry.reason, detail)


def export_json(session: Session) -> Iterator[str]:
    """The whole trail as one JSON array, in pieces, the oldest first; for a response that streams.

    before, after: objects, or null. What is hashed is their canonical text (keys in order, no spaces).
    """
    yield "["
    for number, entry in enumerate(_walk(session)):
        forms = {name: json.loads(entry[name]) if entry[name] else None for name in ("before", "after")}
        yield (",\n" if number else "\n") + json.dumps({**_exported(entry), **forms}, ensure_ascii=False)
    yield "\n]\n"


def export_csv(session: Session) -> Iterator[str]:
    """The whole trail as CSV with a head line, in pieces. Cells that a spreadsheet would run are made text."""
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
    """A text that begins as a formula would gets an apostrophe before it, as do those hidden behind white space."""
    if isinstance(value, str) and (value.lstrip()[:1] in ("=", "+", "-", "@") or value[:1] in ("\t", "\r", "\n")):
        return "'" + value
    return value
