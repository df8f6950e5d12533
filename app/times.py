"""Times on pages: one rule. Each is a `<time>` in UTC with the whole date on hover. `static/times.js` shows it in the
reader's zone and language, and keeps "3 minutes ago" right while the page is open.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from flask import Flask
from markupsafe import Markup

Style = Literal["day", "moment", "ago", "seconds", "clock"]

_TIME = Markup('<time datetime="{}" title="{}" data-time="{}">{}</time>')
_UNITS = (("minute", 60, 60), ("hour", 3600, 24), ("day", 86_400, 31))


def init_app(app: Flask) -> None:
    """Add the template filters."""
    for function in (day, day_words, moment, ago, seconds_ago, clock):
        app.template_filter(function.__name__)(function)


def day(when: datetime | None) -> Markup:
    """Return a date such as 3 May 2025; `never` for None."""
    if when is None:
        return Markup("never")
    return _element(when, "day", day_words(when))


def moment(when: datetime | str | None) -> Markup:
    """Return a date and a time such as `3 May 2025, 14:05 UTC`; `never` for None. Also takes an ISO text."""
    if when is None:
        return Markup("never")
    parsed = datetime.fromisoformat(when) if isinstance(when, str) else when
    return _element(parsed, "moment", f"{day_words(parsed)}, {_in_utc(parsed):%H:%M} UTC")


def ago(when: datetime) -> Markup:
    """Return how long ago something was, in words; its date if that is more than a month."""
    seconds = (datetime.now(UTC) - _in_utc(when)).total_seconds()
    for unit, size, limit in _UNITS:
        count = int(seconds // size)
        if count < limit:
            words = "a moment ago" if count < 1 else f"{count} {unit}{'' if count == 1 else 's'} ago"
            return _element(when, "ago", words)
    return _element(when, "ago", f"on {day_words(when)}")


def seconds_ago(when: datetime) -> Markup:
    """Return how long ago something was, to the second for the first minute."""
    count = int((datetime.now(UTC) - _in_utc(when)).total_seconds())
    return _element(when, "seconds", f"{max(0, count)} s ago") if count < 60 else ago(when)


def clock(when: datetime) -> Markup:
    """Return a time with its seconds, such as `14:05:09 UTC`."""
    return _element(when, "clock", f"{_in_utc(when):%H:%M:%S} UTC")


def _element(when: datetime, style: Style, words: str) -> Markup:
    utc = _in_utc(when)
    return _TIME.format(utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%Y-%m-%d %H:%M:%S UTC"), style, words)


def _in_utc(when: datetime) -> datetime:
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)


def day_words(when: datetime) -> str:
    """Return the words of `day`, for an element that the chat's scripts fill."""
    utc = _in_utc(when)
    return f"{utc.day} {utc:%B %Y}"
