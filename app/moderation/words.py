"""Moderation in words: what acts, states and lengths of time are called on pages."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Flask
from markupsafe import Markup

from shared.models.audit import AuditEntry
from shared.services.authority.audit import PublicAct, change_of
from shared.services.authority.permissions import Act

ACTS: dict[str, str] = {
    Act.CREATE_CHANNEL: "channel made",
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
    Act.DECIDE_APPEAL: "appeal decided",
    Act.EDIT_FILTERS: "filter changed",
    Act.GIVE_ROLE: "role given",
    Act.SET_PASSWORD: "password set",
    Act.GIVE_SCOPES: "scopes given",
}
"""What is written into the audit trail, in words."""

_SANCTIONS = {"warn": "warning", "mute": "mute", "ban": "ban"}
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def init_app(app: Flask) -> None:
    """Register the filters for templates."""
    app.template_filter("act")(act)
    app.template_filter("entry_act")(entry_act)
    app.template_filter("moment")(moment)
    app.template_filter("length_in_words")(length)
    app.template_filter("sanction_word")(lambda kind: _SANCTIONS.get(kind, kind))


def act(value: str) -> str:
    """An act of the audit trail in words; one that is not known as it is."""
    return ACTS.get(value, value)


def entry_act(entry: AuditEntry | PublicAct) -> str:
    """What an entry of the audit trail says was done, in words: of a filter, whether it was made, switched on …"""
    if entry.act != Act.EDIT_FILTERS:
        return act(entry.act)
    return f"filter {entry.detail['change'] if isinstance(entry, PublicAct) else change_of(entry)}"


def moment(at: datetime | str | None) -> Markup:
    """A point in time, for people and programs: `3 May 2025, 14:05 UTC`. at: a text is as the audit trail keeps it."""
    if at is None:
        return Markup("never")
    utc = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), f"{utc.day} {utc:%B %Y, %H:%M} UTC"
    )


def length(seconds: int) -> str:
    """A length of time in the largest whole units: `1 hour`, `7 days`, `1 minute 30 seconds`."""
    parts = []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts[:2]) or "0 seconds"
