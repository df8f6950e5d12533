"""One of ten hues for each name@game, as in `chat/colours.js`. The stylesheet has the colours."""

from __future__ import annotations

HUES = 10


def hue_of(name: str, game: str) -> int:
    """Return the number of a speaker's hue: FNV-1a of `name@game` in lower case."""
    digest = 0x811C9DC5
    for byte in f"{name}@{game}".lower().encode("utf-8", "replace"):
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return digest % HUES
