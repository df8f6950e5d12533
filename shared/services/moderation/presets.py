"""Preset reasons for sanctions and redactions, which admins edit. Each cites a rule of conduct."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared import validation
from shared.conduct import RULES
from shared.errors import Conflict, Invalid, NotFound
from shared.models.moderation import ReasonPreset
from shared.services.authority import audit
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require

MAX_PRESETS = 50
TEXT_LONGEST = 200


def list_presets(session: Session) -> list[ReasonPreset]:
    """Return all presets in the order of the rules that they cite."""
    order = list(RULES)
    presets = session.scalars(select(ReasonPreset).order_by(ReasonPreset.id)).all()
    return sorted(presets, key=lambda preset: order.index(preset.rule))


def get_preset(session: Session, preset_id: int) -> ReasonPreset:
    """Return the preset with this id. Raises NotFound."""
    preset = session.get(ReasonPreset, preset_id)
    if preset is None:
        raise _unknown()
    return preset


def create_preset(session: Session, actor: Actor, *, rule: str, text: str) -> ReasonPreset:
    """Add a preset. Raises Forbidden, Invalid (`rule`, `text`), Conflict (field `text`: there are too many)."""
    require(actor, Act.EDIT_PRESETS)
    if (session.scalar(select(func.count()).select_from(ReasonPreset)) or 0) >= MAX_PRESETS:
        raise Conflict(f"there are {MAX_PRESETS} reasons: delete one first", field="text")
    preset = ReasonPreset(rule=rule_of(rule), text=text_of(text), changed_by=actor.name)
    session.add(preset)
    session.flush()
    _record(session, actor, preset, before=None, after=form_of(preset))
    return preset


def update_preset(session: Session, actor: Actor, *, preset_id: int, rule: str, text: str) -> ReasonPreset:
    """Change a preset. Sanctions that used it keep their reason. Raises Forbidden, NotFound, Invalid."""
    require(actor, Act.EDIT_PRESETS)
    preset = _get_locked(session, preset_id)
    before = form_of(preset)
    preset.rule, preset.text, preset.changed_by = rule_of(rule), text_of(text), actor.name
    session.flush()
    _record(session, actor, preset, before=before, after=form_of(preset))
    return preset


def delete_preset(session: Session, actor: Actor, *, preset_id: int) -> None:
    """Delete a preset. Sanctions that used it keep their reason. Raises Forbidden, NotFound."""
    require(actor, Act.EDIT_PRESETS)
    preset = _get_locked(session, preset_id)
    before = form_of(preset)
    session.delete(preset)
    session.flush()
    _record(session, actor, preset, before=before, after=None)


def rule_of(value: object) -> str:
    """Return the name of a rule of conduct. Raises Invalid (field `rule`)."""
    if value not in RULES:
        raise Invalid("choose a rule of conduct", field="rule")
    return str(value)


def text_of(value: object) -> str:
    """Return the text of a preset: one line of 1 to 200 characters. Raises Invalid (field `text`)."""
    return validation.line(value, field="text", longest=TEXT_LONGEST, what="the reason")


def form_of(preset: ReasonPreset) -> dict[str, Any]:
    """Return a preset as the audit trail stores it."""
    return {"rule": preset.rule, "text": preset.text}


def _record(
    session: Session,
    actor: Actor,
    preset: ReasonPreset,
    *,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    about = audit.Target("preset", f"preset:{preset.id}", preset.text)
    audit.record(session, actor, Act.EDIT_PRESETS, about, before=before, after=after)


def _get_locked(session: Session, preset_id: int) -> ReasonPreset:
    preset = session.scalar(
        select(ReasonPreset)
        .where(ReasonPreset.id == preset_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if preset is None:
        raise _unknown()
    return preset


def _unknown() -> NotFound:
    return NotFound("there is no such reason")
