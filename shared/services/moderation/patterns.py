"""Patterns of `name@game`, where `*` matches anything, and sets of patterns."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from shared.errors import Invalid
from shared.protocol.text import clean_line
from shared.protocol.types import player_key

PATTERN_LONGEST = 100
MAX_STARS = 4
_GAME = re.compile(r"[a-z0-9*]{1,15}")

K = TypeVar("K", bound=Hashable)


def parse_pattern(text: str) -> str:
    """Return a pattern as it is stored: `Spam*@*` becomes `spam*@*`. Raises Invalid (field `pattern`)."""
    name, at, game = clean_line(text).rpartition("@")
    name, game = player_key(name.strip()), "".join(game.split()).lower()
    if not at or not name or not game:
        raise Invalid("write name@game, with * for anything: *@Game, spam*@*", field="pattern")
    name = re.sub(r"\*+", "*", name)
    game = re.sub(r"\*+", "*", game)
    if not _GAME.fullmatch(game):
        raise Invalid("after the @, write a game's short name: letters, digits, and * for anything", field="pattern")
    if (name + game).count("*") > MAX_STARS:
        raise Invalid(f"a pattern may have at most {MAX_STARS} stars", field="pattern")
    if len(name) + len(game) >= PATTERN_LONGEST:
        raise Invalid(f"a pattern may have at most {PATTERN_LONGEST} characters", field="pattern")
    return f"{name}@{game}"


def subject(name: str, game: str) -> str:
    """Return a player as patterns are matched against them."""
    return f"{player_key(name)}@{game.lower()}"


class PatternSet(Generic[K]):
    """Patterns with a key each.

    All patterns without a `*` cost one look-up; the others cost about a microsecond each. One regular expression of all
    of them would be slower.
    """

    def __init__(self, patterns: Iterable[tuple[K, str]]) -> None:
        self._exact: dict[str, set[K]] = defaultdict(set)
        self._starred: dict[tuple[str, str], list[tuple[K, list[str], list[str]]]] = defaultdict(list)
        for key, pattern in patterns:
            if "*" in pattern:
                name, _, game = pattern.rpartition("@")
                place = name[:1].rstrip("*"), "" if "*" in game else game
                self._starred[place].append((key, name.split("*"), game.split("*")))
            else:
                self._exact[pattern].add(key)

    def __bool__(self) -> bool:
        return bool(self._exact or self._starred)

    def matches(self, subject: str) -> frozenset[K]:
        """Return the keys of the patterns that match the subject."""
        keys = set(self._exact.get(subject, ()))
        if self._starred:
            name, _, game = subject.rpartition("@")
            for place in {(start, where) for start in (name[:1], "") for where in (game, "")}:
                for key, names, games in self._starred.get(place, ()):
                    if _fits(games, game) and _fits(names, name):
                        keys.add(key)
        return frozenset(keys)


def _fits(pieces: list[str], text: str) -> bool:
    """Return True if a text consists of these pieces in order, with anything between them."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return text == first
    if not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in pieces[1:-1]:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return at <= end
