"""The names that pages use for moderation acts, sanctions, times and durations."""

from __future__ import annotations

from flask import Flask

from shared.db import utc_now
from shared.models.audit import AuditEntry
from shared.services.authority.audit import PublicAct, change_of
from shared.services.authority.permissions import Act

ACTS: dict[str, str] = {
    Act.CREATE_CHANNEL: "channel created",
    Act.UPDATE_CHANNEL: "channel changed",
    Act.DELETE_CHANNEL: "channel deleted",
    Act.APPROVE_CHANNEL: "channel made public",
    Act.DESCRIBE_CHANNEL: "channel described",
    Act.RENAME_CHANNEL: "channel renamed",
    Act.HIDE_CHANNEL: "channel hidden",
    Act.CLOSE_CHANNEL: "channel closed",
    Act.OPEN_CHANNEL: "channel opened again",
    Act.PAUSE: "channel paused",
    Act.RESUME: "channel resumed",
    Act.SLOW: "slow mode set",
    Act.SANCTION: "sanction",
    Act.LIFT: "sanction lifted",
    Act.UNDO: "sanction undone",
    Act.RESTORE: "sanction restored",
    Act.REDACT: "message redacted",
    Act.RESOLVE_REPORT: "report decided",
    Act.RAID: "raid protection started",
    Act.RAID_OVER: "raid protection ended",
    Act.SET_PROBATION: "probation changed",
    Act.DECIDE_APPEAL: "appeal decided",
    Act.EDIT_FILTERS: "filter changed",
    Act.EDIT_PRESETS: "preset reason changed",
    Act.GIVE_ROLE: "role changed",
    Act.SET_PASSWORD: "password set",
    Act.GIVE_SCOPES: "scopes changed",
}
"""What pages call the acts in the audit trail."""

_EDITED: dict[str, str] = {Act.EDIT_FILTERS: "filter", Act.EDIT_PRESETS: "preset reason"}
_SANCTIONS = {"warn": "warning", "mute": "mute", "ban": "ban"}
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def init_app(app: Flask) -> None:
    """Register the filters for templates."""
    app.template_filter("act")(act)
    app.template_filter("entry_act")(entry_act)
    app.template_filter("length_in_words")(duration)
    app.template_test("claimed")(lambda report: report.is_claimed_at(utc_now()))
    app.template_filter("sanction_word")(lambda kind: _SANCTIONS.get(kind, kind))


def act(value: str) -> str:
    """Return the name of an act of the audit trail; an unknown act unchanged."""
    return ACTS.get(value, value)


def entry_act(entry: AuditEntry | PublicAct) -> str:
    """Return what an entry of the audit trail did, in words, for filters and preset reasons also the kind of change."""
    edited = _EDITED.get(entry.act)
    if edited is None:
        return act(entry.act)
    return f"{edited} {entry.detail['change'] if isinstance(entry, PublicAct) else change_of(entry)}"


def duration(seconds: int) -> str:
    """Return a duration in its two largest units, such as `1 hour`, `7 days` or `1 minute 30 seconds`."""
    parts = []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts[:2]) or "0 seconds"
