"""What was said, as HTML: text stays text, and web addresses in it become links. `chat-lines.js` does the same."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_ADDRESS = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_TRAILING = ".,;:!?*_~"
_PAIRS = {")": "(", "]": "[", "}": "{"}
_LINK = Markup('<a href="{}" rel="nofollow noopener ugc" target="_blank">{}</a>')


def linked(text: str) -> Markup:
    """The text with its web addresses as links, everything else escaped."""
    pieces: list[str] = []
    end = 0
    for found in _ADDRESS.finditer(text):
        address = _without_punctuation(found[0])
        if "://" not in address or len(address) <= len("https://"):
            continue
        pieces += [escape(text[end : found.start()]), _LINK.format(address, address)]
        end = found.start() + len(address)
    pieces.append(escape(text[end:]))
    return Markup("").join(pieces)


def _without_punctuation(address: str) -> str:
    """The address without what ends the sentence around it, or closes a bracket that was opened before it.

    The brackets are counted once: a line may be nothing else.
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
