"""Internal notes of moderators about reports and people. They inform other moderators, and have no effect."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared import validation
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.models.staff_note import StaffNote
from shared.services.authority.actors import Actor, Role
from shared.services.authority.permissions import Act, require

TEXT_LONGEST = 1_000
MAX_NOTES = 200


def add_note(session: Session, actor: Actor, *, about: str, text: str) -> StaffNote:
    """Add a note. The caller has checked that what it is about exists.

    Args:
        about: A report (`report:12`), or the id of a sanction's target (`Target.id`).

    Raises Forbidden, Invalid (`text`), Conflict (too many notes about this).
    """
    require(actor, Act.NOTE)
    text = validation.text(text, field="text", longest=TEXT_LONGEST, what="the note")
    if not text:
        raise Invalid("write a note", field="text")
    if len(list_notes(session, actor, [about])) >= MAX_NOTES:
        raise Conflict(f"there are already {MAX_NOTES} notes about this: delete old ones", field="text")
    note = StaffNote(about=about, text=text, author_id=actor.id, author_name=actor.name)
    session.add(note)
    session.flush()
    return note


def list_notes(session: Session, actor: Actor, about: Sequence[str]) -> list[StaffNote]:
    """Return the notes about any of these, newest first. Raises Forbidden."""
    require(actor, Act.SEE)
    notes = select(StaffNote).where(StaffNote.about.in_(about)).order_by(StaffNote.id.desc())
    return list(session.scalars(notes.limit(MAX_NOTES)))


def delete_note(session: Session, actor: Actor, *, note_id: int) -> StaffNote:
    """Delete a note: one's own, or as an admin any. Raises Forbidden, NotFound."""
    require(actor, Act.NOTE)
    note = session.get(StaffNote, note_id)
    if note is None:
        raise NotFound("there is no such note")
    if not may_delete(actor, note):
        raise Forbidden("only its author or an admin may delete a note")
    session.delete(note)
    return note


def may_delete(actor: Actor, note: StaffNote) -> bool:
    """Return whether the actor may delete a note."""
    return bool(actor.roles & {Role.ADMIN, Role.OPERATOR}) or (actor.id is not None and note.author_id == actor.id)
