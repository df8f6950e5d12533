"""The search over the documentation: a few dozen sections, kept in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser

from markupsafe import Markup, escape

MAX_RESULTS = 30
EXCERPT_BEFORE = 60
EXCERPT_LENGTH = 240
_HEADINGS = ("h1", "h2", "h3", "h4")
_SKIPPED = ("nav", "button", "script")


@dataclass
class Section:
    """The text under one heading, or in one row of a table that has an address of its own."""

    page: str
    title: str
    address: str
    text: str = ""


@dataclass(frozen=True)
class Result:
    """A section that contains all words of a search."""

    section: Section
    excerpt: Markup


def split(page: str, address: str, html: str) -> list[Section]:
    """Return the sections of a page's HTML, from the element with the id `docs-text`."""
    reader = _Reader(page, address)
    reader.feed(html)
    return [section for section in reader.sections if section.title or section.text.strip()]


def find(sections: Iterable[Section], search: str) -> list[Result]:
    """Return the sections that contain every word of the search, best first."""
    words = search.casefold().split()
    if not words:
        return []
    ranked = []
    for position, section in enumerate(sections):
        title, everything = section.title.casefold(), f"{section.page} {section.title} {section.text}".casefold()
        if all(word in everything for word in words):
            rank = (title != " ".join(words), -sum(word in title for word in words), position)
            ranked.append((rank, section))
    ranked.sort(key=lambda pair: pair[0])
    return [Result(section, _excerpt(section.text, words)) for _, section in ranked[:MAX_RESULTS]]


def _excerpt(text: str, words: list[str]) -> Markup:
    """Return the text around the first word that occurs in it, with all words marked."""
    text = " ".join(text.split())
    folded = text.casefold()
    if len(folded) != len(text):  # a few letters fold into two; then positions would be wrong
        folded = text.lower() if len(text.lower()) == len(text) else text
    first = min((found for word in words if (found := folded.find(word)) >= 0), default=0)
    start = max(0, first - EXCERPT_BEFORE)
    if start:
        start = text.find(" ", start, first) + 1 or start
    end = min(len(text), start + EXCERPT_LENGTH)
    parts: list[Markup] = [Markup("… ")] if start else []
    while start < end:
        hits = [(found, word) for word in words if (found := folded.find(word, start, end)) >= 0]
        if not hits:
            break
        found, word = min(hits)
        parts += [escape(text[start:found]), Markup("<mark>{}</mark>").format(text[found : found + len(word)])]
        start = found + len(word)
    parts.append(escape(text[start:end]))
    if end < len(text):
        parts.append(Markup(" …"))
    return Markup("").join(parts)


class _Reader(HTMLParser):
    def __init__(self, page: str, address: str) -> None:
        super().__init__()
        self.sections: list[Section] = []
        self._page = page
        self._address = address
        self._depth = 0  # of `div` inside the text; 0 is outside
        self._skipped = 0
        self._is_in_heading = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id") == "docs-text":
            self._depth = 1
            self.sections.append(Section(self._page, self._page, self._address))
            return
        if not self._depth:
            return
        self._depth += tag == "div"
        self._skipped += tag in _SKIPPED
        if anchor := values.get("id"):
            if tag in _HEADINGS:
                self._is_in_heading = True
                self.sections.append(Section(self._page, "", f"{self._address}#{anchor}"))
            elif tag == "tr":
                self.sections.append(Section(self._page, anchor, f"{self._address}#{anchor}"))

    def handle_endtag(self, tag: str) -> None:
        if not self._depth:
            return
        self._depth -= tag == "div"
        self._skipped -= tag in _SKIPPED
        if tag in _HEADINGS:
            self._is_in_heading = False

    def handle_data(self, data: str) -> None:
        if not self._depth or self._skipped:
            return
        if self._is_in_heading:
            self.sections[-1].title += data
        else:
            self.sections[-1].text += f" {data}"
