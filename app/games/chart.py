"""The layout of player charts. `games/chart.html` draws the SVG, and `games.css` colours it.

A count holds until the next one, so lines are drawn in steps. They break where a game was not connected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from sqlalchemy.orm import Session

from shared.services.player_counts import QUARTER, Span, list_counts, list_days, merge_spans
from shared.times import floor

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

# The plot area in a drawing of 360 by 176 units; the template uses the same numbers. The drawing is about as wide in
# pixels, so that its text is about as large as the page's.
LEFT, RIGHT, TOP, BOTTOM = 40, 352, 10, 150
MAX_STEPS = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """A label on an axis, with the position of its tick along the axis."""

    position: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table below the chart."""

    start: datetime
    when: str
    most: int
    average: float


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws. `line` and `area` are SVG paths, empty if the game was not connected at all."""

    key: str
    title: str
    summary: str
    line: str
    area: str
    x_marks: list[Mark]
    y_marks: list[Mark]
    rows: list[Row]


def player_charts(session: Session, game_id: int, *, now: datetime) -> list[Chart]:
    """Return the charts of a game's last day, week and year; an empty list if it has no counts in that year."""
    quarter, hour, today = floor(now, QUARTER), floor(now, HOUR), floor(now, DAY)
    days = list_days(session, game_id, since=(today - 364 * DAY).date())
    if not days:
        return []
    counts = list_counts(session, game_id, since=hour + HOUR - 7 * DAY)
    last_day = [span for span in counts if span.start >= quarter + QUARTER - DAY]
    hours = merge_spans(counts, lambda moment: floor(moment, HOUR))
    return [
        draw(
            "day",
            "Last day",
            last_day,
            end=quarter + QUARTER,
            length=DAY,
            step=QUARTER,
            ticks=[(moment, f"{moment:%H:%M}") for moment in _every(6 * HOUR, quarter + QUARTER, DAY)],
            rows=_rows(merge_spans(last_day, lambda moment: floor(moment, HOUR)), lambda moment: f"{moment:%a %H:%M}"),
        ),
        draw(
            "week",
            "Last week",
            hours,
            end=hour + HOUR,
            length=7 * DAY,
            step=HOUR,
            ticks=[(moment, f"{moment:%a}") for moment in _every(DAY, hour + HOUR, 7 * DAY)],
            rows=_rows(
                merge_spans(counts, lambda moment: floor(moment, DAY)),
                lambda moment: f"{moment:%A}, {moment.day} {moment:%b}",
            ),
        ),
        draw(
            "year",
            "Last year",
            days,
            end=today + DAY,
            length=365 * DAY,
            step=DAY,
            ticks=[
                (moment, f"{moment:%b}") for moment in _months(today + DAY - 365 * DAY, today + DAY) if moment.month % 2
            ],
            rows=_rows(merge_spans(days, _month), lambda moment: f"{moment:%B %Y}"),
        ),
    ]


def draw(
    key: str,
    title: str,
    spans: Sequence[Span],
    *,
    end: datetime,
    length: timedelta,
    step: timedelta,
    ticks: Sequence[tuple[datetime, str]],
    rows: list[Row],
) -> Chart:
    """Lay out a chart of the `length` of time before `end`.

    Args:
        spans: Counts in that time, oldest first, each covering one `step`.
        ticks: The labels of the time axis.
    """
    start = end - length
    scale = y_scale(max((span.most for span in spans), default=0))

    def x(moment: datetime) -> float:
        return LEFT + (RIGHT - LEFT) * max(0.0, (moment - start) / length)

    def y(players: int) -> float:
        return BOTTOM - (BOTTOM - TOP) * players / scale[-1]

    runs = [
        [(x(span.start), x(span.start + step), y(span.most)) for span in run]
        for run in split_into_runs(spans, step=step)
    ]
    return Chart(
        key=key,
        title=title,
        summary=_summary(spans),
        line="".join(f"M{_coordinate(run[0][0])} {_coordinate(run[0][2])}{_steps(run)}" for run in runs),
        area="".join(
            f"M{_coordinate(run[0][0])} {BOTTOM}V{_coordinate(run[0][2])}{_steps(run)}V{BOTTOM}Z" for run in runs
        ),
        x_marks=[Mark(x(moment), text, "end" if x(moment) > RIGHT - 12 else "middle") for moment, text in ticks],
        y_marks=[Mark(y(players), f"{players:,}") for players in scale],
        rows=rows,
    )


def split_into_runs(spans: Sequence[Span], *, step: timedelta) -> list[list[Span]]:
    """Split spans into runs without a gap."""
    runs: list[list[Span]] = []
    for span in spans:
        if runs and runs[-1][-1].start + step == span.start:
            runs[-1].append(span)
        else:
            runs.append([span])
    return runs


def y_scale(most: int) -> list[int]:
    """Return a few round numbers from 0 up to at least `most`."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            step = size * factor
            steps = max(1, -(-most // step))
            if steps <= MAX_STEPS:
                return [step * number for number in range(steps + 1)]
        size *= 10


def _steps(run: Sequence[tuple[float, float, float]]) -> str:
    """Return the path H x V y H x … through a run, from its left end. Spans of equal height are joined."""
    path, last = "", run[0][2]
    for number, (_, right, height) in enumerate(run):
        if height != last:
            path += f"V{_coordinate(height)}"
            last = height
        if number + 1 == len(run) or run[number + 1][2] != height:
            path += f"H{_coordinate(right)}"
    return path


def _summary(spans: Sequence[Span]) -> str:
    if not spans:
        return "Not connected during this time."
    most = max(span.most for span in spans)
    average = sum(span.total for span in spans) / sum(span.counts for span in spans)
    return (
        f"At most {most:,} {'player' if most == 1 else 'players'} at once, {average:,.1f} on average while connected."
    )


def _rows(spans: Sequence[Span], label: Callable[[datetime], str]) -> list[Row]:
    return [Row(span.start, label(span.start), span.most, span.average) for span in spans]


def _every(step: timedelta, end: datetime, length: timedelta) -> list[datetime]:
    first = floor(end - length, step) + step
    return [first + number * step for number in range(-(-(end - first) // step))]


def _months(start: datetime, end: datetime) -> list[datetime]:
    months = []
    moment = _month(start)
    while (moment := _month(moment + 32 * DAY)) < end:
        months.append(moment)
    return months


def _month(moment: datetime) -> datetime:
    return datetime.combine(moment.date().replace(day=1), time(), UTC)


def _coordinate(number: float) -> str:
    """Return a coordinate in its shortest form."""
    return f"{number:.1f}".removesuffix(".0")
