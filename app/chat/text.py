"""Lines of the chat as HTML, with web addresses as links. `chat/text.js` and `chat/line.js` must do the same."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

from flask import request, url_for
from markupsafe import Markup, escape

from app.chat.colours import hue_of
from shared import grapevine
from shared.models.message import Message

LINES_KEPT = 5_000

_ADDRESS = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_EMOTE = re.compile(r"/me\s+(.*)", re.IGNORECASE | re.DOTALL)
_TRAILING = ".,;:!?*_~"
_PAIRS = {")": "(", "]": "[", "}": "{"}
_LINK = Markup('<a href="{}" rel="nofollow noopener ugc" target="_blank">{}</a>')

_LINE = Markup(
    '<li class="line{}" data-id="{}" id="line-{}" data-name="{}" data-game="{}"><a class="at" href="{}">'
    '<time datetime="{:%Y-%m-%dT%H:%M:%SZ}">{:%H:%M}</time></a>\n'
    '<p><b class="who hue-{}"><bdi>{}</bdi></b><span class="from">@<bdi>{}</bdi></span> '
    '<span class="said" dir="auto">{}</span>{}</p></li>'
)
_REPORT = Markup(' <a class="report" href="{}">report<span class="unseen"> what {} said</span></a>')
GROUPED_SECONDS = 5 * 60


def line_html(message: Message, before: Message | None = None) -> Markup:
    """Return a line of the chat. Remembers the last lines: everyone who opens a channel reads the same ones.

    Args:
        before: The line before it on the page. A line of the same speaker within five minutes stands under one name.
    """
    return _line_html(
        request.root_path,
        message.id,
        message.sent_at,
        message.name,
        message.game,
        message.text,
        before is not None and is_grouped(before, message),
    )


def is_grouped(before: Message, line: Message) -> bool:
    """Return whether a line stands under the name of the line before it. `chat/grouping.js` must do the same."""
    if emote(before.text) is not None or emote(line.text) is not None:
        return False
    if (before.name, before.game) != (line.name, line.game) or before.sent_at.date() != line.sent_at.date():
        return False
    return abs((line.sent_at - before.sent_at).total_seconds()) < GROUPED_SECONDS


@lru_cache(LINES_KEPT)
def _line_html(
    _root: str, message_id: int, sent_at: datetime, name: str, game: str, text: str, is_under_name: bool
) -> Markup:
    is_system = is_notice(name, game)
    report = "" if is_system else _REPORT.format(url_for("reports.new", message=message_id), name)
    action = emote(text)
    kind = " emote" if action is not None else " grouped" if is_under_name else ""
    return _LINE.format(
        kind + (" notice" if is_system else ""),
        message_id,
        message_id,
        name,
        game,
        url_for("chat.permalink", message_id=message_id),
        sent_at,
        sent_at,
        hue_of(name, game),
        name,
        game,
        linked(text if action is None else action),
        report,
    )


def is_notice(name: str, game: str) -> bool:
    """Return whether a line is the network's own."""
    return (name, game) == (grapevine.SYSTEM, grapevine.SHORT_NAME)


def emote(text: str) -> str | None:
    """Return what somebody does (`/me waves` is `waves`); None if the text is no emote."""
    match = _EMOTE.fullmatch(text)
    return None if match is None else match[1]


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
