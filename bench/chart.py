"""Draws bars as SVG: a panel for each figure, and a bar for each server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log10

WIDTH = 880
LABEL = 270
BAR = 16
GAP = 6
HEAD = 34


@dataclass(frozen=True)
class Panel:
    """One figure.

    Attributes:
        bars: A name and a value for each server; the value's text is written beside its bar.
    """

    title: str
    bars: Sequence[tuple[str, float, str]]


def draw(title: str, panels: Sequence[Panel], *, highlighted: str) -> str:
    """Return one SVG image. Uses the colours of the page where the browser says that it is dark.

    Args:
        highlighted: The name whose bars are drawn in the accent colour.
    """
    parts = []
    top = 44
    for panel in panels:
        parts.append(f'<text x="0" y="{top + 20}" class="head">{escape(panel.title)}</text>')
        top += HEAD
        room = WIDTH - LABEL - 90
        lengths = scale([value for _, value, _ in panel.bars], room)
        for (name, _, text), length in zip(panel.bars, lengths, strict=True):
            kind = "own" if name == highlighted else "bar"
            middle = top + BAR - 4
            parts += [
                f'<text x="{LABEL - 8}" y="{middle}" class="name {kind}-name">{escape(name)}</text>',
                f'<rect x="{LABEL}" y="{top}" width="{length:.1f}" height="{BAR}" class="{kind}"/>',
                f'<text x="{LABEL + length + 6:.1f}" y="{middle}">{escape(text)}</text>',
            ]
            top += BAR + GAP
        top += GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}" '
        f'role="img" aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<rect class="page" width="{WIDTH}" height="{top}"/>'
        f'<text x="0" y="22" class="title">{escape(title)}</text>' + "".join(parts) + "</svg>\n"
    )


STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.title{font-size:17px;font-weight:600}.head{font-weight:600}"
    ".name{text-anchor:end}.own-name{font-weight:600}.bar{fill:#9aa5b1}.own{fill:#1d6fb8}.page{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#e6e6e6}.bar{fill:#6b7683}.own{fill:#5aa9ec}.page{fill:#16181d}}"
)
WIDE = 30.0


def scale(values: Sequence[float], room: float) -> list[float]:
    """Return the lengths of bars: proportional, or logarithmic if the largest value is over WIDE times the smallest."""
    positive = [value for value in values if value > 0]
    if not positive:
        return [0.0 for _ in values]
    least, most = min(positive), max(positive)
    if most / least <= WIDE:
        return [room * max(0.0, value) / most for value in values]
    low, high = log10(least) - 0.5, log10(most)
    return [room * (log10(value) - low) / (high - low) if value > 0 else 0.0 for value in values]
