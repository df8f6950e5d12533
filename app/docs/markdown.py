"""Manuals that are written in Markdown and rendered on the site: one source for both."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

NOTHING: Mapping[str, str] = MappingProxyType({})
_EXTERNAL = re.compile(r"[a-z]+:|/|#")


@dataclass(frozen=True)
class Manual:
    """A rendered manual.

    Attributes:
        title: The heading that it begins with, which is not part of the text; empty if it begins otherwise.
        text: The rest, as HTML.
        headings: The anchors and words of its sections.
    """

    title: str
    text: Markup
    headings: list[tuple[str, str]]


def render(source: str, *, links: Mapping[str, str] = NOTHING, examples: Mapping[str, str] = NOTHING) -> Manual:
    """Render a manual.

    Args:
        source: Markdown. HTML in it is shown as text.
        links: The addresses of other files that it may link to. Links to any other file become plain text.
        examples: What to replace in its code blocks, such as the address of an example network.
    """
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")
    tokens = parser.parse(source)
    title = ""
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        title, tokens = tokens[1].content, tokens[3:]
    headings = []
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            words = tokens[index + 1].content.replace("`", "")
            token.attrSet("id", slug(words))
            if token.tag == "h2":
                headings.append((slug(words), words))
        elif token.type in ("th_open", "th_close") and not tokens[index + (1 if token.nesting > 0 else -1)].content:
            token.tag = "td"  # a corner of a table; an empty heading would confuse screen readers
        elif token.type == "fence":
            for old, new in examples.items():
                token.content = token.content.replace(old, new)
        elif token.type == "inline":
            token.children = _resolve_links(token.children or [], links)
    html = Markup(parser.renderer.render(tokens, parser.options, {}))  # which escapes HTML in the source
    return Manual(title, html, headings)


def slug(heading: str) -> str:
    """Return the anchor of a heading, as common Markdown viewers generate it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _resolve_links(tokens: list[Token], links: Mapping[str, str]) -> list[Token]:
    """Replace addresses of other files, and remove links to files that the site does not show."""
    resolved: list[Token] = []
    is_removed = False
    for token in tokens:
        if token.type == "link_open":
            file, _, fragment = str(token.attrGet("href")).partition("#")
            is_removed = not _EXTERNAL.match(str(token.attrGet("href"))) and file not in links
            if file in links:
                token.attrSet("href", links[file] + (f"#{fragment}" if fragment else ""))
        if is_removed and token.type in ("link_open", "link_close"):
            is_removed = token.type == "link_open"
            continue
        resolved.append(token)
    return resolved


class _Renderer(RendererHTML):
    """Renders code blocks with a button that copies them, and tables in the style of the site."""

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        code = escape(tokens[idx].content.rstrip("\n"), quote=False)
        return (
            f'<div class="copy-box"><pre tabindex="0"><code>{code}</code></pre>\n'
            '<button type="button" class="quiet copy-button" data-what="the example">Copy'
            '<span class="unseen"> the example</span></button></div>\n'
        )

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        return '<table class="reference manual">\n'
