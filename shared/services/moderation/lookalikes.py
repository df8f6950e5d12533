"""Names that look alike, so that a sanction against a player also holds for `Вob` with a Cyrillic letter or `B0b`.

Characters are replaced by those they are confused with (Unicode Technical Standard 39). The data is that of the package
confusable-homoglyphs. Pure.
"""

from __future__ import annotations

from functools import cache, lru_cache
from unicodedata import normalize

from shared.protocol.text import strip_invisible
from shared.protocol.types import player_key


@lru_cache(maxsize=20_000)
def skeletons(name: str) -> frozenset[str]:
    """Return the skeletons of a player's name: two names look alike if they share one.

    There are two for some names, because `I` looks like `l`, but `i` does not.
    """
    return frozenset(map(_skeleton, (name, player_key(name))))


def _skeleton(name: str) -> str:
    prototypes = _prototypes()
    letters = normalize("NFD", strip_invisible(normalize("NFKC", name)))
    return "".join(prototypes.get(letter, letter) for letter in letters).casefold()


@cache
def _prototypes() -> dict[str, str]:
    """Return the character or characters that stand for each group of characters that are confused with each other."""
    from confusable_homoglyphs.confusables import confusables_data  # reads a large file: only once it is needed

    groups: dict[str, set[str]] = {}
    for character, others in confusables_data.items():
        for other in others:
            group = groups.setdefault(character, {character}) | groups.setdefault(strip_invisible(other["c"]), set())
            group.add(strip_invisible(other["c"]))
            for member in group:
                groups[member] = group
    return {member: min(group, key=_rank) for member, group in groups.items() if len(member) == 1 and len(group) > 1}


def _rank(text: str) -> tuple[bool, bool, str]:
    """Sort letters of ASCII first, so that most skeletons are readable."""
    return not text.isascii(), not text.isalpha(), text
