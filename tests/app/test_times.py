"""Times on pages: elements in UTC, which a script shows in the reader's zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from app import times

AT = datetime(2025, 5, 3, 14, 5, 9, tzinfo=UTC)


def words(markup: str) -> str:
    return re.sub(r"<[^>]+>", "", markup)


def test_every_style_is_an_element_with_the_whole_time_on_hover() -> None:
    for style in (times.day, times.moment, times.ago, times.clock):
        assert style(AT).startswith(
            f'<time datetime="2025-05-03T14:05:09Z" title="2025-05-03 14:05:09 UTC" data-time="{style.__name__}">'
        )
    assert words(times.day(AT)) == "3 May 2025"
    assert words(times.moment(AT)) == "3 May 2025, 14:05 UTC"
    assert words(times.clock(AT)) == "14:05:09 UTC"
    assert words(times.ago(AT)) == "on 3 May 2025"


def test_times_of_other_zones_and_without_one() -> None:
    """Stored times have a zone; texts of the audit trail are ISO."""
    assert words(times.moment(AT.astimezone(timezone(timedelta(hours=9))))) == "3 May 2025, 14:05 UTC"
    assert words(times.moment(AT.replace(tzinfo=None))) == "3 May 2025, 14:05 UTC"
    assert words(times.moment(AT.isoformat())) == "3 May 2025, 14:05 UTC"
    assert times.day(None) == times.moment(None) == "never"


def test_how_long_ago() -> None:
    now = datetime.now(UTC)
    for seconds, expected in (
        (5, "a moment ago"),
        (65, "1 minute ago"),
        (7300, "2 hours ago"),
        (30 * 86_400, "30 days"),
    ):
        assert expected in times.ago(now - timedelta(seconds=seconds))
