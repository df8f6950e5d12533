"""Chat text as HTML, with web addresses as links. `chat-lines.js` must do the same."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_ADDRESS = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_TRAILING = ".,;:!?*_~"
_PAIRS = {")": "(", "]": "[", "}": "{"}
_LINK = Markup('<a href="{}" rel="nofollow noopener ugc" target="_blank">{}</a>')


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
