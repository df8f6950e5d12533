"""Chat text as HTML, with web addresses as links. `chat-lines.js` must do the same."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

from flask import request, url_for
from markupsafe import Markup, escape

from shared import grapevine
from shared.models.message import Message

LINES_KEPT = 5_000

_ADDRESS = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_TRAILING = ".,;:!?*_~"
_PAIRS = {")": "(", "]": "[", "}": "{"}
_LINK = Markup('<a href="{}" rel="nofollow noopener ugc" target="_blank">{}</a>')

_LINE = Markup(
    '<li class="line" data-id="{}"><time datetime="{:%Y-%m-%dT%H:%M:%SZ}">{:%H:%M}</time>\n'
    '<p><b class="who">{}</b><span class="from">@{}</span> <span class="said">{}</span>{}</p></li>'
)
_REPORT = Markup(' <a class="report" href="{}">report<span class="unseen"> what {} said</span></a>')


def line_html(message: Message) -> Markup:
    """Return a line of the chat. Remembers the last lines: everyone who opens a channel reads the same ones."""
    return _line_html(request.root_path, message.id, message.sent_at, message.name, message.game, message.text)


@lru_cache(LINES_KEPT)
def _line_html(_root: str, message_id: int, sent_at: datetime, name: str, game: str, text: str) -> Markup:
    is_system = (name, game) == (grapevine.SYSTEM, grapevine.SHORT_NAME)
    report = "" if is_system else _REPORT.format(url_for("reports.new", message=message_id), name)
    return _LINE.format(message_id, sent_at, sent_at, name, game, linked(text), report)


def linked(text: str) -> Markup:
    """Return the text with web addresses as links and everything else escaped."""
    pieces: list[str] = []
    end = 0
    for match in _ADDRESS.finditer(text):
        address = _without_punctuation(match[0])
        if "://" not in address or len(address) <= len("https://"):
            continue
        pieces += [escape(text[end : match.start()]), _LINK.format(address, address)]
        end = match.start() + len(address)
    pieces.append(escape(text[end:]))
    return Markup("").join(pieces)


def _without_punctuation(address: str) -> str:
    """Remove punctuation that belongs to the sentence, and closing brackets that were opened before the address.

    Brackets are counted only once, so that a line full of them takes linear time.
    """
    unpaired = {closing: address.count(closing) - address.count(opening) for closing, opening in _PAIRS.items()}
    end = len(address)
    while end:
        last = address[end - 1]
        if unpaired.get(last, 0) > 0:
            unpaired[last] -= 1
        elif last not in _TRAILING:
            break
        end -= 1
    return address[:end]
