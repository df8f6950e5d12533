"""Preset reasons: those of a new network, and what admins change."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from shared.conduct import RULES
from shared.errors import Conflict, Invalid, NotFound
from shared.models import AuditEntry, ReasonPreset
from shared.services.authority import audit
from shared.services.moderation import presets

pytestmark = pytest.mark.usefixtures("any_database")


def test_a_new_network_has_presets_in_the_order_of_the_rules(session):
    stored = presets.list_presets(session)
    rules = [preset.rule for preset in stored]
    assert len(stored) == 8 and rules == sorted(rules, key=list(RULES).index)
    assert stored[0].reason == "Unkind to others on the channel. Rule: Be kind to strangers."


def test_changes_are_audited_with_the_kind_of_change(session, admin):
    preset = presets.create_preset(session, admin, rule="flood", text=" Shouts. ")
    session.commit()
    assert preset.reason == "Shouts. Rule: Do not flood." and preset.changed_by == admin.name
    presets.update_preset(session, admin, preset_id=preset.id, rule="kindness", text="Shouts at people")
    session.commit()
    presets.delete_preset(session, admin, preset_id=preset.id)
    session.commit()
    entries = session.scalars(select(AuditEntry).order_by(AuditEntry.number)).all()
    assert [(entry.act, audit.change_of(entry)) for entry in entries] == [
        ("preset", "made"),
        ("preset", "changed"),
        ("preset", "removed"),
    ]
    assert [act.detail["change"] for act in audit.list_public(session).items] == ["removed", "changed", "made"]
    with pytest.raises(NotFound):
        presets.get_preset(session, preset.id)


@pytest.mark.parametrize(
    ("rule", "text", "field"),
    [("", "x", "rule"), ("x", "x", "rule"), ("flood", "", "text"), ("flood", "x" * 201, "text")],
)
def test_wrong_input_is_refused(session, admin, rule, text, field):
    for change in (
        lambda: presets.create_preset(session, admin, rule=rule, text=text),
        lambda: presets.update_preset(session, admin, preset_id=1, rule=rule, text=text),
    ):
        with pytest.raises(Invalid) as refusal:
            change()
        assert refusal.value.field == field


def test_the_longest_preset_fits_a_reason(session, admin):
    for rule in RULES:
        assert len(ReasonPreset(rule=rule, text="x" * presets.TEXT_LONGEST).reason) <= 500


def test_there_is_a_limit(session, admin, monkeypatch):
    monkeypatch.setattr(presets, "MAX_PRESETS", 9)
    presets.create_preset(session, admin, rule="flood", text="Shouts")
    with pytest.raises(Conflict, match="delete one first"):
        presets.create_preset(session, admin, rule="flood", text="Shouts more")
