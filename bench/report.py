"""Turns the figures of a comparison into a Markdown table, a JSON file and a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.workloads import Figure


@dataclass(frozen=True)
class Column:
    """One server of the table."""

    key: str
    name: str
    version: str


@dataclass(frozen=True)
class Row:
    """One figure with its values by server key; None where a server did not take part or failed."""

    figure: Figure
    values: Mapping[str, float | None]


def ratio(row: Row, to: str, of: str = "ours") -> float | None:
    """Return the figure of one server as a multiple of another's."""
    value, base = row.values.get(of), row.values.get(to)
    return value / base if value is not None and base else None


def verdict(row: Row, names: Mapping[str, str]) -> str:
    """Say for each target of a row how it stands: `1.6 × C (at most 1.8, moonshot 1.3): reached`."""
    parts = []
    for base, (target, moonshot) in row.figure.targets.items():
        actual = ratio(row, base)
        if actual is None:
            continue
        is_less = row.figure.is_less_better
        word = "at most" if is_less else "at least"
        if (actual <= moonshot) if is_less else (actual >= moonshot):
            state = "**moonshot reached**"
        elif (actual <= target) if is_less else (actual >= target):
            state = "reached"
        else:
            state = "**missed**"
        parts.append(f"{digits(actual)} × {names[base]} ({word} {target:g}, moonshot {moonshot:g}): {state}")
    return "; ".join(parts)


def markdown(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return the table: a row for each figure, a column for each server, and how the targets stand."""
    names = {column.key: column.name for column in columns}
    has_targets = "ours" in names
    head = ["figure", *(f"**{c.name}**" if c.key == "ours" else c.name for c in columns)]
    head += ["target"] if has_targets else []
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---", *["---:"] * len(columns)]) + " |"]
    if has_targets:
        lines[1] = lines[1] + " --- |"
    for row in rows:
        unit = f" ({row.figure.unit})" if row.figure.unit else ""
        cells = [row.figure.name + unit, *(_cell(row.values.get(column.key), column.key) for column in columns)]
        cells += [verdict(row, names) or "–"] if has_targets else []
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def ratios(rows: Sequence[Row], *, base: str, now: str) -> str:
    """Return the table of two commits: both figures, and how the newer one changed."""
    lines = ["| figure | " + base + " | " + now + " | ratio | |", "| --- | ---: | ---: | ---: | --- |"]
    for row in rows:
        unit = f" ({row.figure.unit})" if row.figure.unit else ""
        change = ratio(row, "base")
        cells = [row.figure.name + unit, _cell(row.values.get("base")), _cell(row.values.get("ours"))]
        cells += ["–" if change is None else f"{change:.2f}", _judge(row.figure, change)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def as_json(columns: Sequence[Column], rows: Sequence[Row], **facts: Any) -> dict[str, Any]:
    """Return the same figures for programs."""
    return {
        **facts,
        "servers": {column.key: {"name": column.name, "version": column.version} for column in columns},
        "figures": {
            row.figure.key: {"name": row.figure.name, "unit": row.figure.unit, "values": dict(row.values)}
            for row in rows
        },
    }


SLIP = 1.15  # a change by less may be noise


def _judge(figure: Figure, change: float | None) -> str:
    if change is None or not change:
        return ""
    worse = change if figure.is_less_better else 1 / change
    return "**slower**" if worse > SLIP else "faster" if worse < 1 / SLIP else ""


def _cell(value: float | None, key: str = "") -> str:
    text = "–" if value is None else digits(value)
    return f"**{text}**" if key == "ours" and value is not None else text


def digits(value: float) -> str:
    """Return three significant digits, with separators between thousands."""
    if not value:
        return "0"
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
